/* What the processor and its system can run. The only file that probes. */
#include "core.h"

#include "kernels/target.h"

#if QL_X86

#include <cpuid.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { ECX_OSXSAVE = 1 << 27, XCR0_AVX = 0x6, XCR0_AVX512 = 0xE6, XCR0_TILES = 0x60000 };

/* The register state that the system saves: without it, instructions exist but corrupt. */
static uint64_t xcr0(void) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & ECX_OSXSAVE))
        return 0;
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

/* With FMA, which only a few early processors from VIA lack. */
int ql_cpu_has_avx2(void) {
    unsigned eax, ebx, ecx, edx;
    if ((xcr0() & XCR0_AVX) != XCR0_AVX || !__get_cpuid(1, &eax, &ebx, &ecx, &edx) ||
        !(ecx & bit_FMA) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (ebx & bit_AVX2) != 0;
}

int ql_cpu_has_avxvnni(void) {
    unsigned eax, ebx, ecx, edx;
    const unsigned avx_vnni = 1 << 4;
    if (!ql_cpu_has_avx2() || !__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
        return 0;
    return (eax & avx_vnni) != 0;
}

int ql_cpu_has_avx512vnni(void) {
    unsigned eax, ebx, ecx, edx;
    const unsigned base = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if ((xcr0() & XCR0_AVX512) != XCR0_AVX512 || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (ebx & base) == base && (ecx & bit_AVX512VNNI) != 0 && ql_cpu_has_avx2();
}

/* Tiles are 8 KiB of registers, which Linux saves only for processes that have asked. The
 * permission is the process's for good, and its threads' and children's. */
static int may_use_tiles(void) {
#if defined(__linux__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return 0;
#endif
}

int ql_cpu_has_amx(void) {
    unsigned eax, ebx, ecx, edx;
    const unsigned tiles = 1u << 24, int8_products = 1u << 25;
    const unsigned bytes = bit_AVX512VBMI | bit_AVX512VBMI2; /* what moves them within vectors */
    if ((xcr0() & XCR0_TILES) != XCR0_TILES || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (edx & tiles) && (edx & int8_products) && (ecx & bytes) == bytes &&
           ql_cpu_has_avx512vnni() && may_use_tiles();
}

#else

int ql_cpu_has_avx2(void) {
    return 0;
}

int ql_cpu_has_avxvnni(void) {
    return 0;
}

int ql_cpu_has_avx512vnni(void) {
    return 0;
}

int ql_cpu_has_amx(void) {
    return 0;
}

#endif

#if QL_ARM && defined(__linux__)

#include <sys/auxv.h>

/* As the kernel's interface defines them: older headers lack the second. */
enum { HWCAP_DOT_PRODUCT = 1 << 20, HWCAP2_INT8_MATRIX = 1 << 13 };

int ql_cpu_has_neondot(void) {
    return (getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCT) != 0;
}

int ql_cpu_has_neoni8mm(void) {
    return (getauxval(AT_HWCAP2) & HWCAP2_INT8_MATRIX) != 0 && ql_cpu_has_neondot();
}

#elif QL_ARM && defined(__APPLE__)

#include <sys/sysctl.h>

static int has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value != 0;
}

int ql_cpu_has_neondot(void) {
    return has_feature("hw.optional.arm.FEAT_DotProd");
}

int ql_cpu_has_neoni8mm(void) {
    return has_feature("hw.optional.arm.FEAT_I8MM") && ql_cpu_has_neondot();
}

#else

int ql_cpu_has_neondot(void) {
    return 0;
}

int ql_cpu_has_neoni8mm(void) {
    return 0;
}

#endif
