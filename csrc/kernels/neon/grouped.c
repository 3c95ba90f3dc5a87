/* Convolutions of narrow groups for NEON: see csrc/grouped.c and grouped.h.
 *
 *     sums[p][4 * e + j] = start[j][e]
 *                        + sum over taps, turns, i = 0..3 of turned x[p + tap][e][i] * w[j][e][i]
 *
 * The four bytes of an element become two pairs of int16, the even ones by a mask and the odd ones
 * by a shift, and weights are such pairs: smlal adds the products of two elements to two sums each,
 * of which both are added in the end. Two pixels have 16 vectors of these. For 16 outputs of groups
 * of four, 3 x 3 taps cost 144 smlal; as products of whole strips they would cost four times that.
 */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

#include "codes.h"

enum { PIXELS = 2, PARTS = 2 };

typedef struct {
    uint8x16_t part[PARTS];
} elements;

typedef struct {
    int32x4_t low_i32x4, high_i32x4;
} partial;

QL_INLINE elements load_elements(const uint8_t *x) {
    const uint16x8_t both_u16x8 = vreinterpretq_u16_u8(vld1q_u8(x));
    return (elements){{vreinterpretq_u8_u16(vandq_u16(both_u16x8, vdupq_n_u16(0xFF))),
                       vreinterpretq_u8_u16(vshrq_n_u16(both_u16x8, 8))}};
}

QL_INLINE partial start_sums(const int32_t *start) {
    const int32x4_t start_i32x4 = vld1q_s32(start), none = vdupq_n_s32(0);
    return (partial){vzip1q_s32(start_i32x4, none), vzip2q_s32(start_i32x4, none)};
}

QL_INLINE partial add_products(partial sum, uint8x16_t x, uint8x16_t w) {
    const int16x8_t x_i16x8 = vreinterpretq_s16_u8(x), w_i16x8 = vreinterpretq_s16_u8(w);
    return (partial){vmlal_s16(sum.low_i32x4, vget_low_s16(x_i16x8), vget_low_s16(w_i16x8)),
                     vmlal_high_s16(sum.high_i32x4, x_i16x8, w_i16x8)};
}

QL_INLINE int32x4_t whole_sums(partial sum) {
    return vpaddq_s32(sum.low_i32x4, sum.high_i32x4);
}

#include "grouped.h"

void ql_neon_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes, uint8_t *y,
                     int64_t y_stride) {
    convolve_grouped(line, sums, codes, y, y_stride);
}

#endif
