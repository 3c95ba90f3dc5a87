/* Which kernels this compiler can build for this processor family. */
#ifndef QL_TARGET_H
#define QL_TARGET_H

#if defined(__linux__)
#define QL_LINUX 1
#else
#define QL_LINUX 0
#endif

#if defined(__x86_64__) && defined(__clang__)
#define QL_X86               1
#define QL_BUILDS_AVX2       1
#define QL_BUILDS_AVXVNNI    (__clang_major__ >= 12)
#define QL_BUILDS_AVX512VNNI (__clang_major__ >= 7)
#define QL_BUILDS_AMX        (__clang_major__ >= 12 && QL_LINUX)
#elif defined(__x86_64__) && defined(__GNUC__)
#define QL_X86               1
#define QL_BUILDS_AVX2       1
#define QL_BUILDS_AVXVNNI    (__GNUC__ >= 11)
#define QL_BUILDS_AVX512VNNI (__GNUC__ >= 8)
#define QL_BUILDS_AMX        (__GNUC__ >= 11 && QL_LINUX)
#else
#define QL_X86               0
#define QL_BUILDS_AVX2       0
#define QL_BUILDS_AVXVNNI    0
#define QL_BUILDS_AVX512VNNI 0
#define QL_BUILDS_AMX        0
#endif

#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define QL_ARM         1
#define QL_BUILDS_NEON 1
#else
#define QL_ARM         0
#define QL_BUILDS_NEON 0
#endif

/* Clang's arm_neon.h gives intrinsics to regions from version 16 on; before, only to a build that
 * may use them everywhere, as Apple's do (whose versions count otherwise). */
#if QL_ARM && defined(__clang__) && __clang_major__ < 16
#if defined(__ARM_FEATURE_DOTPROD)
#define QL_BUILDS_NEONDOT 1
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
#define QL_BUILDS_NEONI8MM 1
#endif
#elif QL_ARM && defined(__clang__)
#define QL_BUILDS_NEONDOT  1
#define QL_BUILDS_NEONI8MM 1
#elif QL_ARM && defined(__GNUC__)
#define QL_BUILDS_NEONDOT  (__GNUC__ >= 8)
#define QL_BUILDS_NEONI8MM (__GNUC__ >= 10)
#endif
#if !defined(QL_BUILDS_NEONDOT)
#define QL_BUILDS_NEONDOT 0
#endif
#if !defined(QL_BUILDS_NEONI8MM)
#define QL_BUILDS_NEONI8MM 0
#endif

#if QL_X86
#include <immintrin.h>
#elif QL_ARM
#include <arm_neon.h>
#endif

/* Regions: all functions between QL_TARGET_BEGIN_... and QL_TARGET_END may use the instructions. */
#define QL_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define QL_TARGET(features)                                                                        \
    QL_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define QL_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define QL_TARGET(features) _Pragma("GCC push_options") QL_PRAGMA(GCC target(features))
#define QL_TARGET_END       _Pragma("GCC pop_options")
#endif

#define QL_TARGET_BEGIN_AVX2    QL_TARGET("avx2,fma")
#define QL_TARGET_BEGIN_AVXVNNI QL_TARGET("avx2,fma,avxvnni")
#define QL_TARGET_BEGIN_AVX512VNNI                                                                 \
    QL_TARGET("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#define QL_TARGET_BEGIN_AMX                                                                        \
    QL_TARGET("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512vbmi2,"     \
              "amx-tile,amx-int8")

/* AArch64 has NEON always. GCC's intrinsics belong to an architecture, Clang's to a feature. */
#if defined(__clang__)
#define QL_TARGET_BEGIN_NEONDOT  QL_TARGET("dotprod")
#define QL_TARGET_BEGIN_NEONI8MM QL_TARGET("dotprod,i8mm")
#else
#define QL_TARGET_BEGIN_NEONDOT  QL_TARGET("arch=armv8.2-a+dotprod")
#define QL_TARGET_BEGIN_NEONI8MM QL_TARGET("arch=armv8.2-a+dotprod+i8mm")
#endif

/* No load moves across: GCC would begin a long loop with all of its loads, and have no registers
 * left for the sums. */
#define QL_LOADS_IN_ORDER __asm__ volatile("" ::: "memory")

#define QL_INLINE static inline __attribute__((always_inline))

#endif
