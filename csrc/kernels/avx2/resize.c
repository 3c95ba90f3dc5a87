/* Doubled rows of bytes for AVX2: bytes widened to words w, and w + 256 w, 16 at a time; the last
 * ones of a row once more where they are fewer. Rows of fewer than 16 are portable ones. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

void ql_avx2_double_rows(const uint8_t *x, int64_t rows, int64_t count, int64_t lines, uint8_t *y) {
    enum { WIDTH = 16 };
    if (count < WIDTH) {
        ql_portable_double_rows(x, rows, count, lines, y);
        return;
    }
    for (int64_t row = 0; row < rows; row++, x += count, y += 2 * count * lines)
        for (int64_t next = 0; next < count; next += WIDTH) {
            const int64_t i = ql_min(next, count - WIDTH);
            const __m256i word_u16x16 =
                _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(x + i)));
            const __m256i twice_u8x32 =
                _mm256_or_si256(word_u16x16, _mm256_slli_epi16(word_u16x16, 8));
            for (int64_t line = 0; line < lines; line++)
                _mm256_storeu_si256((__m256i *)(y + 2 * (line * count + i)), twice_u8x32);
        }
}

QL_TARGET_END

#endif
