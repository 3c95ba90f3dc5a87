/* Products of pixels with weights for AMX, whose results have channels first: see csrc/planes.c.
 *
 * tdpbusd multiplies 16 pixels of 64 unsigned bytes by 16 groups of a strip of signed weights, both
 * of which are whole cache lines: 4 of 16 cycles for 32 pixels and 32 rows, with 4 loads of 9
 * cycles beside them; patches of few channels lie across lines, and take half as long again.
 * Planes, whose elements are 4 bytes, lie across cache lines under most taps, and their loads take
 * twice as long.
 *
 * Sums are in the order [place][row], planes of codes are not: those of four places become elements
 * of four bytes, 16 rows of one place after the other within the lanes of a vector, and eight such
 * vectors are then transposed. That is one shuffle for 8 codes, some 300 cycles for 32 x 32.
 *
 * Sums stay in their registers until the first part of the next tile stores them, one register at a
 * time: see tile.c. They become codes beside the tile after that, a few instructions behind each
 * product: of K = 9 * 64, a tile of 32 x 32 takes 252 ns without and 297 with them, 326 where codes
 * are those of the tile just stored and come in calls. Sums begin at zero and what they start from
 * is added later: see planes.c. */
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
    PIECES = FOURS + 2,             /* of the work that makes codes of a half: fours, then 8 rows */
    SUMS_STRIDE = QL_PLANE_ROWS * 4 /* bytes */
};

typedef struct {
    const int32_t *sums;
    uint8_t *y;
    int64_t plane, rows;
    int goes_on;
    __m512 multiplier_f32x16[HALVES];
    __m512i start_i32x16[HALVES];
    __m512i zero_i16x32, lower_u8x64, upper_u8x64, flip_u8x64;
    __mmask32 results, stored; /* as many, from the first place on */
    int64_t piece, pieces;     /* the next one, and how many there are */
    int64_t due;               /* in products of them all */
    __m512i elements[FOURS];   /* of a half: four places of each of 16 rows */
} codes_beside;

QL_INLINE void begin_codes(codes_beside *c, const ql_pending_places *tile) {
    const ql_codes *codes = &tile->codes;
    const int count = __builtin_popcountll(tile->has_result);
    c->sums = tile->sums;
    c->y = tile->y;
    c->plane = tile->plane;
    c->rows = tile->rows;
    c->goes_on = tile->goes_on;
    c->zero_i16x32 = _mm512_set1_epi16((int16_t)codes->zero_point);
    c->lower_u8x64 = _mm512_set1_epi8((char)codes->lower);
    c->upper_u8x64 = _mm512_set1_epi8((char)codes->upper);
    c->flip_u8x64 = _mm512_set1_epi8((char)codes->flip);
    c->results = (__mmask32)tile->has_result;
    c->stored = (__mmask32)first_bytes(count);
    c->piece = c->pieces = c->due = 0;
    for (int half = 0; half < HALVES && 16 * half < tile->rows && count > 0; half++) {
        const __mmask16 rows = first(tile->rows - 16 * half);
        c->multiplier_f32x16[half] = _mm512_maskz_loadu_ps(rows, codes->multiplier + 16 * half);
        c->start_i32x16[half] = _mm512_maskz_loadu_epi32(rows, tile->start + 16 * half);
        c->pieces += PIECES;
    }
}

/* The codes of four places. Packs put those of the same four rows into one lane. */
QL_INLINE void finish_four(codes_beside *c, int64_t half, int64_t four) {
    const __m512i by_row_u8x64 =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const int32_t *sums = c->sums + four * 4 * QL_PLANE_ROWS + 16 * half;
    const __m512i start_i32x16 = c->start_i32x16[half];
    const __m512 multiplier_f32x16 = c->multiplier_f32x16[half];
    __m512i steps_i32x16[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i sums_i32x16 =
            _mm512_add_epi32(_mm512_load_si512(sums + i * QL_PLANE_ROWS), start_i32x16);
        steps_i32x16[i] =
            _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sums_i32x16), multiplier_f32x16));
    }
    const __m512i low_i16x32 =
        _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[0], steps_i32x16[1]), c->zero_i16x32);
    const __m512i high_i16x32 =
        _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[2], steps_i32x16[3]), c->zero_i16x32);
    __m512i codes_u8x64 = _mm512_packus_epi16(low_i16x32, high_i16x32);
    codes_u8x64 = _mm512_min_epu8(_mm512_max_epu8(codes_u8x64, c->lower_u8x64), c->upper_u8x64);
    c->elements[four] =
        _mm512_xor_si512(_mm512_shuffle_epi8(codes_u8x64, by_row_u8x64), c->flip_u8x64);
}

QL_INLINE void store_row(const codes_beside *c, int64_t row, __m256i codes_u8x32) {
    if (row >= c->rows)
        return;
    if (c->results != c->stored)
        codes_u8x32 = _mm256_maskz_compress_epi8(c->results, codes_u8x32);
    _mm256_mask_storeu_epi8(c->y + row * c->plane, c->stored, codes_u8x32);
}

/* The elements of 16 rows, all places, to those of every second pair of rows: lane l of a vector
 * has four elements of row 4 l + 2 * upper, or + 1. */
QL_INLINE void store_rows(const codes_beside *c, int64_t half, const int upper) {
    const __m512i *elements = c->elements;
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
    if (!c->goes_on)
        return;
    const char *next = (const char *)(c->y + (16 * half + 2 * upper) * c->plane + QL_ALIGNMENT);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, next += 4 * c->plane) {
        _mm_prefetch(next, _MM_HINT_T0);
        _mm_prefetch(next + c->plane, _MM_HINT_T0);
    }
}

QL_INLINE void finish_piece(codes_beside *c) {
    const int64_t half = c->piece / PIECES, piece = c->piece % PIECES;
    c->piece++;
    if (piece < FOURS)
        finish_four(c, half, piece);
    else if (piece == FOURS)
        store_rows(c, half, 0);
    else
        store_rows(c, half, 1);
}

/* What is due after one of so many products. */
QL_INLINE void finish_some(codes_beside *c, int64_t products) {
    for (c->due += c->pieces; c->due >= products; c->due -= products)
        finish_piece(c);
}

QL_INLINE void finish_rest(codes_beside *c) {
    while (c->piece < c->pieces)
        finish_piece(c);
}

/* --- products ------------------------------------------------------------------------------- */

enum { LOWER = 16 * QL_PLANE_ROWS }; /* where the second 16 places of sums are */

/* Products of 16 places with a strip; the first of a tile store the sums of the one before, if
 * there is one, and begin anew. All are followed by some codes. */
#define MULTIPLY(sums, pixels, weights, offset)                                                    \
    do {                                                                                           \
        if (is_first && before != NULL)                                                            \
            _tile_stored(sums, before + (offset), SUMS_STRIDE);                                    \
        if (is_first)                                                                              \
            _tile_zero(sums);                                                                      \
        _tile_dpbusd(sums, pixels, weights);                                                       \
        finish_some(codes, products);                                                              \
    } while (0)

/* One part. */
QL_INLINE void step_of(const int strips, const int wide, const int is_first, const int8_t *w,
                       const uint8_t *pixels, int64_t pitch, int32_t *before, codes_beside *codes,
                       int64_t products) {
    _tile_loadd(6, w, 64);
    _tile_loadd(4, pixels, pitch);
    MULTIPLY(0, 4, 6, 0);
    if (wide) {
        _tile_loadd(5, pixels + 16 * pitch, pitch);
        MULTIPLY(2, 5, 6, LOWER);
    }
    if (strips == 2) {
        _tile_loadd(7, w + QL_STRIP * QL_PART_BYTES, 64);
        MULTIPLY(1, 4, 7, 16);
    }
    if (strips == 2 && wide)
        MULTIPLY(3, 5, 7, LOWER + 16);
}

#undef MULTIPLY

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
                    const uint8_t *x, int32_t *before, codes_beside *codes) {
    enum { PART = QL_PLANE_ROWS * QL_PART_BYTES };
    const int64_t products = strips * (wide ? 2 : 1) * p->parts;
    if (before != NULL)
        store_others(strips, wide, before);
    step_of(strips, wide, 1, w, x + p->part[0], p->group_step, before, codes, products);
#pragma GCC unroll 1
    for (int64_t i = 1; i < p->parts; i++)
        step_of(strips, wide, 0, w + i * PART, x + p->part[i], p->group_step, NULL, codes,
                products);
}

void ql_amx_pixel_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                       int64_t rows, int64_t places, int32_t *before,
                       const ql_pending_places *pending) {
    codes_beside codes;
    begin_codes(&codes, pending);
    if (rows == 0) {
        if (before != NULL)
            store_others(0, 0, before);
        finish_rest(&codes);
    } else if (rows > 16 && places > 16)
        tile(2, 1, product, w, x, before, &codes);
    else if (rows > 16)
        tile(2, 0, product, w, x, before, &codes);
    else if (places > 16)
        tile(1, 1, product, w, x, before, &codes);
    else
        tile(1, 0, product, w, x, before, &codes);
}

QL_TARGET_END

#endif
