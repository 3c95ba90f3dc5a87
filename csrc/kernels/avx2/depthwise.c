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

enum { GROUP = 32 };

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

/* --- sums ----------------------------------------------------------------------------------- */

/* sum_i32x8[pixel][vector], of `vectors` vectors of channels for `pixels` pixels from x on. */
QL_INLINE void sum_pixels(const int vectors, const int pixels, const ql_line *line, const char *x,
                          const char *w, const int32_t *start, __m256i *sum_i32x8) {
    const int64_t pixel_step = line->pixel_step, tap_step = line->tap_step;
    const int64_t plane_step = line->plane_step, planes = line->planes, taps = line->taps;
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum_i32x8[p * vectors + v] =
                _mm256_loadu_si256((const __m256i *)(const void *)(start + 8 * v));
    for (int64_t repeat = 0; repeat < line->repeats; repeat++) {
        const char *plane = x;
        for (int64_t i = 0; i < planes; i++, plane += plane_step) {
            const char *tap = plane;
            for (int64_t j = 0; j < taps; j++, tap += tap_step, w += 32 * vectors)
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) {
                    const __m256i w_i16x16 = _mm256_loadu_si256((const __m256i *)w + v);
#pragma GCC unroll 4
                    for (int p = 0; p < pixels; p++) {
                        const __m256i x_i16x16 =
                            _mm256_loadu_si256((const __m256i *)(tap + p * pixel_step + 32 * v));
                        sum_i32x8[p * vectors + v] = _mm256_add_epi32(
                            sum_i32x8[p * vectors + v], _mm256_madd_epi16(x_i16x16, w_i16x16));
                    }
                    QL_LOADS_IN_ORDER;
                }
        }
    }
}

/* --- outputs -------------------------------------------------------------------------------- */

void ql_avx2_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    const int64_t depth = line->repeats * line->planes * line->taps;
    int64_t c = 0;
    for (; c + GROUP <= line->channels; c += GROUP)
        for (int64_t p = 0; p < line->pixels; p++) {
            __m256i sum_i32x8[4];
            sum_pixels(4, 1, line, line->x + 4 * c + p * line->pixel_step, line->w + 4 * c * depth,
                       line->start + c, sum_i32x8);
            store_sums(sums + p * sums_stride + c, sum_i32x8);
        }
    for (; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p++) {
            const int64_t channels = ql_min(QL_STRIP, line->channels - c);
            __m256i sum_i32x8[2];
            sum_pixels(2, 1, line, line->x + 4 * c + p * line->pixel_step, line->w + 4 * c * depth,
                       line->start + c, sum_i32x8);
            memcpy(sums + p * sums_stride + c, sum_i32x8, (size_t)channels * sizeof *sums);
        }
}

void ql_avx2_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                             int64_t y_stride) {
    const int64_t depth = line->repeats * line->planes * line->taps, step = line->pixel_step;
    const stage s = stage_of(codes);
    int64_t c = 0;
    for (; c + GROUP <= line->channels; c += GROUP) {
        const float *multiplier = codes->multiplier + c;
        for (int64_t p = 0; p < line->pixels; p += 2) {
            __m256i sum_i32x8[2][4];
            sum_pixels(4, 2, line, line->x + 4 * c + p * step, line->w + 4 * c * depth,
                       line->start + c, &sum_i32x8[0][0]);
            store_group(&s, sum_i32x8[0], multiplier, y + p * y_stride + c);
            if (p + 1 < line->pixels)
                store_group(&s, sum_i32x8[1], multiplier, y + (p + 1) * y_stride + c);
        }
    }
    for (; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p += 2) {
            __m256i sum_i32x8[2][2];
            sum_pixels(2, 2, line, line->x + 4 * c + p * step, line->w + 4 * c * depth,
                       line->start + c, &sum_i32x8[0][0]);
            store_strip(&s, sum_i32x8, codes->multiplier + c, ql_min(2, line->pixels - p),
                        ql_min(QL_STRIP, line->channels - c), y + p * y_stride + c, y_stride);
        }
}

QL_TARGET_END

#endif
