/* Depthwise convolution of 3 x 3 for AVX-VNNI, straight from the lines: see csrc/depthwise.c and
 * ../avx2/depthwise_square.h.
 *
 * Four lines are one plane. 64 outputs, of two lines, cost 24 vpdpbusd, twelve instructions for the
 * elements and 40 for the codes, of which three can start in a cycle. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

#include "../avx2/codes.h"
#include "products.h"

enum { PLANES = 1 };

QL_INLINE void elements_of(const int half, const __m256i row_u8x32[4], __m256i element_u8x32[4]) {
    (void)half;
    const __m256i low_u16x16 = _mm256_unpacklo_epi8(row_u8x32[0], row_u8x32[1]);
    const __m256i high_u16x16 = _mm256_unpackhi_epi8(row_u8x32[0], row_u8x32[1]);
    const __m256i next_low_u16x16 = _mm256_unpacklo_epi8(row_u8x32[2], row_u8x32[3]);
    const __m256i next_high_u16x16 = _mm256_unpackhi_epi8(row_u8x32[2], row_u8x32[3]);
    element_u8x32[0] = _mm256_unpacklo_epi16(low_u16x16, next_low_u16x16);
    element_u8x32[1] = _mm256_unpackhi_epi16(low_u16x16, next_low_u16x16);
    element_u8x32[2] = _mm256_unpacklo_epi16(high_u16x16, next_high_u16x16);
    element_u8x32[3] = _mm256_unpackhi_epi16(high_u16x16, next_high_u16x16);
}

#include "../avx2/depthwise_square.h"

void ql_avxvnni_depthwise_square(const ql_square *square, const ql_codes *codes, uint8_t *y,
                                 int64_t y_stride, int64_t y_line) {
    convolve_squares(square, codes, y, y_stride, y_line);
}

QL_TARGET_END

#endif
