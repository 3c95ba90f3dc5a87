/* A transposition of 16 rows of bytes for NEON: see csrc/transpose.c.
 *
 * Interleaving row i with row i + 8 is one step of a perfect shuffle of 16 x 16 bytes; four such
 * steps move the bits of the row number to the bits of the column number. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

QL_INLINE void interleave(const uint8x16_t from[16], uint8x16_t to[16]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        to[2 * i] = vzip1q_u8(from[i], from[i + 8]);
        to[2 * i + 1] = vzip2q_u8(from[i], from[i + 8]);
    }
}

QL_INLINE void transpose(const uint8_t *const *x, int64_t column, uint8_t *y, int64_t y_stride) {
    uint8x16_t even_u8x16[16], odd_u8x16[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        even_u8x16[i] = vld1q_u8(x[i] + column);
    interleave(even_u8x16, odd_u8x16);
    interleave(odd_u8x16, even_u8x16);
    interleave(even_u8x16, odd_u8x16);
    interleave(odd_u8x16, even_u8x16);
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++)
        vst1q_u8(y + (column + j) * y_stride, even_u8x16[j]);
}

void ql_neon_transpose_bytes(const uint8_t *const *x, int64_t columns, uint8_t *y,
                             int64_t y_stride) {
    for (int64_t column = 0; column < columns; column += 16)
        transpose(x, ql_min(column, columns - 16), y, y_stride);
}

#endif
