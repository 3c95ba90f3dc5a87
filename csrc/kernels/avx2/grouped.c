/* Convolutions of narrow groups for AVX2: see csrc/grouped.c and grouped.h.
 *
 *     sums[p][4 * e + j] = start[j][e]
 *                        + sum over taps, turns, i = 0..3 of turned x[p + tap][e][i] * w[j][e][i]
 *
 * The four bytes of an element become two pairs of int16, the even ones by a mask and the odd ones
 * by a shift, and weights are such pairs: vpmaddwd forms two products and adds them, exactly. Two
 * pixels have eight vectors of sums. For 64 outputs of groups of four, 3 x 3 taps cost 144 vpmaddwd
 * and as many additions. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

#include "codes.h"
#include "products.h"

enum { PIXELS = 2, PARTS = 2 };

typedef struct {
    __m256i part[PARTS];
} elements;

QL_INLINE elements load_elements(const char *x) {
    const __m256i x_u8x32 = _mm256_loadu_si256((const __m256i *)x);
    return (elements){
        {_mm256_and_si256(x_u8x32, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16(x_u8x32, 8)}};
}

#include "grouped.h"

void ql_avx2_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes, uint8_t *y,
                     int64_t y_stride) {
    convolve_grouped(line, sums, codes, y, y_stride);
}

QL_TARGET_END

#endif
