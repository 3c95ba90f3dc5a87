/* Ends of float32 data for NEON. fmin and fmax return NaN where either operand is NaN, so that it
 * sticks by itself. Four pairs of ends hide their latency; tails run in the portable kernel. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"

/* All of whole sixteens into one pair of ends; returns how many elements that were. */
static int64_t min_max_one(const float *x, int64_t count, float *lo, float *hi) {
    float32x4_t low_f32x4[4], high_f32x4[4];
    for (int part = 0; part < 4; part++) {
        low_f32x4[part] = vdupq_n_f32(*lo);
        high_f32x4[part] = vdupq_n_f32(*hi);
    }
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const float32x4_t x_f32x4 = vld1q_f32(x + i + 4 * part);
            low_f32x4[part] = vminq_f32(low_f32x4[part], x_f32x4);
            high_f32x4[part] = vmaxq_f32(high_f32x4[part], x_f32x4);
        }
    *lo = vminvq_f32(
        vminq_f32(vminq_f32(low_f32x4[0], low_f32x4[1]), vminq_f32(low_f32x4[2], low_f32x4[3])));
    *hi = vmaxvq_f32(vmaxq_f32(vmaxq_f32(high_f32x4[0], high_f32x4[1]),
                               vmaxq_f32(high_f32x4[2], high_f32x4[3])));
    return i;
}

/* Each element into a pair of its own. */
static int64_t min_max_each(const float *x, int64_t count, float *lo, float *hi) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const float32x4_t x_f32x4 = vld1q_f32(x + i);
        vst1q_f32(lo + i, vminq_f32(vld1q_f32(lo + i), x_f32x4));
        vst1q_f32(hi + i, vmaxq_f32(vld1q_f32(hi + i), x_f32x4));
    }
    return i;
}

void ql_neon_min_max_float(const void *x_, int64_t count, void *lo_, void *hi_, int step) {
    const float *x = x_;
    float *lo = lo_, *hi = hi_;
    const int64_t done = step ? min_max_each(x, count, lo, hi) : min_max_one(x, count, lo, hi);
    const int64_t at = step ? done : 0;
    if (done < count)
        ql_portable_min_max_float(x + done, count - done, lo + at, hi + at, step);
}

#endif
