/* Convolutions of narrow groups for AVX-VNNI: see csrc/grouped.c and ../avx2/grouped.h.
 *
 *     sums[p][4 * e + j] = start[j][e]
 *                        + sum over taps, turns, i = 0..3 of turned x[p + tap][e][i] * w[j][e][i]
 *
 * vpdpbusd multiplies the four bytes of an element by four weights and adds the exact sum. Three
 * pixels have twelve vectors of sums, as many as there can be beside their elements and a vector of
 * weights. For 64 outputs of groups of four, 3 x 3 taps cost 72 vpdpbusd. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

#include "../avx2/codes.h"
#include "products.h"

enum { PIXELS = 3, PARTS = 1 };

typedef struct {
    __m256i part[PARTS];
} elements;

QL_INLINE elements load_elements(const char *x) {
    return (elements){{_mm256_loadu_si256((const __m256i *)x)}};
}

#include "../avx2/grouped.h"

void ql_avxvnni_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes,
                        uint8_t *y, int64_t y_stride) {
    convolve_grouped(line, sums, codes, y, y_stride);
}

QL_TARGET_END

#endif
