/* Convolutions with channels first for AVX2, exact: see csrc/planes.c.
 *
 * Elements are four bytes; vpmaddwd wants pairs of 16 bits. Those of bytes 0 and 2 are what is left
 * when the others are cleared, those of 1 and 3 when they are shifted to their places: two
 * instructions for 32 bytes, which a tile of six rows by two vectors of eight places uses six
 * times. Weights are widened likewise, once for the places of a call. For a group of four channels
 * that is 24 vpmaddwd and as many additions, and four instructions for the places. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

#include "codes.h"

/* --- places --------------------------------------------------------------------------------- */

/* Four planes; in place of those that there are not, any other does. */
typedef struct {
    const uint8_t *plane[4];
    __m256i flip_u8x32;
} planes;

QL_INLINE planes planes_from(const uint8_t *x, int64_t plane, int64_t channels, uint8_t flip) {
    planes p = {.flip_u8x32 = _mm256_set1_epi8((char)flip)};
    for (int64_t c = 0; c < 4; c++)
        p.plane[c] = x + ql_min(c, channels - 1) * plane;
    return p;
}

/* 32 places. Unpacking works within lanes, which are stored one by one. */
QL_INLINE void interleave_32(const planes *p, int64_t at, uint8_t *to) {
    __m256i row_u8x32[4], element_u8x32[4];
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        row_u8x32[c] = _mm256_xor_si256(
            _mm256_loadu_si256((const __m256i *)(const void *)(p->plane[c] + at)), p->flip_u8x32);
    const __m256i low_first = _mm256_unpacklo_epi8(row_u8x32[0], row_u8x32[1]);
    const __m256i high_first = _mm256_unpackhi_epi8(row_u8x32[0], row_u8x32[1]);
    const __m256i low_second = _mm256_unpacklo_epi8(row_u8x32[2], row_u8x32[3]);
    const __m256i high_second = _mm256_unpackhi_epi8(row_u8x32[2], row_u8x32[3]);
    element_u8x32[0] = _mm256_unpacklo_epi16(low_first, low_second);
    element_u8x32[1] = _mm256_unpackhi_epi16(low_first, low_second);
    element_u8x32[2] = _mm256_unpacklo_epi16(high_first, high_second);
    element_u8x32[3] = _mm256_unpackhi_epi16(high_first, high_second);
    __m128i *element = (__m128i *)(void *)to;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        _mm_storeu_si128(element + i, _mm256_castsi256_si128(element_u8x32[i]));
        _mm_storeu_si128(element + 4 + i, _mm256_extracti128_si256(element_u8x32[i], 1));
    }
}

/* 16 bytes, or every second one of 31. */
QL_INLINE __m128i load_16(const int step, const uint8_t *x) {
    const __m128i first_u8x16 = _mm_loadu_si128((const __m128i *)(const void *)x);
    if (step == 1)
        return first_u8x16;
    const __m128i last_u8x16 = _mm_loadu_si128((const __m128i *)(const void *)(x + 15));
    return _mm_packus_epi16(_mm_and_si128(first_u8x16, _mm_set1_epi16(0xFF)),
                            _mm_srli_epi16(last_u8x16, 8));
}

QL_INLINE void interleave_16(const int step, const planes *p, int64_t at, uint8_t *to) {
    __m128i row_u8x16[4], *element = (__m128i *)(void *)to;
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        row_u8x16[c] = _mm_xor_si128(load_16(step, p->plane[c] + at * step),
                                     _mm256_castsi256_si128(p->flip_u8x32));
    const __m128i low_first = _mm_unpacklo_epi8(row_u8x16[0], row_u8x16[1]);
    const __m128i high_first = _mm_unpackhi_epi8(row_u8x16[0], row_u8x16[1]);
    const __m128i low_second = _mm_unpacklo_epi8(row_u8x16[2], row_u8x16[3]);
    const __m128i high_second = _mm_unpackhi_epi8(row_u8x16[2], row_u8x16[3]);
    _mm_storeu_si128(element, _mm_unpacklo_epi16(low_first, low_second));
    _mm_storeu_si128(element + 1, _mm_unpackhi_epi16(low_first, low_second));
    _mm_storeu_si128(element + 2, _mm_unpacklo_epi16(high_first, high_second));
    _mm_storeu_si128(element + 3, _mm_unpackhi_epi16(high_first, high_second));
}

/* 16 places or more; the last 16 may overlap those before. */
QL_INLINE void interleave_group(const int step, const planes *p, int64_t count, uint8_t *to) {
    int64_t i = 0;
    for (; step == 1 && i + 32 <= count; i += 32)
        interleave_32(p, i, to + 4 * i);
    for (; i < count; i += 16) {
        const int64_t at = ql_min(i, count - 16);
        interleave_16(step, p, at, to + 4 * at);
    }
}

void ql_avx2_interleave_planes(const uint8_t *x, int64_t plane, int64_t channels, int64_t step,
                               int64_t count, uint8_t flip, uint8_t *to, int64_t group_step) {
    if (step > 2 || count < 16) {
        ql_portable_interleave_planes(x, plane, channels, step, count, flip, to, group_step);
        return;
    }
    for (int64_t c = 0; c < channels; c += 4, x += 4 * plane, to += group_step) {
        const planes p = planes_from(x, plane, channels - c, flip);
        if (step == 1)
            interleave_group(1, &p, count, to);
        else
            interleave_group(2, &p, count, to);
    }
}

/* --- products ------------------------------------------------------------------------------- */

/* A row's weights in a part of K: the pairs of bytes 0 and 2 of its groups, and those of 1 and 3.
 */
typedef struct {
    int32_t even[QL_PART_BYTES / 4], odd[QL_PART_BYTES / 4];
} wide_row;

enum { MOST_ROWS = 6, MOST_PARTS = 4 };

typedef struct {
    wide_row part[MOST_PARTS][MOST_ROWS];
} wide_weights;

/* Shifts right by eight bits widen the upper byte of each 16 bits, and the lower one moved up. */
QL_INLINE void widen_row(const int8_t *w, wide_row *to) {
#pragma GCC unroll 2
    for (int i = 0; i < QL_PART_BYTES / 32; i++) {
        const __m256i w_i8x32 = _mm256_loadu_si256((const __m256i *)(const void *)w + i);
        _mm256_storeu_si256((__m256i *)(void *)to->even + i,
                            _mm256_srai_epi16(_mm256_slli_epi16(w_i8x32, 8), 8));
        _mm256_storeu_si256((__m256i *)(void *)to->odd + i, _mm256_srai_epi16(w_i8x32, 8));
    }
}

/* Adds the products of one pair of channels of each group. */
QL_INLINE void add_pairs(const int rows, const int vectors, const __m256i x_i16x16[2],
                         const int32_t *w, __m256i sum_i32x8[MOST_ROWS][2]) {
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        const __m256i w_i16x16 = _mm256_set1_epi32(w[i * (int)(sizeof(wide_row) / sizeof *w)]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum_i32x8[i][v] =
                _mm256_add_epi32(sum_i32x8[i][v], _mm256_madd_epi16(x_i16x16[v], w_i16x16));
        if (vectors == 2)
            complete_sums(sum_i32x8[i]);
    }
}

/* A few rows at one or two vectors of places, over some parts of K; each row's sums start from
 * `start`, `start_step` after those of the row before. */
QL_INLINE void tile(const int rows, const int vectors, const ql_plane_product *p,
                    const wide_weights *w, const uint8_t *x, const int32_t *start,
                    int64_t start_step, int32_t *sums) {
    const __m256i low_i16x16 = _mm256_set1_epi16(0xFF);
    __m256i sum_i32x8[MOST_ROWS][2], x_i16x16[2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum_i32x8[i][v] =
                _mm256_loadu_si256((const __m256i *)(const void *)(start + start_step * i + 8 * v));
    for (int64_t part = 0; part < p->parts; part++) {
        const uint8_t *places = x + p->part[part];
        const wide_row *row = w->part[part];
        for (int64_t group = 0; group < p->groups; group++, places += p->group_step) {
            const __m256i *place = (const __m256i *)(const void *)places;
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                x_i16x16[v] = _mm256_and_si256(_mm256_loadu_si256(place + v), low_i16x16);
            add_pairs(rows, vectors, x_i16x16, row->even + group, sum_i32x8);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                x_i16x16[v] = _mm256_srli_epi16(_mm256_loadu_si256(place + v), 8);
            add_pairs(rows, vectors, x_i16x16, row->odd + group, sum_i32x8);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            _mm256_storeu_si256((__m256i *)(void *)(sums + QL_PLACES * i + 8 * v), sum_i32x8[i][v]);
}

/* The same at all places. */
QL_INLINE void tiles(const int rows, const ql_plane_product *p, const wide_weights *w,
                     const uint8_t *x, int64_t places, const int32_t *start, int64_t start_step,
                     int64_t place_step, int32_t *sums) {
    for (int64_t i = 0; i < places; i += QL_STRIP, x += 4 * QL_STRIP)
        if (places - i > 8)
            tile(rows, 2, p, w, x, start + place_step * i, start_step, sums + i);
        else
            tile(rows, 1, p, w, x, start + place_step * i, start_step, sums + i);
}

/* Up to MOST_ROWS rows of a block: MOST_PARTS parts of K at a time, the first of which start from
 * `start`, the others from the sums before. */
QL_INLINE void convolve_rows(const int rows, const ql_plane_product *product, const int8_t *w,
                             const uint8_t *x, int64_t places, const int32_t *start,
                             wide_weights *wide, int32_t *sums) {
    for (int64_t first = 0; first < product->parts; first += MOST_PARTS) {
        ql_plane_product p = *product;
        p.part += first;
        p.parts = ql_min(MOST_PARTS, product->parts - first);
        for (int64_t part = 0; part < p.parts; part++, w += QL_STRIP * QL_PART_BYTES)
            for (int i = 0; i < rows; i++)
                widen_row(w + QL_PART_BYTES * i, &wide->part[part][i]);
        if (first == 0)
            tiles(rows, &p, wide, x, places, start, QL_STRIP, 0, sums);
        else
            tiles(rows, &p, wide, x, places, sums, QL_PLACES, 1, sums);
    }
}

/* A block of 16 rows is cut into six, five and five. */
QL_INLINE int64_t rows_together(int64_t rows) {
    return rows >= 6 && rows != 10 ? 6 : rows >= 5 ? 5 : rows >= 3 ? 3 : 1;
}

void ql_avx2_plane_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                        int64_t rows, int64_t places, const int32_t *start, int32_t *sums) {
    wide_weights wide;
    for (int64_t i = 0, step; i < rows; i += step) {
        const int64_t in_block = i % QL_STRIP;
        const int8_t *from = w + i / QL_STRIP * product->block_step + QL_PART_BYTES * in_block;
        const int32_t *begin = start + QL_STRIP * i;
        int32_t *to = sums + QL_PLACES * i;
        step = rows_together(ql_min(rows - i, QL_STRIP - in_block));
        if (step == 6)
            convolve_rows(6, product, from, x, places, begin, &wide, to);
        else if (step == 5)
            convolve_rows(5, product, from, x, places, begin, &wide, to);
        else if (step == 3)
            convolve_rows(3, product, from, x, places, begin, &wide, to);
        else
            convolve_rows(1, product, from, x, places, begin, &wide, to);
    }
}

/* --- codes ---------------------------------------------------------------------------------- */

/* The codes of 32 neighbouring sums, in order. */
QL_INLINE __m256i codes_at(const stage *s, const int32_t *sums, __m256 multiplier_f32x8) {
    const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i steps_i32x8[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        const __m256i sum_i32x8 = _mm256_loadu_si256((const __m256i *)(const void *)(sums + 8 * v));
        steps_i32x8[v] =
            _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum_i32x8), multiplier_f32x8));
    }
    const __m256i codes_u8x32 = codes_of(s, _mm256_packs_epi32(steps_i32x8[0], steps_i32x8[1]),
                                         _mm256_packs_epi32(steps_i32x8[2], steps_i32x8[3]));
    return _mm256_permutevar8x32_epi32(codes_u8x32, in_order);
}

/* One run of a row: vectors, of which the last one overlaps the one before; of fewer results, a
 * part of one. */
QL_INLINE void finish_run(const stage *s, const int32_t *sums, __m256 multiplier_f32x8,
                          const ql_place_run *run, uint8_t *y) {
    enum { CODES = 32 };
    if (run->count < CODES) {
        const int64_t first = ql_min(run->first, QL_PLACES - CODES);
        uint8_t codes[CODES];
        _mm256_storeu_si256((__m256i *)(void *)codes, codes_at(s, sums + first, multiplier_f32x8));
        copy_some(y + run->to, codes + run->first - first, run->count);
        return;
    }
    for (int64_t i = 0; i < run->count; i += CODES) {
        const int64_t at = ql_min(i, run->count - CODES);
        _mm256_storeu_si256((__m256i *)(void *)(y + run->to + at),
                            codes_at(s, sums + run->first + at, multiplier_f32x8));
    }
}

void ql_avx2_plane_codes(const int32_t *sums, int64_t rows, const ql_place_run *runs, int64_t count,
                         const ql_codes *codes, uint8_t *y, int64_t plane) {
    const stage s = stage_of(codes);
    for (int64_t i = 0; i < rows; i++, sums += QL_PLACES, y += plane) {
        const __m256 multiplier_f32x8 = _mm256_set1_ps(codes->multiplier[i]);
        for (int64_t run = 0; run < count; run++)
            finish_run(&s, sums, multiplier_f32x8, runs + run, y);
    }
}

QL_TARGET_END

#endif
