/* A block of a transposition, 16 x 16 bytes, for AVX2 machines: see csrc/transpose.c.
 *
 * Interleaving row i with row i + 8 is one step of a perfect shuffle of the 256 bytes; four such
 * steps move the bits of the row number to the bits of the column number. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

QL_INLINE void interleave(const __m128i from[16], __m128i to[16]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        to[2 * i] = _mm_unpacklo_epi8(from[i], from[i + 8]);
        to[2 * i + 1] = _mm_unpackhi_epi8(from[i], from[i + 8]);
    }
}

void ql_avx2_transpose_bytes(const uint8_t *x, int64_t x_stride, uint8_t *y, int64_t y_stride) {
    __m128i even_u8x16[16], odd_u8x16[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        even_u8x16[i] = _mm_loadu_si128((const __m128i *)(x + i * x_stride));
    interleave(even_u8x16, odd_u8x16);
    interleave(odd_u8x16, even_u8x16);
    interleave(even_u8x16, odd_u8x16);
    interleave(odd_u8x16, even_u8x16);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        _mm_storeu_si128((__m128i *)(y + i * y_stride), even_u8x16[i]);
}

QL_TARGET_END

#endif
