/* Depthwise convolution for AVX2, of planes of two lines as int16: see csrc/depthwise.c.
 *
 *     sums[p][c] = start[c] + sum over planes, taps, i = 0, 1 of x[plane][p + tap][c][i] * w[c][i]
 *
 * vpmaddwd forms the two products of a channel and adds them, exactly: 255 * 255 * 2 < 2**31. A
 * group is 32 channels, four vectors; two pixels of it have eight sums in registers, and each load
 * of weights serves both. Unpacking bytes of two lines, then these with zeros, makes the elements;
 * packs put the codes of a lane in order again. Cost of two taps of 32 outputs: four vpmaddwd and
 * four vpaddd; of the codes of 32 outputs: twelve conversions and products, five for packing. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

#include "codes.h"
#include "products.h"

#include "depthwise.h"

/* --- planes --------------------------------------------------------------------------------- */

QL_INLINE __m256i load_bytes(const uint8_t *bytes, __m256i flip_u8x32) {
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)bytes), flip_u8x32);
}

QL_INLINE void interleave_group(const uint8_t *first, const uint8_t *second, __m256i flip_u8x32,
                                char *to) {
    const __m256i first_u8x32 = load_bytes(first, flip_u8x32), none = _mm256_setzero_si256();
    const __m256i second_u8x32 = load_bytes(second, flip_u8x32);
    const __m256i low_u8x32 = _mm256_unpacklo_epi8(first_u8x32, second_u8x32);
    const __m256i high_u8x32 = _mm256_unpackhi_epi8(first_u8x32, second_u8x32);
    __m256i *element = (__m256i *)to;
    _mm256_storeu_si256(element, _mm256_unpacklo_epi8(low_u8x32, none));
    _mm256_storeu_si256(element + 1, _mm256_unpackhi_epi8(low_u8x32, none));
    _mm256_storeu_si256(element + 2, _mm256_unpacklo_epi8(high_u8x32, none));
    _mm256_storeu_si256(element + 3, _mm256_unpackhi_epi8(high_u8x32, none));
}

/* A strip, or what is left of one, in its own order. */
QL_INLINE void interleave_strip(const uint8_t *first, const uint8_t *second, int64_t channels,
                                uint8_t flip, char *to) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip), none = _mm_setzero_si128();
    if (channels < QL_STRIP) {
        for (int64_t c = 0; c < channels; c++) {
            ((uint16_t *)to)[2 * c] = first[c] ^ flip;
            ((uint16_t *)to)[2 * c + 1] = second[c] ^ flip;
        }
        return;
    }
    const __m128i first_u8x16 = _mm_xor_si128(_mm_loadu_si128((const __m128i *)first), flip_u8x16);
    const __m128i second_u8x16 =
        _mm_xor_si128(_mm_loadu_si128((const __m128i *)second), flip_u8x16);
    const __m128i low_u8x16 = _mm_unpacklo_epi8(first_u8x16, second_u8x16);
    const __m128i high_u8x16 = _mm_unpackhi_epi8(first_u8x16, second_u8x16);
    __m128i *element = (__m128i *)to;
    _mm_storeu_si128(element, _mm_unpacklo_epi8(low_u8x16, none));
    _mm_storeu_si128(element + 1, _mm_unpackhi_epi8(low_u8x16, none));
    _mm_storeu_si128(element + 2, _mm_unpacklo_epi8(high_u8x16, none));
    _mm_storeu_si128(element + 3, _mm_unpackhi_epi8(high_u8x16, none));
}

void ql_avx2_interleave(const uint8_t *const *rows, int64_t columns, int64_t channels, int64_t step,
                        uint8_t flip, void *to) {
    const __m256i flip_u8x32 = _mm256_set1_epi8((char)flip);
    const uint8_t *first = rows[0], *second = rows[rows[1] != NULL];
    char *element = to;
    for (int64_t column = 0; column < columns; column++, first += step, second += step) {
        int64_t c = 0;
        for (; c + GROUP <= channels; c += GROUP)
            interleave_group(first + c, second + c, flip_u8x32, element + 4 * c);
        for (; c < channels; c += QL_STRIP)
            interleave_strip(first + c, second + c, channels - c, flip, element + 4 * c);
        element += 4 * channels;
    }
}

/* --- sums and codes ------------------------------------------------------------------------- */

void ql_avx2_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    sum_line(line, sums, sums_stride);
}

void ql_avx2_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                             int64_t y_stride) {
    convolve_line(line, codes, y, y_stride);
}

QL_TARGET_END

#endif
