/* What the arithmetic units of one core can do: loops that touch registers only.
 *
 * machine.py compiles this file when a benchmark starts, asks for the table at its end, and times
 * what the processor has. Each loop runs `iterations` rounds of independent instructions, as many
 * as hide their latency (a multiplication and an addition are two operations). The instructions are
 * written as assembly, so that no compiler can hoist or merge them. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __clang__
#define KNOWS_AMX     (__clang_major__ >= 12)
#define KNOWS_AVXVNNI (__clang_major__ >= 12)
#else
#define KNOWS_AMX     (__GNUC__ >= 11)
#define KNOWS_AVXVNNI (__GNUC__ >= 11)
#endif

#define REPEAT_12(statement)                                                                       \
    statement(0) statement(1) statement(2) statement(3) statement(4) statement(5) statement(6)     \
        statement(7) statement(8) statement(9) statement(10) statement(11)

/* vpdpbusd on 512 bits: 16 sums of four products. The inner loop of int8 on AVX-512 VNNI. */
__attribute__((target("avx512f"))) static void int8_avx512vnni(long iterations) {
    __m512i sum_i32x16[12], ones_i8x64 = _mm512_set1_epi8(1);
    for (int i = 0; i < 12; i++)
        sum_i32x16[i] = _mm512_setzero_si512();
    for (long n = 0; n < iterations; n++) {
#define STEP(i) __asm__ volatile("vpdpbusd %1, %1, %0" : "+v"(sum_i32x16[i]) : "v"(ones_i8x64));
        REPEAT_12(STEP)
#undef STEP
    }
}

/* vpdpbusd on 256 bits, in the encoding of processors without AVX-512. */
#if KNOWS_AVXVNNI
__attribute__((target("avx2"))) static void int8_avxvnni(long iterations) {
    __m256i sum_i32x8[12], ones_i8x32 = _mm256_set1_epi8(1);
    for (int i = 0; i < 12; i++)
        sum_i32x8[i] = _mm256_setzero_si256();
    for (long n = 0; n < iterations; n++) {
#define STEP(i)                                                                                    \
    __asm__ volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(sum_i32x8[i]) : "x"(ones_i8x32));
        REPEAT_12(STEP)
#undef STEP
    }
}

static int has_avxvnni(void) {
    unsigned eax, ebx, ecx, edx;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) &&
           (eax & 1u << 4);
}
#endif

/* vpmaddwd and vpaddd on 256 bits: 8 sums of two products. The inner loop of int8 on AVX2, where
 * codes are widened to 16 bits to stay exact. */
__attribute__((target("avx2"))) static void int8_avx2(long iterations) {
    __m256i sum_i32x8[12], ones_i16x16 = _mm256_set1_epi16(1), product_i32x8;
    for (int i = 0; i < 12; i++)
        sum_i32x8[i] = _mm256_setzero_si256();
    for (long n = 0; n < iterations; n++) {
#define STEP(i)                                                                                    \
    __asm__ volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0"                                    \
                     : "+x"(sum_i32x8[i]), "=&x"(product_i32x8)                                    \
                     : "x"(ones_i16x16));
        REPEAT_12(STEP)
#undef STEP
    }
}

/* tdpbssd: a tile of 16 x 16 sums of 64 products, four tiles in turn. */
#if KNOWS_AMX
__attribute__((target("amx-tile,amx-int8"))) static void int8_amx(long iterations) {
    struct {
        unsigned char palette, start_row, reserved[14];
        unsigned short row_bytes[16];
        unsigned char rows[16];
    } config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int i = 0; i < 6; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    /* Not _tile_loadconfig, which tells gcc 12 of the first eight bytes only. */
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (long n = 0; n < iterations; n++) {
        _tile_dpbssd(0, 4, 5);
        _tile_dpbssd(1, 4, 5);
        _tile_dpbssd(2, 4, 5);
        _tile_dpbssd(3, 4, 5);
    }
    _tile_release();
}
#endif

/* vfmadd on 512 and on 256 bits: what float32 products run on. */
__attribute__((target("avx512f"))) static void float32_avx512(long iterations) {
    __m512 sum_f32x16[12], ones_f32x16 = _mm512_set1_ps(1);
    for (int i = 0; i < 12; i++)
        sum_f32x16[i] = _mm512_setzero_ps();
    for (long n = 0; n < iterations; n++) {
#define STEP(i) __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(sum_f32x16[i]) : "v"(ones_f32x16));
        REPEAT_12(STEP)
#undef STEP
    }
}

__attribute__((target("avx2,fma"))) static void float32_avx2(long iterations) {
    __m256 sum_f32x8[12], ones_f32x8 = _mm256_set1_ps(1);
    for (int i = 0; i < 12; i++)
        sum_f32x8[i] = _mm256_setzero_ps();
    for (long n = 0; n < iterations; n++) {
#define STEP(i) __asm__ volatile("vfmadd231ps %1, %1, %0" : "+x"(sum_f32x8[i]) : "x"(ones_f32x8));
        REPEAT_12(STEP)
#undef STEP
    }
}

#if KNOWS_AMX
/* Whether Linux lets this process use the tiles. */
static int may_use_tiles(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f");
}

static int has_avx512vnni(void) {
    return __builtin_cpu_supports("avx512vnni");
}

/* For int8, the name of a loop ends in that of the instruction set whose kernels come down to it.
 */
static const struct {
    const char *name, *instruction;
    int (*available)(void);
    void (*run)(long iterations);
    long operations; /* of an iteration */
} loops[] = {
    {"int8_avx2", "vpmaddwd + vpaddd", has_avx2, int8_avx2, 12 * 8 * 2 * 2},
#if KNOWS_AVXVNNI
    {"int8_avxvnni", "vpdpbusd, 256 bits", has_avxvnni, int8_avxvnni, 12 * 8 * 4 * 2},
#endif
    {"int8_avx512vnni", "vpdpbusd, 512 bits", has_avx512vnni, int8_avx512vnni, 12 * 16 * 4 * 2},
#if KNOWS_AMX
    {"int8_amx", "tdpbssd", may_use_tiles, int8_amx, 4L * 16 * 16 * 64 * 2},
#endif
    {"float32_avx2", "vfmadd, 256 bits", has_avx2, float32_avx2, 12 * 8 * 2},
    {"float32_avx512", "vfmadd, 512 bits", has_avx512, float32_avx512, 12 * 16 * 2},
};

int loop_count(void) {
    return sizeof loops / sizeof loops[0];
}

const char *loop_name(int index) {
    return loops[index].name;
}

const char *loop_instruction(int index) {
    return loops[index].instruction;
}

int loop_available(int index) {
    return loops[index].available();
}

long loop_operations(int index) {
    return loops[index].operations;
}

void loop_run(int index, long iterations) {
    loops[index].run(iterations);
}
