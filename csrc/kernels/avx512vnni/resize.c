/* Doubled rows of bytes for AVX-512: bytes widened to words w, and w + 256 w, 32 at a time. Lines
 * that repeat the one before are written beside it, while it is in a register. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

void ql_avx512vnni_double_rows(const uint8_t *x, int64_t rows, int64_t count, int64_t lines,
                               uint8_t *y) {
    for (int64_t row = 0; row < rows; row++, x += count, y += 2 * count * lines)
        for (int64_t i = 0; i < count; i += 32) {
            const __mmask64 mask = first_bytes(2 * (count - i));
            const __m256i x_u8x32 =
                _mm256_maskz_loadu_epi8((__mmask32)first_bytes(count - i), x + i);
            const __m512i word_u16x32 = _mm512_cvtepu8_epi16(x_u8x32);
            const __m512i twice_u8x64 =
                _mm512_or_si512(word_u16x32, _mm512_slli_epi16(word_u16x32, 8));
            for (int64_t line = 0; line < lines; line++)
                _mm512_mask_storeu_epi8(y + 2 * (line * count + i), mask, twice_u8x64);
        }
}

QL_TARGET_END

#endif
