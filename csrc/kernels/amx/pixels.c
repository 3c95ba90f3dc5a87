/* Products of pixels with weights for AMX, whose results have channels first: see csrc/planes.c.
 *
 * tdpbusd multiplies 16 pixels of 64 unsigned bytes by 16 groups of a strip of signed weights, both
 * of which are whole cache lines: 4 of 16 cycles for 32 pixels and 32 rows, with 4 loads of 9
 * cycles beside them. Planes, whose elements are 4 bytes, lie across cache lines under most taps,
 * and their loads take twice as long.
 *
 * Sums are in the order [place][row], planes of codes are not: those of four places become elements
 * of four bytes, 16 rows of one place after the other within the lanes of a vector, and eight such
 * vectors are then transposed. That is one shuffle for 8 codes, some 300 cycles for 32 x 32, of
 * which next to nothing is left to wait for where they alternate with products.
 *
 * Sums stay in their registers until the first part of the next tile stores them, one register at a
 * time: see tile.c. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/lanes.h"
#include "configuration.h"

void ql_amx_prepare_pixels(void) {
    const ql_amx_configuration shape = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };
    ql_amx_configure(&shape);
}

/* --- codes ---------------------------------------------------------------------------------- */

enum {
    FOURS = QL_FEW_PLACES / 4,      /* places of an element */
    HALVES = QL_PLANE_ROWS / 16,    /* vectors of rows */
    PIECES = FOURS + 2 * HALVES,    /* of the work that becomes codes: fours, then 8 rows each */
    SUMS_STRIDE = QL_PLANE_ROWS * 4 /* bytes */
};

typedef struct {
    const ql_pending_places *tile;
    __m512 multiplier_f32x16[HALVES];
    __m512i zero_i16x32, lower_u8x64, upper_u8x64, flip_u8x64;
    __mmask32 results, stored;        /* as many, from the first place on */
    int64_t piece;                    /* the next one */
    __m512i elements[HALVES * FOURS]; /* [half][four]: four places of each of 16 rows */
} codes_beside;

QL_INLINE void begin_codes(codes_beside *c, const ql_pending_places *tile) {
    const ql_codes *codes = &tile->codes;
    c->tile = tile;
    c->piece = tile->rows == 0 || tile->has_result == 0 ? PIECES : 0;
    if (c->piece == PIECES)
        return;
    for (int half = 0; half < HALVES; half++)
        c->multiplier_f32x16[half] =
            _mm512_maskz_loadu_ps(first(tile->rows - 16 * half), codes->multiplier + 16 * half);
    c->zero_i16x32 = _mm512_set1_epi16((int16_t)codes->zero_point);
    c->lower_u8x64 = _mm512_set1_epi8((char)codes->lower);
    c->upper_u8x64 = _mm512_set1_epi8((char)codes->upper);
    c->flip_u8x64 = _mm512_set1_epi8((char)codes->flip);
    c->results = (__mmask32)tile->has_result;
    c->stored = (__mmask32)first_bytes(__builtin_popcountll(tile->has_result));
}

QL_INLINE __m512i steps_of(const int32_t *sums, __m512 multiplier_f32x16) {
    const __m512 sums_f32x16 = _mm512_cvtepi32_ps(_mm512_load_si512(sums));
    return _mm512_cvtps_epi32(_mm512_mul_ps(sums_f32x16, multiplier_f32x16));
}

/* The codes of four places. Packs put those of the same four rows into one lane. */
QL_INLINE void finish_four(codes_beside *c, int64_t four) {
    const __m512i by_row_u8x64 =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
#pragma GCC unroll 2
    for (int half = 0; half < HALVES; half++) {
        const int32_t *sums = c->tile->sums + four * 4 * QL_PLANE_ROWS + 16 * half;
        __m512i steps_i32x16[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            steps_i32x16[i] = steps_of(sums + i * QL_PLANE_ROWS, c->multiplier_f32x16[half]);
        const __m512i low_i16x32 =
            _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[0], steps_i32x16[1]), c->zero_i16x32);
        const __m512i high_i16x32 =
            _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[2], steps_i32x16[3]), c->zero_i16x32);
        __m512i codes_u8x64 = _mm512_packus_epi16(low_i16x32, high_i16x32);
        codes_u8x64 = _mm512_min_epu8(_mm512_max_epu8(codes_u8x64, c->lower_u8x64), c->upper_u8x64);
        c->elements[half * FOURS + four] =
            _mm512_xor_si512(_mm512_shuffle_epi8(codes_u8x64, by_row_u8x64), c->flip_u8x64);
    }
}

QL_INLINE void store_row(const codes_beside *c, int64_t row, __m256i codes_u8x32) {
    if (row >= c->tile->rows)
        return;
    if (c->results != c->stored)
        codes_u8x32 = _mm256_maskz_compress_epi8(c->results, codes_u8x32);
    _mm256_mask_storeu_epi8(c->tile->y + row * c->tile->plane, c->stored, codes_u8x32);
}

/* The elements of 16 rows, all places, to those of every second pair of rows: lane l of a vector
 * has four elements of row 4 l + 2 * upper, or + 1. */
QL_INLINE void store_rows(const codes_beside *c, int half, const int upper) {
    const __m512i *elements = c->elements + half * FOURS;
    const __m512i first_lanes = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i last_lanes = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i pairs[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        pairs[i] = upper ? _mm512_unpackhi_epi32(elements[2 * i], elements[2 * i + 1])
                         : _mm512_unpacklo_epi32(elements[2 * i], elements[2 * i + 1]);
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; odd++) {
        const __m512i front = odd ? _mm512_unpackhi_epi64(pairs[0], pairs[1])
                                  : _mm512_unpacklo_epi64(pairs[0], pairs[1]);
        const __m512i back = odd ? _mm512_unpackhi_epi64(pairs[2], pairs[3])
                                 : _mm512_unpacklo_epi64(pairs[2], pairs[3]);
        const __m512i low = _mm512_permutex2var_epi64(front, first_lanes, back);
        const __m512i high = _mm512_permutex2var_epi64(front, last_lanes, back);
        const int64_t row = 16 * half + 2 * upper + odd;
        store_row(c, row, _mm512_castsi512_si256(low));
        store_row(c, row + 4, _mm512_extracti64x4_epi64(low, 1));
        store_row(c, row + 8, _mm512_castsi512_si256(high));
        store_row(c, row + 12, _mm512_extracti64x4_epi64(high, 1));
    }
}

QL_INLINE void finish_piece(codes_beside *c) {
    const int64_t piece = c->piece++;
    if (piece < FOURS)
        finish_four(c, piece);
    else if ((piece - FOURS) % 2 == 0)
        store_rows(c, (int)(piece - FOURS) / 2, 0);
    else
        store_rows(c, (int)(piece - FOURS) / 2, 1);
}

/* --- products ------------------------------------------------------------------------------- */

/* Stores what a register holds of the tile before, if there is one, and begins its sums anew. */
#define EXCHANGE(register, from, offset)                                                           \
    do {                                                                                           \
        if (before != NULL)                                                                        \
            _tile_stored(register, before + (offset), SUMS_STRIDE);                                \
        _tile_loadd(register, from, 0); /* the same row 16 times */                                \
    } while (0)

enum { LOWER = 16 * QL_PLANE_ROWS }; /* where the second 16 places of sums are */

/* One part; the first of a tile also exchanges sums. */
QL_INLINE void step_of(const int strips, const int wide, const int is_first, const int8_t *w,
                       const uint8_t *pixels, const int32_t *start, int32_t *before) {
    _tile_loadd(6, w, 64);
    _tile_loadd(4, pixels, 64);
    if (is_first)
        EXCHANGE(0, start, 0);
    _tile_dpbusd(0, 4, 6);
    if (wide) {
        _tile_loadd(5, pixels + 16 * QL_PART_BYTES, 64);
        if (is_first)
            EXCHANGE(2, start, LOWER);
        _tile_dpbusd(2, 5, 6);
    }
    if (strips == 2) {
        _tile_loadd(7, w + QL_STRIP * QL_PART_BYTES, 64);
        if (is_first)
            EXCHANGE(1, start + 16, 16);
        _tile_dpbusd(1, 4, 7);
    }
    if (strips == 2 && wide) {
        if (is_first)
            EXCHANGE(3, start + 16, LOWER + 16);
        _tile_dpbusd(3, 5, 7);
    }
}

#undef EXCHANGE

/* The registers of two strips, or only those that a tile of so many strips and places has not. */
QL_INLINE void store_others(const int strips, const int wide, int32_t *sums) {
    if (strips == 0)
        _tile_stored(0, sums, SUMS_STRIDE);
    if (strips < 2)
        _tile_stored(1, sums + 16, SUMS_STRIDE);
    if (strips == 0 || !wide)
        _tile_stored(2, sums + LOWER, SUMS_STRIDE);
    if (strips < 2 || !wide)
        _tile_stored(3, sums + LOWER + 16, SUMS_STRIDE);
}

/* One or two strips of rows at 32 places, or 16. */
QL_INLINE void tile(const int strips, const int wide, const ql_plane_product *p, const int8_t *w,
                    const uint8_t *x, const int32_t *start, int32_t *before, codes_beside *codes) {
    enum { PART = QL_PLANE_ROWS * QL_PART_BYTES };
    if (before != NULL)
        store_others(strips, wide, before);
    step_of(strips, wide, 1, w, x + p->part[0], start, before);
    int64_t done = 0;
#pragma GCC unroll 1
    for (int64_t i = 1; i < p->parts; i++) {
        step_of(strips, wide, 0, w + i * PART, x + p->part[i], NULL, NULL);
        for (done += PIECES; codes->piece * (p->parts - 1) < done && codes->piece < PIECES;)
            finish_piece(codes);
    }
    while (codes->piece < PIECES)
        finish_piece(codes);
}

void ql_amx_pixel_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                       int64_t rows, int64_t places, const int32_t *start,
                       const ql_pending_places *pending) {
    int32_t *before = pending->rows > 0 ? pending->sums : NULL;
    codes_beside codes;
    begin_codes(&codes, pending);
    if (rows == 0) {
        if (before != NULL)
            store_others(0, 0, before);
        while (codes.piece < PIECES)
            finish_piece(&codes);
    } else if (rows > 16 && places > 16)
        tile(2, 1, product, w, x, start, before, &codes);
    else if (rows > 16)
        tile(2, 0, product, w, x, start, before, &codes);
    else if (places > 16)
        tile(1, 1, product, w, x, start, before, &codes);
    else
        tile(1, 0, product, w, x, start, before, &codes);
}

QL_TARGET_END

#endif
