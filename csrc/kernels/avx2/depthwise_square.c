/* Depthwise convolution of 3 x 3 for AVX2, straight from the lines: see csrc/depthwise.c and
 * depthwise_square.h.
 *
 * Four lines are two planes of pairs of int16, of which vpmaddwd forms two products and adds them,
 * exactly. 32 outputs, half of a group of two lines, cost 24 vpmaddwd and as many additions, ten
 * instructions for the elements and 21 for the codes, of which three can start in a cycle. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

#include "codes.h"
#include "products.h"

enum { PLANES = 2 };

QL_INLINE void elements_of(const int half, const __m256i row_u8x32[4], __m256i element_i16x16[4]) {
    const __m256i none = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (int plane = 0; plane < PLANES; plane++) {
        const __m256i first_u8x32 = row_u8x32[2 * plane], second_u8x32 = row_u8x32[2 * plane + 1];
        const __m256i both_u8x32 = half == 0 ? _mm256_unpacklo_epi8(first_u8x32, second_u8x32)
                                             : _mm256_unpackhi_epi8(first_u8x32, second_u8x32);
        element_i16x16[2 * plane] = _mm256_unpacklo_epi8(both_u8x32, none);
        element_i16x16[2 * plane + 1] = _mm256_unpackhi_epi8(both_u8x32, none);
    }
}

#include "depthwise_square.h"

void ql_avx2_depthwise_square(const ql_square *square, const ql_codes *codes, uint8_t *y,
                              int64_t y_stride, int64_t y_line) {
    convolve_squares(square, codes, y, y_stride, y_line);
}

QL_TARGET_END

#endif
