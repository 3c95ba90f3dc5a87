/* Convolutions of narrow groups for NEON with dot products: see csrc/grouped.c and
 * ../neon/grouped.h.
 *
 *     sums[p][4 * e + j] = start[j][e]
 *                        + sum over taps, turns, i = 0..3 of turned x[p + tap][e][i] * w[j][e][i]
 *
 * Numbers are -128 to 127. Four pixels have 16 vectors of sums. For 16 outputs of groups of four,
 * 3 x 3 taps cost 36 sdot. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

#include "../neon/codes.h"

enum { PIXELS = 4, PARTS = 1 };

typedef struct {
    uint8x16_t part[PARTS];
} elements;

typedef int32x4_t partial;

QL_INLINE elements load_elements(const uint8_t *x) {
    return (elements){{vld1q_u8(x)}};
}

QL_INLINE partial start_sums(const int32_t *start) {
    return vld1q_s32(start);
}

QL_INLINE partial add_products(partial sum_i32x4, uint8x16_t x, uint8x16_t w) {
    return vdotq_s32(sum_i32x4, vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(w));
}

QL_INLINE int32x4_t whole_sums(partial sum_i32x4) {
    return sum_i32x4;
}

#include "../neon/grouped.h"

void ql_neondot_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes,
                        uint8_t *y, int64_t y_stride) {
    convolve_grouped(line, sums, codes, y, y_stride);
}

QL_TARGET_END

#endif
