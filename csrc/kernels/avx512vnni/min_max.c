/* Ends of float32 data for AVX-512, edges masked. vminps returns its second operand where one is
 * NaN: x comes first, so that ends stay numbers, and NaNs are looked for beside. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include <math.h>

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

enum { AHEAD = 2048 }; /* elements to fetch ahead: processors do so for less than a page */

/* Four pairs of ends hide the latency of vminps; masked-off elements leave them as they are. */
static void min_max_one(const float *x, int64_t count, float *lo, float *hi) {
    __m512 low_f32x16[4], high_f32x16[4];
    __mmask16 unordered = 0;
    for (int part = 0; part < 4; part++) {
        low_f32x16[part] = _mm512_set1_ps(*lo);
        high_f32x16[part] = _mm512_set1_ps(*hi);
    }
    int64_t i = 0;
    for (; i + 64 <= count; i += 64)
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const __m512 x_f32x16 = _mm512_loadu_ps(x + i + 16 * part);
            _mm_prefetch((const char *)(x + i + 16 * part + AHEAD), _MM_HINT_T0);
            unordered |= _mm512_cmp_ps_mask(x_f32x16, x_f32x16, _CMP_UNORD_Q);
            low_f32x16[part] = _mm512_min_ps(x_f32x16, low_f32x16[part]);
            high_f32x16[part] = _mm512_max_ps(x_f32x16, high_f32x16[part]);
        }
    for (; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        const __m512 x_f32x16 = _mm512_maskz_loadu_ps(mask, x + i);
        unordered |= _mm512_cmp_ps_mask(x_f32x16, x_f32x16, _CMP_UNORD_Q);
        low_f32x16[0] = _mm512_mask_min_ps(low_f32x16[0], mask, x_f32x16, low_f32x16[0]);
        high_f32x16[0] = _mm512_mask_max_ps(high_f32x16[0], mask, x_f32x16, high_f32x16[0]);
    }
    for (int part = 1; part < 4; part++) {
        low_f32x16[0] = _mm512_min_ps(low_f32x16[part], low_f32x16[0]);
        high_f32x16[0] = _mm512_max_ps(high_f32x16[part], high_f32x16[0]);
    }
    *lo = unordered || *lo != *lo ? NAN : _mm512_reduce_min_ps(low_f32x16[0]);
    *hi = unordered || *hi != *hi ? NAN : _mm512_reduce_max_ps(high_f32x16[0]);
}

QL_INLINE void widen_sixteen(const float *x, float *lo, float *hi, __mmask16 mask) {
    const __m512 x_f32x16 = _mm512_maskz_loadu_ps(mask, x);
    const __mmask16 unordered = _mm512_cmp_ps_mask(x_f32x16, x_f32x16, _CMP_UNORD_Q);
    __m512 low_f32x16 = _mm512_maskz_loadu_ps(mask, lo);
    __m512 high_f32x16 = _mm512_maskz_loadu_ps(mask, hi);
    low_f32x16 = _mm512_mask_mov_ps(_mm512_min_ps(x_f32x16, low_f32x16), unordered, x_f32x16);
    high_f32x16 = _mm512_mask_mov_ps(_mm512_max_ps(x_f32x16, high_f32x16), unordered, x_f32x16);
    _mm512_mask_storeu_ps(lo, mask, low_f32x16);
    _mm512_mask_storeu_ps(hi, mask, high_f32x16);
}

/* Masks at the edge only: loads wait for masked stores to the same place. */
static void min_max_each(const float *x, int64_t count, float *lo, float *hi) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        _mm_prefetch((const char *)(x + i + AHEAD), _MM_HINT_T0);
        widen_sixteen(x + i, lo + i, hi + i, (__mmask16)~0);
    }
    if (i < count)
        widen_sixteen(x + i, lo + i, hi + i, first(count - i));
}

void ql_avx512vnni_min_max_float(const void *x, int64_t count, void *lo, void *hi, int step) {
    if (step)
        min_max_each(x, count, lo, hi);
    else
        min_max_one(x, count, lo, hi);
}

QL_TARGET_END

#endif
