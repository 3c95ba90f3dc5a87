/* Sums and products of quantized operands, in plain C.
 *
 *     number = clip(rint(steps), lower - y_zero, upper - y_zero) + y_zero
 *
 * Clipping comes first, as in affine.c, so that adding and subtracting 1.5 * 2**23 rounds half to
 * even. Steps are integers times a factor: never NaN. */
#include "kernels.h"

#define ROUND 12582912.0f

QL_INLINE uint8_t code_of(float steps, const ql_blend *m) {
    const float low = (float)(m->lower - m->y_zero), high = (float)(m->upper - m->y_zero);
    steps = steps > low ? steps : low;
    steps = steps < high ? steps : high;
    return (uint8_t)((int32_t)((steps + ROUND) - ROUND) + m->y_zero) ^ m->y_flip;
}

#define A(i) ((float)(a[i] ^ m.a_flip) - m.a_zero)
#define B(i) ((float)(b[i] ^ m.b_flip) - m.b_zero)

#define DEFINE_BLEND(name, steps)                                                                  \
    void ql_portable_##name(const uint8_t *restrict a, const uint8_t *restrict b, int b_step,      \
                            uint8_t *restrict y, int64_t count, const ql_blend *blend) {           \
        const ql_blend m = *blend;                                                                 \
        if (b_step)                                                                                \
            for (int64_t i = 0; i < count; i++)                                                    \
                y[i] = code_of(steps(A(i), B(i)), &m);                                             \
        else {                                                                                     \
            const float same = B(0);                                                               \
            for (int64_t i = 0; i < count; i++)                                                    \
                y[i] = code_of(steps(A(i), same), &m);                                             \
        }                                                                                          \
    }

#define SUM(left, right)     ((left) * m.a_factor + (right) * m.b_factor)
#define PRODUCT(left, right) ((left) * (right) * m.a_factor)

DEFINE_BLEND(add, SUM)
DEFINE_BLEND(multiply, PRODUCT)
