/* Products of weights with interleaved planes for AMX: see csrc/planes.c.
 *
 * tdpbsud multiplies 16 rows of signed weights, of up to 64 bytes, by up to 16 groups of four
 * planes at 16 places, which are read where they lie: a tile register loads rows that are any
 * distance apart, from any byte on.
 *
 * Tile registers: 4 of sums, of two blocks of rows at two times 16 places, or of one block at four;
 * the others for operands. For a part of K that is 4 tdpbsud of 16 cycles with 4 or 5 loads of 9
 * cycles beside them: some 50 where rows of places lie across cache lines.
 *
 * Codes of the sums of 32 rows and places take vectors some 250 cycles, the products of K = 256
 * tiles some 400. Where instructions alternate, more than half of the former is hidden.
 *
 * A strip is of 16 rows at 64 places. Measured: each tdpbsud keeps both ports of vectors busy for
 * some 9 cycles, tile loads none; beside four of them some 88 vector instructions are hidden. So
 * codes are spread over all products. Sums begin at zero and what they start from is added later:
 * loading it into a tile of sums takes 30 cycles for each. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/lanes.h"
#include "configuration.h"

/* Registers 0 to 3 are sums, 4 holds weights, and so does 5 in the case of two blocks; the rest are
 * of places, whose register 5 is where there is one block. The weights of a part are laid out in
 * whole cache lines, of which `groups` times four bytes are read. */
void ql_amx_prepare_planes(int64_t groups) {
    const uint8_t rows = (uint8_t)groups;
    const uint16_t bytes = (uint16_t)(4 * groups);
    const ql_amx_configuration shape = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, bytes, bytes, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, rows, rows},
    };
    ql_amx_configure(&shape);
}

enum { SUMS_STRIDE = QL_PLACES * sizeof(int32_t), START = QL_STRIP * QL_STRIP };

/* Two blocks of rows at 32 places, or 16. */
QL_INLINE void two_blocks(const int wide, const ql_plane_product *p, const int8_t *w,
                          const uint8_t *x, const int32_t *start, int32_t *sums) {
    const int8_t *lower = w + p->block_step;
    _tile_loadd(0, start, 64);
    _tile_loadd(2, start + START, 64);
    if (wide) {
        _tile_loadd(1, start, 64);
        _tile_loadd(3, start + START, 64);
    }
    for (int64_t i = 0; i < p->parts; i++, w += 1024, lower += 1024) {
        const uint8_t *places = x + p->part[i];
        _tile_loadd(4, w, 64);
        _tile_loadd(6, places, p->group_step);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(5, lower, 64);
        _tile_dpbsud(2, 5, 6);
        if (wide) {
            _tile_loadd(7, places + 64, p->group_step);
            _tile_dpbsud(1, 4, 7);
            _tile_dpbsud(3, 5, 7);
        }
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    if (wide)
        _tile_stored(1, sums + 16, SUMS_STRIDE);
    _tile_stored(2, sums + QL_STRIP * QL_PLACES, SUMS_STRIDE);
    if (wide)
        _tile_stored(3, sums + QL_STRIP * QL_PLACES + 16, SUMS_STRIDE);
}

/* One block of rows at up to 64 places. */
QL_INLINE void one_block(const int strips, const ql_plane_product *p, const int8_t *w,
                         const uint8_t *x, const int32_t *start, int32_t *sums) {
    _tile_loadd(0, start, 64);
    if (strips > 1)
        _tile_loadd(1, start, 64);
    if (strips > 2) {
        _tile_loadd(2, start, 64);
        _tile_loadd(3, start, 64);
    }
    for (int64_t i = 0; i < p->parts; i++, w += 1024) {
        const uint8_t *places = x + p->part[i];
        _tile_loadd(4, w, 64);
        _tile_loadd(6, places, p->group_step);
        _tile_dpbsud(0, 4, 6);
        if (strips > 1) {
            _tile_loadd(7, places + 64, p->group_step);
            _tile_dpbsud(1, 4, 7);
        }
        if (strips > 2) {
            _tile_loadd(6, places + 128, p->group_step);
            _tile_dpbsud(2, 4, 6);
            _tile_loadd(7, places + 192, p->group_step);
            _tile_dpbsud(3, 4, 7);
        }
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    if (strips > 1)
        _tile_stored(1, sums + 16, SUMS_STRIDE);
    if (strips > 2) {
        _tile_stored(2, sums + 32, SUMS_STRIDE);
        _tile_stored(3, sums + 48, SUMS_STRIDE);
    }
}

/* Whether 64 places of all groups stay in the first cache while weights go by, and begin at cache
 * lines, so that reading them for each block of rows costs less than reading weights twice. */
QL_INLINE int stays_in_first_cache(const ql_plane_product *p) {
    enum { MOST_GROUPS = 128 };
    return p->group_step % (4 * QL_PLACES) == 0 && p->parts * p->groups <= MOST_GROUPS;
}

void ql_amx_plane_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                       int64_t rows, int64_t places, const int32_t *start, int32_t *sums) {
    if (rows <= QL_STRIP) {
        if (places > 32)
            one_block(4, product, w, x, start, sums);
        else if (places > 16)
            one_block(2, product, w, x, start, sums);
        else
            one_block(1, product, w, x, start, sums);
        return;
    }
    if (places > 32 && stays_in_first_cache(product)) {
        one_block(4, product, w, x, start, sums);
        one_block(4, product, w + product->block_step, x, start + START,
                  sums + QL_STRIP * QL_PLACES);
        return;
    }
    for (int64_t place = 0; place < places; place += 32)
        if (places - place > 16)
            two_blocks(1, product, w, x + 4 * place, start, sums + place);
        else
            two_blocks(0, product, w, x + 4 * place, start, sums + place);
}

/* --- tiles beside codes --------------------------------------------------------------------- */

/* The codes of a pending tile, two rows at a time. */
typedef struct {
    const ql_pending_places *tile;
    __m512i zero_i16x32, lower_u8x64, upper_u8x64, flip_u8x64;
    __mmask32 results, stored; /* as many, from the first place on */
    int64_t row;               /* the next one */
} codes_beside;

QL_INLINE codes_beside codes_beside_of(const ql_pending_places *tile) {
    const ql_codes *codes = &tile->codes;
    const int count = __builtin_popcountll(tile->has_result);
    return (codes_beside){.tile = tile,
                          .zero_i16x32 = _mm512_set1_epi16((int16_t)codes->zero_point),
                          .lower_u8x64 = _mm512_set1_epi8((char)codes->lower),
                          .upper_u8x64 = _mm512_set1_epi8((char)codes->upper),
                          .flip_u8x64 = _mm512_set1_epi8((char)codes->flip),
                          .results = (__mmask32)tile->has_result,
                          .stored = (__mmask32)first_bytes(count)};
}

/* Sums of a row to steps that are packed lane by lane. */
QL_INLINE __m512i steps_of_row(const codes_beside *c, int64_t row) {
    const ql_pending_places *tile = c->tile;
    const int32_t *sums = tile->sums + row * QL_FEW_PLACES;
    const __m512i start_i32x16 = _mm512_set1_epi32(tile->start[row]);
    const __m512 multiplier_f32x16 = _mm512_set1_ps(tile->codes.multiplier[row]);
    __m512i steps_i32x16[2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
        const __m512i sums_i32x16 =
            _mm512_add_epi32(_mm512_loadu_si512(sums + 16 * v), start_i32x16);
        steps_i32x16[v] =
            _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sums_i32x16), multiplier_f32x16));
    }
    return _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[0], steps_i32x16[1]), c->zero_i16x32);
}

QL_INLINE void store_row(const codes_beside *c, int64_t row, __m256i codes_u8x32) {
    if (c->results != c->stored)
        codes_u8x32 = _mm256_maskz_compress_epi8(c->results, codes_u8x32);
    _mm256_mask_storeu_epi8(c->tile->y + row * c->tile->plane, c->stored, codes_u8x32);
}

/* The next two rows. Packs interleave the lanes of their operands: a permutation puts them in
 * order, row by row. */
QL_INLINE void finish_rows(codes_beside *c) {
    const int64_t row = c->row;
    const int64_t other = ql_min(row + 1, c->tile->rows - 1);
    const __m512i order_i32x16 =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i codes_u8x64 = _mm512_packus_epi16(steps_of_row(c, row), steps_of_row(c, other));
    codes_u8x64 = _mm512_min_epu8(_mm512_max_epu8(codes_u8x64, c->lower_u8x64), c->upper_u8x64);
    codes_u8x64 =
        _mm512_xor_si512(_mm512_permutexvar_epi32(order_i32x16, codes_u8x64), c->flip_u8x64);
    store_row(c, row, _mm512_castsi512_si256(codes_u8x64));
    store_row(c, other, _mm512_extracti64x4_epi64(codes_u8x64, 1));
    c->row += 2;
}

QL_INLINE void finish_until(codes_beside *c, int64_t row) {
    while (c->row < row)
        finish_rows(c);
}

/* Stores what a register holds of the tile before, if there is one, and begins its sums anew. */
#define EXCHANGE(register, offset)                                                                 \
    do {                                                                                           \
        if (before != NULL)                                                                        \
            _tile_stored(register, before + (offset), FEW_STRIDE);                                 \
        _tile_zero(register);                                                                      \
    } while (0)

enum {
    FEW_STRIDE = QL_FEW_PLACES * sizeof(int32_t),
    LOWER = QL_STRIP * QL_FEW_PLACES /* where the sums of the lower block are */
};

/* One part; the first of a tile also exchanges sums, those of all registers. */
QL_INLINE void step_beside(const int lower, const int wide, const int is_first,
                           const ql_plane_product *p, const int8_t *w, const uint8_t *places,
                           int32_t *before) {
    _tile_loadd(4, w, 64);
    _tile_loadd(6, places, p->group_step);
    if (is_first)
        EXCHANGE(0, 0);
    _tile_dpbsud(0, 4, 6);
    if (lower)
        _tile_loadd(5, w + p->block_step, 64);
    if (is_first)
        EXCHANGE(2, LOWER);
    if (lower)
        _tile_dpbsud(2, 5, 6);
    if (wide)
        _tile_loadd(7, places + 64, p->group_step);
    if (is_first)
        EXCHANGE(1, 16);
    if (wide)
        _tile_dpbsud(1, 4, 7);
    if (is_first)
        EXCHANGE(3, LOWER + 16);
    if (lower && wide)
        _tile_dpbsud(3, 5, 7);
}

#undef EXCHANGE

/* Sums stay in their registers until the first part of the next tile stores them: see tile.c. */
QL_INLINE void blocks_beside(const int lower, const int wide, const ql_plane_product *p,
                             const int8_t *w, const uint8_t *x, int32_t *before,
                             codes_beside *codes) {
    const int64_t rows = codes->tile->rows;
    step_beside(lower, wide, 1, p, w, x + p->part[0], before);
    int64_t done = 0;
#pragma GCC unroll 1
    for (int64_t i = 1; i < p->parts; i++) {
        step_beside(lower, wide, 0, p, w + 1024 * i, x + p->part[i], NULL);
        for (done += rows; codes->row * (p->parts - 1) < done && codes->row < rows;)
            finish_rows(codes);
    }
    finish_until(codes, rows);
}

void ql_amx_plane_tile_beside(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                              int64_t rows, int64_t places, const ql_pending_places *pending) {
    int32_t *before = pending->rows > 0 ? pending->sums : NULL;
    codes_beside codes = codes_beside_of(pending);
    if (rows == 0 && before != NULL) {
        _tile_stored(0, before, FEW_STRIDE);
        _tile_stored(1, before + 16, FEW_STRIDE);
        _tile_stored(2, before + LOWER, FEW_STRIDE);
        _tile_stored(3, before + LOWER + 16, FEW_STRIDE);
    }
    if (rows == 0)
        finish_until(&codes, pending->rows);
    else if (rows > QL_STRIP && places > QL_STRIP)
        blocks_beside(1, 1, product, w, x, before, &codes);
    else if (rows > QL_STRIP)
        blocks_beside(1, 0, product, w, x, before, &codes);
    else if (places > QL_STRIP)
        blocks_beside(0, 1, product, w, x, before, &codes);
    else
        blocks_beside(0, 0, product, w, x, before, &codes);
}

/* --- strips beside codes -------------------------------------------------------------------- */

/* The codes of a pending strip of rows, row by row: a cache line each. */
typedef struct {
    const ql_pending_places *tile;
    __m512i zero_i16x32, lower_u8x64, upper_u8x64, flip_u8x64;
    int is_plain,
        is_whole;     /* neither bounded nor flipped; a result for each place up to the last */
    __mmask64 stored; /* as many as there are results */
    int64_t row;      /* the next one */
} lines_beside;

QL_INLINE lines_beside lines_beside_of(const ql_pending_places *tile) {
    const ql_codes *codes = &tile->codes;
    const __mmask64 stored = first_bytes(__builtin_popcountll(tile->has_result));
    return (lines_beside){
        .tile = tile,
        .zero_i16x32 = _mm512_set1_epi16((int16_t)codes->zero_point),
        .lower_u8x64 = _mm512_set1_epi8((char)codes->lower),
        .upper_u8x64 = _mm512_set1_epi8((char)codes->upper),
        .flip_u8x64 = _mm512_set1_epi8((char)codes->flip),
        .is_plain = codes->lower == 0 && codes->upper == 255 && codes->flip == 0,
        .is_whole = stored == tile->has_result,
        .stored = stored,
    };
}

/* Up to `count` more rows. */
QL_INLINE void finish_lines(lines_beside *c, int64_t count) {
    const __m512i order_i32x16 =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const ql_pending_places *tile = c->tile;
    for (const int64_t last = ql_min(c->row + count, tile->rows); c->row < last; c->row++) {
        const int32_t *sums = tile->sums + c->row * QL_PLACES;
        const __m512 multiplier_f32x16 = _mm512_set1_ps(tile->codes.multiplier[c->row]);
        const __m512i start_i32x16 = _mm512_set1_epi32(tile->start[c->row]);
        __m512i steps_i32x16[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            steps_i32x16[v] = _mm512_cvtps_epi32(
                _mm512_mul_ps(_mm512_cvtepi32_ps(
                                  _mm512_add_epi32(_mm512_load_si512(sums + 16 * v), start_i32x16)),
                              multiplier_f32x16));
        const __m512i low_i16x32 =
            _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[0], steps_i32x16[1]), c->zero_i16x32);
        const __m512i high_i16x32 =
            _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[2], steps_i32x16[3]), c->zero_i16x32);
        __m512i codes_u8x64 = _mm512_packus_epi16(low_i16x32, high_i16x32);
        if (!c->is_plain) {
            codes_u8x64 =
                _mm512_min_epu8(_mm512_max_epu8(codes_u8x64, c->lower_u8x64), c->upper_u8x64);
            codes_u8x64 = _mm512_xor_si512(codes_u8x64, c->flip_u8x64);
        }
        codes_u8x64 = _mm512_permutexvar_epi32(order_i32x16, codes_u8x64);
        if (!c->is_whole)
            codes_u8x64 = _mm512_maskz_compress_epi8(tile->has_result, codes_u8x64);
        _mm512_mask_storeu_epi8(tile->y + c->row * tile->plane, c->stored, codes_u8x64);
    }
}

/* Products of a strip of rows with 16 places; the first of a tile store the sums of the one before
 * and begin anew. All are followed by some codes. */
#define MULTIPLY_STRIP(sums, v, places_register)                                                   \
    do {                                                                                           \
        if (v < strips)                                                                            \
            _tile_loadd(places_register, places + 64 * v, p->group_step);                          \
        if (is_first && before != NULL)                                                            \
            _tile_stored(sums, before + 16 * v, SUMS_STRIDE);                                      \
        if (is_first)                                                                              \
            _tile_zero(sums);                                                                      \
        if (v < strips) {                                                                          \
            _tile_dpbsud(sums, 4, places_register);                                                \
            finish_lines(codes, each);                                                             \
        }                                                                                          \
    } while (0)

QL_INLINE void strip_step(const int strips, const int is_first, const ql_plane_product *p,
                          const int8_t *w, const uint8_t *places, int32_t *before,
                          lines_beside *codes, int64_t each) {
    _tile_loadd(4, w, 64);
    MULTIPLY_STRIP(0, 0, 6);
    MULTIPLY_STRIP(1, 1, 7);
    MULTIPLY_STRIP(2, 2, 6);
    MULTIPLY_STRIP(3, 3, 7);
}

#undef MULTIPLY_STRIP

/* Codes are spread evenly over the products, as a processor has so much room for what waits. */
QL_INLINE void strip_beside(const int strips, const ql_plane_product *p, const int8_t *w,
                            const uint8_t *x, int32_t *before, lines_beside *codes) {
    const int64_t products = strips * p->parts;
    const int64_t each = (codes->tile->rows + products - 1) / products;
    strip_step(strips, 1, p, w, x + p->part[0], before, codes, each);
#pragma GCC unroll 1
    for (int64_t i = 1; i < p->parts; i++)
        strip_step(strips, 0, p, w + 1024 * i, x + p->part[i], NULL, codes, each);
}

void ql_amx_plane_strip_beside(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                               int64_t places, int32_t *before, const ql_pending_places *pending) {
    lines_beside codes = lines_beside_of(pending);
    if (places == 0 && before != NULL) {
        _tile_stored(0, before, SUMS_STRIDE);
        _tile_stored(1, before + 16, SUMS_STRIDE);
        _tile_stored(2, before + 32, SUMS_STRIDE);
        _tile_stored(3, before + 48, SUMS_STRIDE);
    }
    if (places == 0)
        finish_lines(&codes, QL_STRIP);
    else if (places > 48)
        strip_beside(4, product, w, x, before, &codes);
    else if (places > 32)
        strip_beside(3, product, w, x, before, &codes);
    else if (places > 16)
        strip_beside(2, product, w, x, before, &codes);
    else
        strip_beside(1, product, w, x, before, &codes);
}

QL_TARGET_END

#endif
