/* Depthwise convolution with channels first for AVX2: see csrc/channelwise.c and channelwise.h.
 *
 *     sums[i] = start + sum over windows, j = 0, 1 of x[offset + step * i + j] * w[j]
 *
 * Numbers are int16, so that vpmaddwd forms the two products of a window and adds them, exactly. A
 * kernel of 3 x 3 has six windows, and costs 24 vpmaddwd and as many additions for 32 outputs. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

#include "codes.h"
#include "products.h"

enum { NUMBER = 2, FEW = 6 };

QL_INLINE void spread_16(__m128i bytes_u8x16, __m128i flip_u8x16, char *to) {
    _mm256_storeu_si256((__m256i *)to,
                        _mm256_cvtepu8_epi16(_mm_xor_si128(bytes_u8x16, flip_u8x16)));
}

/* 16 bytes at a time; the last ones overlap those before. */
QL_INLINE void spread_line(const uint8_t *x, int64_t columns, uint8_t flip, char *to) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    for (int64_t i = 0; i < columns && columns >= 16; i += 16) {
        const int64_t at = ql_min(i, columns - 16);
        spread_16(_mm_loadu_si128((const __m128i *)(x + at)), flip_u8x16, to + 2 * at);
    }
    for (int64_t i = 0; i < columns && columns < 16; i++)
        ((int16_t *)(void *)to)[i] = x[i] ^ flip;
}

/* What is the same for all short lines. */
typedef struct {
    __m256i kept_i16x16, zero_i16x16;
    __m128i flip_u8x16;
} short_line;

QL_INLINE short_line short_line_of(int64_t columns, uint8_t flip, uint8_t zero) {
    const __m256i column_i16x16 =
        _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (short_line){.kept_i16x16 =
                            _mm256_cmpgt_epi16(_mm256_set1_epi16((int16_t)columns), column_i16x16),
                        .zero_i16x16 = _mm256_set1_epi16(zero),
                        .flip_u8x16 = _mm_set1_epi8((char)flip)};
}

QL_INLINE void spread_short_line(const int width, const short_line *s, const uint8_t *x, char *to) {
    const __m128i bytes_u8x16 =
        width == 16 ? _mm_loadu_si128((const __m128i *)x) : _mm_loadl_epi64((const __m128i *)x);
    const __m256i line_i16x16 = _mm256_blendv_epi8(
        s->zero_i16x16, _mm256_cvtepu8_epi16(_mm_xor_si128(bytes_u8x16, s->flip_u8x16)),
        s->kept_i16x16);
    if (width == 16)
        _mm256_storeu_si256((__m256i *)to, line_i16x16);
    else
        _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(line_i16x16));
}

#include "channelwise.h"

void ql_avx2_spread(const ql_spreading *spreading) {
    spread_lines(spreading);
}

void ql_avx2_channel_sums(const ql_channels *channels, int32_t *sums) {
    sum_channel(channels, sums);
}

void ql_avx2_channel_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                           int64_t y_step) {
    convolve_channels(channels, codes, y, y_step);
}

QL_TARGET_END

#endif
