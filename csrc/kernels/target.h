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
#define QL_BUILDS_AVX512VNNI (__clang_major__ >= 7)
#define QL_BUILDS_AMX        (__clang_major__ >= 12 && QL_LINUX)
#elif defined(__x86_64__) && defined(__GNUC__)
#define QL_X86               1
#define QL_BUILDS_AVX2       1
#define QL_BUILDS_AVX512VNNI (__GNUC__ >= 8)
#define QL_BUILDS_AMX        (__GNUC__ >= 11 && QL_LINUX)
#else
#define QL_X86               0
#define QL_BUILDS_AVX2       0
#define QL_BUILDS_AVX512VNNI 0
#define QL_BUILDS_AMX        0
#endif

#if QL_X86
#include <immintrin.h>
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

#define QL_TARGET_BEGIN_AVX2       QL_TARGET("avx2")
#define QL_TARGET_BEGIN_AVX512VNNI QL_TARGET("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#define QL_TARGET_BEGIN_AMX        QL_TARGET("avx2,avx512f,amx-tile,amx-int8")

#define QL_INLINE static inline __attribute__((always_inline))

#endif
