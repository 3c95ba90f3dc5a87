/* What the processor and its system can run. The only file that probes. */
#include "core.h"

#include "kernels/target.h"

#if QL_X86

#include <cpuid.h>

enum { ECX_OSXSAVE = 1 << 27, XCR0_AVX = 0x6, XCR0_AVX512 = 0xE6 };

/* The register state that the system saves: without it, instructions exist but corrupt. */
static uint64_t xcr0(void) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & ECX_OSXSAVE))
        return 0;
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

int ql_cpu_has_avx2(void) {
    unsigned eax, ebx, ecx, edx;
    if ((xcr0() & XCR0_AVX) != XCR0_AVX || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (ebx & bit_AVX2) != 0;
}

int ql_cpu_has_avx512vnni(void) {
    unsigned eax, ebx, ecx, edx;
    const unsigned base = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if ((xcr0() & XCR0_AVX512) != XCR0_AVX512 || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (ebx & base) == base && (ecx & bit_AVX512VNNI) != 0 && ql_cpu_has_avx2();
}

#else

int ql_cpu_has_avx2(void) {
    return 0;
}

int ql_cpu_has_avx512vnni(void) {
    return 0;
}

#endif
