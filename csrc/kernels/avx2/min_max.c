/* Ends of float32 data for AVX2; tails run in the portable kernel. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

enum { AHEAD = 2048 }; /* elements to fetch ahead: processors do so for less than a page */

/* Four pairs of ends hide the latency of vminps. With x as the first operand it returns the end
 * where x is NaN; NaNs are gathered beside. */
void ql_avx2_min_max_float(const void *x_, int64_t count, void *lo_, void *hi_, int step) {
    const float *x = x_;
    float *lo = lo_, *hi = hi_;
    if (step || count < 32) {
        ql_portable_min_max_float(x, count, lo, hi, step);
        return;
    }
    __m256 low_f32x8[4], high_f32x8[4], unordered_f32x8 = _mm256_setzero_ps();
    for (int part = 0; part < 4; part++) {
        low_f32x8[part] = _mm256_set1_ps(*lo);
        high_f32x8[part] = _mm256_set1_ps(*hi);
    }
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        _mm_prefetch((const char *)(x + i + AHEAD), _MM_HINT_T0);
        _mm_prefetch((const char *)(x + i + AHEAD + 16), _MM_HINT_T0);
        for (int part = 0; part < 4; part++) {
            const __m256 x_f32x8 = _mm256_loadu_ps(x + i + 8 * part);
            low_f32x8[part] = _mm256_min_ps(x_f32x8, low_f32x8[part]);
            high_f32x8[part] = _mm256_max_ps(x_f32x8, high_f32x8[part]);
            unordered_f32x8 =
                _mm256_or_ps(unordered_f32x8, _mm256_cmp_ps(x_f32x8, x_f32x8, _CMP_UNORD_Q));
        }
    }
    float ends[2][32];
    for (int part = 0; part < 4; part++) {
        _mm256_storeu_ps(ends[0] + 8 * part, low_f32x8[part]);
        _mm256_storeu_ps(ends[1] + 8 * part, high_f32x8[part]);
    }
    if (_mm256_movemask_ps(unordered_f32x8))
        ends[0][0] = NAN;
    float unused = *lo;
    ql_portable_min_max_float(ends[0], 32, lo, &unused, 0);
    unused = *hi;
    ql_portable_min_max_float(ends[1], 32, &unused, hi, 0);
    if (*lo != *lo)
        *hi = NAN;
    ql_portable_min_max_float(x + i, count - i, lo, hi, 0);
}

QL_TARGET_END

#endif
