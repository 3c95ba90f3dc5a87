/* Depthwise convolution for AVX-VNNI, of planes of four lines: see csrc/depthwise.c.
 *
 *     sums[p][c] = start[c] + sum over planes, taps, i = 0..3 of x[plane][p + tap][c][i] * w[c][i]
 *
 * vpdpbusd multiplies the four bytes of a channel by four weights and adds the exact sum. A group
 * is 32 channels, four vectors; two pixels of it have eight sums in registers, and each load of
 * weights serves both. What becomes of the sums is that of AVX2. Cost of four taps of 32 outputs:
 * four vpdpbusd. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

#include "../avx2/codes.h"
#include "products.h"

#include "../avx2/depthwise.h"

/* --- planes --------------------------------------------------------------------------------- */

QL_INLINE __m256i load_bytes(const uint8_t *bytes, __m256i flip_u8x32) {
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)bytes), flip_u8x32);
}

QL_INLINE void interleave_group(const uint8_t *const rows[4], int64_t at, __m256i flip_u8x32,
                                char *to) {
    __m256i low_u16x16[2], high_u16x16[2], *element = (__m256i *)to;
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; pair++) {
        const __m256i first_u8x32 = load_bytes(rows[2 * pair] + at, flip_u8x32);
        const __m256i second_u8x32 = load_bytes(rows[2 * pair + 1] + at, flip_u8x32);
        low_u16x16[pair] = _mm256_unpacklo_epi8(first_u8x32, second_u8x32);
        high_u16x16[pair] = _mm256_unpackhi_epi8(first_u8x32, second_u8x32);
    }
    _mm256_storeu_si256(element, _mm256_unpacklo_epi16(low_u16x16[0], low_u16x16[1]));
    _mm256_storeu_si256(element + 1, _mm256_unpackhi_epi16(low_u16x16[0], low_u16x16[1]));
    _mm256_storeu_si256(element + 2, _mm256_unpacklo_epi16(high_u16x16[0], high_u16x16[1]));
    _mm256_storeu_si256(element + 3, _mm256_unpackhi_epi16(high_u16x16[0], high_u16x16[1]));
}

/* A strip, or what is left of one, in its own order. */
QL_INLINE void interleave_strip(const uint8_t *const rows[4], int64_t at, int64_t channels,
                                uint8_t flip, uint8_t *to) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    if (channels < QL_STRIP) {
        for (int64_t c = 0; c < channels; c++)
            for (int row = 0; row < 4; row++)
                *to++ = rows[row][at + c] ^ flip;
        return;
    }
    __m128i low_u8x16[2], high_u8x16[2], *element = (__m128i *)to;
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; pair++) {
        const __m128i first_u8x16 =
            _mm_xor_si128(_mm_loadu_si128((const __m128i *)(rows[2 * pair] + at)), flip_u8x16);
        const __m128i second_u8x16 =
            _mm_xor_si128(_mm_loadu_si128((const __m128i *)(rows[2 * pair + 1] + at)), flip_u8x16);
        low_u8x16[pair] = _mm_unpacklo_epi8(first_u8x16, second_u8x16);
        high_u8x16[pair] = _mm_unpackhi_epi8(first_u8x16, second_u8x16);
    }
    _mm_storeu_si128(element, _mm_unpacklo_epi16(low_u8x16[0], low_u8x16[1]));
    _mm_storeu_si128(element + 1, _mm_unpackhi_epi16(low_u8x16[0], low_u8x16[1]));
    _mm_storeu_si128(element + 2, _mm_unpacklo_epi16(high_u8x16[0], high_u8x16[1]));
    _mm_storeu_si128(element + 3, _mm_unpackhi_epi16(high_u8x16[0], high_u8x16[1]));
}

void ql_avxvnni_interleave(const uint8_t *const *rows, int64_t columns, int64_t channels,
                           int64_t step, uint8_t flip, void *to) {
    const __m256i flip_u8x32 = _mm256_set1_epi8((char)flip);
    const uint8_t *from[4];
    char *element = to;
    for (int row = 0; row < 4; row++)
        from[row] = rows[rows[row] == NULL ? 0 : row];
    for (int64_t column = 0, at = 0; column < columns; column++, at += step) {
        int64_t c = 0;
        for (; c + GROUP <= channels; c += GROUP)
            interleave_group(from, at + c, flip_u8x32, element + 4 * c);
        for (; c < channels; c += QL_STRIP)
            interleave_strip(from, at + c, channels - c, flip, (uint8_t *)element + 4 * c);
        element += 4 * channels;
    }
}

/* --- sums and codes ------------------------------------------------------------------------- */

void ql_avxvnni_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    sum_line(line, sums, sums_stride);
}

void ql_avxvnni_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                                int64_t y_stride) {
    convolve_line(line, codes, y, y_stride);
}

QL_TARGET_END

#endif
