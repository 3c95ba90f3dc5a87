/* Convolutions with channels first for AVX-512 VNNI: see csrc/planes.c.
 *
 * A tile is of six rows by four vectors of 16 places: 24 sums, a broadcast group of weights, four
 * vectors of places. For a group of four channels that is 24 vpdpbusd and 10 loads. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "group.h"
#include "lanes.h"

/* --- places --------------------------------------------------------------------------------- */

/* Four planes, or fewer; others are as if they were 0 after the flip. */
typedef struct {
    const uint8_t *plane[4];
    __mmask64 exists[4];
} planes;

QL_INLINE planes planes_from(const uint8_t *x, int64_t plane, int64_t channels) {
    planes p;
    for (int64_t c = 0; c < 4; c++) {
        p.plane[c] = x + ql_min(c, channels - 1) * plane;
        p.exists[c] = c < channels ? ~(__mmask64)0 : 0;
    }
    return p;
}

/* 64 places of four planes. Unpacking works within lanes; so first every lane gets one of every
 * four neighbouring elements of four places. */
QL_INLINE void interleave_64(const planes *p, int64_t at, int64_t count, __m512i flip_u8x64,
                             uint8_t *to) {
    const __m512i spread = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __mmask64 mask = first_bytes(count);
    __m512i row_u8x64[4];
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        row_u8x64[c] = _mm512_xor_si512(
            _mm512_permutexvar_epi32(
                spread, _mm512_maskz_loadu_epi8(mask & p->exists[c], p->plane[c] + at)),
            flip_u8x64);
    const __m512i low_first = _mm512_unpacklo_epi8(row_u8x64[0], row_u8x64[1]);
    const __m512i high_first = _mm512_unpackhi_epi8(row_u8x64[0], row_u8x64[1]);
    const __m512i low_second = _mm512_unpacklo_epi8(row_u8x64[2], row_u8x64[3]);
    const __m512i high_second = _mm512_unpackhi_epi8(row_u8x64[2], row_u8x64[3]);
    _mm512_mask_storeu_epi32(to, first(count), _mm512_unpacklo_epi16(low_first, low_second));
    _mm512_mask_storeu_epi32(to + 64, first(count - 16),
                             _mm512_unpackhi_epi16(low_first, low_second));
    _mm512_mask_storeu_epi32(to + 128, first(count - 32),
                             _mm512_unpacklo_epi16(high_first, high_second));
    _mm512_mask_storeu_epi32(to + 192, first(count - 48),
                             _mm512_unpackhi_epi16(high_first, high_second));
}

/* 32 places of four planes with stride 2, or fewer: even bytes of two planes make words, and those
 * of two pairs of planes elements. */
QL_INLINE void interleave_32_strided(const planes *p, int64_t at, int64_t count, __m512i flip_u8x64,
                                     uint8_t *to) {
    const __m512i low_byte_u16x32 = _mm512_set1_epi16(0xFF);
    const __mmask64 mask = first_bytes(2 * count - 1);
    __m512i pair_u16x32[2];
#pragma GCC unroll 2
    for (int c = 0; c < 4; c += 2) {
        const __m512i even = _mm512_maskz_loadu_epi8(mask & p->exists[c], p->plane[c] + 2 * at);
        const __m512i odd =
            _mm512_maskz_loadu_epi8(mask & p->exists[c + 1], p->plane[c + 1] + 2 * at);
        /* even & 0xFF | odd << 8 */
        const __m512i words =
            _mm512_ternarylogic_epi32(low_byte_u16x32, even, _mm512_slli_epi16(odd, 8), 0xEA);
        pair_u16x32[c / 2] = _mm512_xor_si512(words, flip_u8x64);
    }
    const __m512i low = _mm512_unpacklo_epi16(pair_u16x32[0], pair_u16x32[1]);
    const __m512i high = _mm512_unpackhi_epi16(pair_u16x32[0], pair_u16x32[1]);
    const __m512i begin = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i end = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    _mm512_mask_storeu_epi32(to, first(count), _mm512_permutex2var_epi64(low, begin, high));
    _mm512_mask_storeu_epi32(to + 64, first(count - 16), _mm512_permutex2var_epi64(low, end, high));
}

/* 16 places, or fewer. */
QL_INLINE void interleave_16(const planes *p, int64_t at, int64_t count, __m512i flip_u8x64,
                             uint8_t *to) {
    const __mmask64 mask = first_bytes(count);
    __m128i row_u8x16[4];
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        row_u8x16[c] = _mm_maskz_loadu_epi8((__mmask16)(mask & p->exists[c]), p->plane[c] + at);
    _mm512_mask_storeu_epi32(
        to, first(count),
        _mm512_xor_si512(interleave_lanes(row_u8x16[0], row_u8x16[1], row_u8x16[2], row_u8x16[3]),
                         flip_u8x64));
}

/* Up to FEW places are less work one vector at a time. */
QL_INLINE void interleave_group(const int step, const planes *p, int64_t count, __m512i flip_u8x64,
                                uint8_t *to) {
    enum { FEW = 32 };
    int64_t i = 0;
    for (; step == 1 && i + FEW < count; i += 64)
        interleave_64(p, i, ql_min(64, count - i), flip_u8x64, to + 4 * i);
    for (; step == 1 && i < count; i += 16)
        interleave_16(p, i, ql_min(16, count - i), flip_u8x64, to + 4 * i);
    for (; i < count; i += 32)
        interleave_32_strided(p, i, ql_min(32, count - i), flip_u8x64, to + 4 * i);
}

void ql_avx512vnni_interleave_planes(const uint8_t *x, int64_t plane, int64_t channels,
                                     int64_t step, int64_t count, uint8_t flip, uint8_t *to,
                                     int64_t group_step) {
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    if (step > 2) {
        ql_portable_interleave_planes(x, plane, channels, step, count, flip, to, group_step);
        return;
    }
    for (int64_t c = 0; c < channels; c += 4, x += 4 * plane, to += group_step) {
        const planes p = planes_from(x, plane, channels - c);
        if (step == 1)
            interleave_group(1, &p, count, flip_u8x64, to);
        else
            interleave_group(2, &p, count, flip_u8x64, to);
    }
}

/* --- products ------------------------------------------------------------------------------- */

QL_INLINE __m512i broadcast_group(const int8_t *group) {
    int32_t bits;
    memcpy(&bits, group, sizeof bits);
    return _mm512_set1_epi32(bits);
}

/* A few rows of a block at up to four vectors of places. */
QL_INLINE void tile(const int rows, const int vectors, const ql_plane_product *p, const int8_t *w,
                    const uint8_t *x, const int32_t *start, int32_t *sums) {
    __m512i sum_i32x16[8][4];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum_i32x16[i][v] = _mm512_loadu_si512(start + QL_STRIP * i);
    for (int64_t part = 0; part < p->parts; part++, w += QL_STRIP * QL_PART_BYTES) {
        const uint8_t *places = x + p->part[part];
        for (int64_t group = 0; group < p->groups; group++, places += p->group_step) {
            __m512i place_u8x64[4];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                place_u8x64[v] = _mm512_loadu_si512(places + 64 * v);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) {
                const __m512i weights_i8x64 = broadcast_group(w + QL_PART_BYTES * i + 4 * group);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    sum_i32x16[i][v] =
                        _mm512_dpbusd_epi32(sum_i32x16[i][v], place_u8x64[v], weights_i8x64);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_si512(sums + QL_PLACES * i + 16 * v, sum_i32x16[i][v]);
}

/* Rows of one block. */
QL_INLINE void tiles(const int most, const int vectors, const ql_plane_product *p, const int8_t *w,
                     const uint8_t *x, int64_t rows, const int32_t *start, int32_t *sums) {
    int64_t step;
    for (int64_t i = 0; i < rows; i += step) {
        const int8_t *from = w + QL_PART_BYTES * i;
        const int32_t *begin = start + QL_STRIP * i;
        int32_t *to = sums + QL_PLACES * i;
        if (rows - i >= most) {
            step = most;
            tile(most, vectors, p, from, x, begin, to);
        } else if (rows - i >= 4) {
            step = 4;
            tile(4, vectors, p, from, x, begin, to);
        } else if (rows - i >= 2) {
            step = 2;
            tile(2, vectors, p, from, x, begin, to);
        } else {
            step = 1;
            tile(1, vectors, p, from, x, begin, to);
        }
    }
}

void ql_avx512vnni_plane_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                              int64_t rows, int64_t places, const int32_t *start, int32_t *sums) {
    for (int64_t i = 0; i < rows; i += QL_STRIP) {
        const int64_t some = ql_min(QL_STRIP, rows - i);
        const int8_t *from = w + i / QL_STRIP * product->block_step;
        const int32_t *begin = start + QL_STRIP * i;
        int32_t *to = sums + QL_PLACES * i;
        if (places > 32)
            tiles(6, 4, product, from, x, some, begin, to);
        else if (places > 16)
            tiles(8, 2, product, from, x, some, begin, to);
        else
            tiles(8, 1, product, from, x, some, begin, to);
    }
}

/* --- codes ---------------------------------------------------------------------------------- */

/* What is the same for all rows. */
typedef struct {
    __m512i zero_i16x32, lower_u8x64, upper_u8x64, flip_u8x64;
} stage;

/* 64 sums: four vectors of one row, two of two or one of four. Packs saturate, and interleave the
 * lanes of their operands: a permutation puts the codes in order. */
QL_INLINE __m512i codes_of(const int vectors, const stage *s, const int32_t *sums,
                           const float *multiplier) {
    const __m512i order_i32x16 =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i steps_i32x16[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        const __m512i sums_i32x16 =
            _mm512_loadu_si512(sums + v / vectors * QL_PLACES + v % vectors * 16);
        steps_i32x16[v] = _mm512_cvtps_epi32(_mm512_mul_ps(
            _mm512_cvtepi32_ps(sums_i32x16), _mm512_set1_ps(multiplier[v / vectors])));
    }
    const __m512i low_i16x32 =
        _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[0], steps_i32x16[1]), s->zero_i16x32);
    const __m512i high_i16x32 =
        _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[2], steps_i32x16[3]), s->zero_i16x32);
    __m512i codes_u8x64 = _mm512_packus_epi16(low_i16x32, high_i16x32);
    codes_u8x64 = _mm512_min_epu8(_mm512_max_epu8(codes_u8x64, s->lower_u8x64), s->upper_u8x64);
    return _mm512_xor_si512(_mm512_permutexvar_epi32(order_i32x16, codes_u8x64), s->flip_u8x64);
}

/* Where the codes of a run go, and which they are. */
typedef struct {
    __mmask64 mask;
    int64_t offset;
} target;

/* Rows of one run, of two, or of `count`. */
QL_INLINE void finish_rows(const int runs, const stage *s, const int32_t *sums, int64_t rows,
                           const float *multiplier, const target *targets, int64_t count,
                           uint8_t *y, int64_t plane) {
    for (int64_t i = 0; i < rows; i++, sums += QL_PLACES, y += plane) {
        const __m512i codes_u8x64 = codes_of(4, s, sums, multiplier + i);
        for (int64_t run = 0; run < (runs > 0 ? runs : count); run++)
            _mm512_mask_storeu_epi8(y + targets[run].offset, targets[run].mask, codes_u8x64);
    }
}

/* Two rows of up to 32 places together. */
QL_INLINE void finish_pairs(const stage *s, const int32_t *sums, int64_t rows,
                            const float *multiplier, const target *targets, int64_t count,
                            uint8_t *y, int64_t plane) {
    for (int64_t i = 0; i < rows; i += 2, sums += 2 * QL_PLACES, y += 2 * plane) {
        const __m512i codes_u8x64 = codes_of(2, s, sums, multiplier + i);
        for (int64_t run = 0; run < count; run++) {
            uint8_t *to = y + targets[run].offset;
            const __mmask32 mask = (__mmask32)targets[run].mask;
            _mm256_mask_storeu_epi8(to, mask, _mm512_castsi512_si256(codes_u8x64));
            _mm256_mask_storeu_epi8(to + plane, mask, _mm512_extracti64x4_epi64(codes_u8x64, 1));
        }
    }
}

/* Four rows of up to 16. */
QL_INLINE void finish_fours(const stage *s, const int32_t *sums, int64_t rows,
                            const float *multiplier, const target *targets, int64_t count,
                            uint8_t *y, int64_t plane) {
    for (int64_t i = 0; i < rows; i += 4, sums += 4 * QL_PLACES, y += 4 * plane) {
        const __m512i codes_u8x64 = codes_of(1, s, sums, multiplier + i);
        for (int64_t run = 0; run < count; run++) {
            uint8_t *to = y + targets[run].offset;
            const __mmask16 mask = (__mmask16)targets[run].mask;
            _mm_mask_storeu_epi8(to, mask, _mm512_castsi512_si128(codes_u8x64));
            _mm_mask_storeu_epi8(to + plane, mask, _mm512_extracti32x4_epi32(codes_u8x64, 1));
            _mm_mask_storeu_epi8(to + 2 * plane, mask, _mm512_extracti32x4_epi32(codes_u8x64, 2));
            _mm_mask_storeu_epi8(to + 3 * plane, mask, _mm512_extracti32x4_epi32(codes_u8x64, 3));
        }
    }
}

/* Masks of few runs, which most tiles have, stay in registers. */
void ql_avx512vnni_plane_codes(const int32_t *sums, int64_t rows, const ql_place_run *runs,
                               int64_t count, const ql_codes *codes, uint8_t *y, int64_t plane) {
    const stage s = {.zero_i16x32 = _mm512_set1_epi16((int16_t)codes->zero_point),
                     .lower_u8x64 = _mm512_set1_epi8((char)codes->lower),
                     .upper_u8x64 = _mm512_set1_epi8((char)codes->upper),
                     .flip_u8x64 = _mm512_set1_epi8((char)codes->flip)};
    const float *multiplier = codes->multiplier;
    target targets[QL_PLACES];
    for (int64_t i = 0; i < count; i++)
        targets[i] =
            (target){first_bytes(runs[i].count) << runs[i].first, runs[i].to - runs[i].first};
    const int64_t width = count == 0 ? 0 : runs[count - 1].first + runs[count - 1].count;
    int64_t done = 0;
    if (width <= 16) {
        done = rows / 4 * 4;
        finish_fours(&s, sums, done, multiplier, targets, count, y, plane);
    } else if (width <= 32) {
        done = rows / 2 * 2;
        finish_pairs(&s, sums, done, multiplier, targets, count, y, plane);
    }
    sums += done * QL_PLACES;
    y += done * plane;
    if (count == 1)
        finish_rows(1, &s, sums, rows - done, multiplier + done, targets, 1, y, plane);
    else if (count == 2)
        finish_rows(2, &s, sums, rows - done, multiplier + done, targets, 2, y, plane);
    else
        finish_rows(0, &s, sums, rows - done, multiplier + done, targets, count, y, plane);
}

QL_TARGET_END

#endif
