/* Depthwise convolution with channels first for AVX-VNNI: see csrc/channelwise.c and
 * ../avx2/channelwise.h.
 *
 *     sums[i] = start + sum over windows, j = 0..3 of x[offset + step * i + j] * w[j]
 *
 * vpdpbusd multiplies the four bytes of a window by four weights and adds the exact sum. A kernel
 * of 3 x 3 has three windows, and costs 12 vpdpbusd for 32 outputs. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

#include "../avx2/codes.h"
#include "products.h"

enum { NUMBER = 1, FEW = 3 };

QL_INLINE void spread_16(__m128i bytes_u8x16, __m128i flip_u8x16, char *to) {
    _mm_storeu_si128((__m128i *)to, _mm_xor_si128(bytes_u8x16, flip_u8x16));
}

/* Vectors, of which the last one overlaps the one before. */
QL_INLINE void spread_line(const uint8_t *x, int64_t columns, uint8_t flip, char *to) {
    const __m256i flip_u8x32 = _mm256_set1_epi8((char)flip);
    const __m128i flip_u8x16 = _mm256_castsi256_si128(flip_u8x32);
    if (columns >= 32) {
        for (int64_t i = 0; i < columns; i += 32) {
            const int64_t at = ql_min(i, columns - 32);
            const __m256i bytes_u8x32 = _mm256_loadu_si256((const __m256i *)(x + at));
            _mm256_storeu_si256((__m256i *)(to + at), _mm256_xor_si256(bytes_u8x32, flip_u8x32));
        }
    } else if (columns >= 16) {
        spread_16(_mm_loadu_si128((const __m128i *)x), flip_u8x16, to);
        spread_16(_mm_loadu_si128((const __m128i *)(x + columns - 16)), flip_u8x16,
                  to + columns - 16);
    } else {
        for (int64_t i = 0; i < columns; i++)
            to[i] = (char)(x[i] ^ flip);
    }
}

/* What is the same for all short lines. */
typedef struct {
    __m128i kept_u8x16, zero_u8x16, flip_u8x16;
} short_line;

QL_INLINE short_line short_line_of(int64_t columns, uint8_t flip, uint8_t zero) {
    const __m128i column_i8x16 =
        _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (short_line){.kept_u8x16 = _mm_cmpgt_epi8(_mm_set1_epi8((char)columns), column_i8x16),
                        .zero_u8x16 = _mm_set1_epi8((char)zero),
                        .flip_u8x16 = _mm_set1_epi8((char)flip)};
}

QL_INLINE void spread_short_line(const int width, const short_line *s, const uint8_t *x, char *to) {
    const __m128i bytes_u8x16 =
        width == 16 ? _mm_loadu_si128((const __m128i *)x) : _mm_loadl_epi64((const __m128i *)x);
    const __m128i line_u8x16 =
        _mm_blendv_epi8(s->zero_u8x16, _mm_xor_si128(bytes_u8x16, s->flip_u8x16), s->kept_u8x16);
    if (width == 16)
        _mm_storeu_si128((__m128i *)to, line_u8x16);
    else
        _mm_storel_epi64((__m128i *)to, line_u8x16);
}

#include "../avx2/channelwise.h"

void ql_avxvnni_spread(const ql_spreading *spreading) {
    spread_lines(spreading);
}

void ql_avxvnni_channel_sums(const ql_channels *channels, int32_t *sums) {
    sum_channel(channels, sums);
}

void ql_avxvnni_channel_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                              int64_t y_step) {
    convolve_channels(channels, codes, y, y_step);
}

QL_TARGET_END

#endif
