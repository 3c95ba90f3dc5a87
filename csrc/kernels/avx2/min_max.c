/* Ends of float32 data for AVX2. vminps returns its second operand where one is NaN: x comes first,
 * so that ends stay numbers, and NaNs are looked for beside. The last vector may overlap the one
 * before it, for no end depends on how often an element is seen. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

enum { AHEAD = 2048 }; /* elements to fetch ahead: processors do so for less than a page */

typedef struct {
    __m256 low_f32x8, high_f32x8, unordered_f32x8;
} ends;

QL_INLINE void widen(ends *e, const float *x) {
    const __m256 x_f32x8 = _mm256_loadu_ps(x);
    e->low_f32x8 = _mm256_min_ps(x_f32x8, e->low_f32x8);
    e->high_f32x8 = _mm256_max_ps(x_f32x8, e->high_f32x8);
    e->unordered_f32x8 =
        _mm256_or_ps(e->unordered_f32x8, _mm256_cmp_ps(x_f32x8, x_f32x8, _CMP_UNORD_Q));
}

QL_INLINE float lowest(__m256 low_f32x8) {
    __m128 low_f32x4 =
        _mm_min_ps(_mm256_castps256_ps128(low_f32x8), _mm256_extractf128_ps(low_f32x8, 1));
    low_f32x4 = _mm_min_ps(low_f32x4, _mm_movehl_ps(low_f32x4, low_f32x4));
    return _mm_cvtss_f32(_mm_min_ss(low_f32x4, _mm_movehdup_ps(low_f32x4)));
}

QL_INLINE float highest(__m256 high_f32x8) {
    __m128 high_f32x4 =
        _mm_max_ps(_mm256_castps256_ps128(high_f32x8), _mm256_extractf128_ps(high_f32x8, 1));
    high_f32x4 = _mm_max_ps(high_f32x4, _mm_movehl_ps(high_f32x4, high_f32x4));
    return _mm_cvtss_f32(_mm_max_ss(high_f32x4, _mm_movehdup_ps(high_f32x4)));
}

/* Four pairs of ends hide the latency of vminps. */
void ql_avx2_min_max_float(const void *x_, int64_t count, void *lo_, void *hi_, int step) {
    const float *x = x_;
    float *lo = lo_, *hi = hi_;
    if (step || count < 8) {
        ql_portable_min_max_float(x, count, lo, hi, step);
        return;
    }
    const ends first = {_mm256_set1_ps(*lo), _mm256_set1_ps(*hi), _mm256_setzero_ps()};
    ends e[4] = {first, first, first, first};
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        _mm_prefetch((const char *)(x + i + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(x + i + AHEAD + 16), _MM_HINT_T0);
        for (int part = 0; part < 4; part++)
            widen(&e[part], x + i + 8 * part);
    }
    for (; i + 8 <= count; i += 8)
        widen(&e[0], x + i);
    widen(&e[0], x + count - 8);
    for (int part = 1; part < 4; part++) {
        e[0].low_f32x8 = _mm256_min_ps(e[part].low_f32x8, e[0].low_f32x8);
        e[0].high_f32x8 = _mm256_max_ps(e[part].high_f32x8, e[0].high_f32x8);
        e[0].unordered_f32x8 = _mm256_or_ps(e[part].unordered_f32x8, e[0].unordered_f32x8);
    }
    const int unordered = _mm256_movemask_ps(e[0].unordered_f32x8) || *lo != *lo || *hi != *hi;
    *lo = unordered ? NAN : lowest(e[0].low_f32x8);
    *hi = unordered ? NAN : highest(e[0].high_f32x8);
}

QL_TARGET_END

#endif
