/* Convolutions of groups for AMX: see csrc/grouped.c.
 *
 *     sums[p][j] = start[j] + sum over pieces, k = 0..63 of x[p + piece][k] * w[piece][k][j]
 *
 * Of up to 16 pixels, the 64 bytes from where a piece of a slice begins are a tile. The weights of
 * a piece, 16 elements by 16 outputs, are loaded once for four of them: four tdpbusd of 16 cycles.
 * The loads beside them take 88 cycles from whole cache lines, and 111 where rows lie across two.
 *
 * Sums are held in their registers until the next four tiles begin (tile.c says why), and become
 * codes beside the products of those: 16 codes of four pixels take 21 instructions on two ports, 11
 * cycles, and those of four tiles 170.
 *
 * Where each of three lines of the kernel is one piece, their weights stay in registers, and a tile
 * of pixels is loaded once for the three lines of results that see it: one load, which takes 30
 * cycles if rows lie across cache lines, and no other for three tdpbusd of 16.
 *
 * Where several strips see one slice, two of them are multiplied with two tiles of pixels: two
 * loads of pixels for four tdpbusd instead of four. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/codes.h"
#include "../avx512vnni/lanes.h"
#include "configuration.h"

enum { TILE = QL_GROUPED_ROWS * QL_STRIP /* sums */, PIECE = 1024, PIXELS = 4 };

/* Registers 0 to 3 hold sums, 4 and 5 pixels, 6 weights; or 0 to 2, 3 and 4, and 5 to 7. */
void ql_amx_prepare_grouped(int64_t rows, int rolls) {
    const uint8_t pixels = (uint8_t)rows;
    const ql_amx_configuration shape = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {pixels, pixels, pixels, pixels, pixels, rolls ? 16 : pixels, 16, 16},
    };
    ql_amx_configure(&shape);
}

/* Up to four tiles of one strip, whose sums are held. */
typedef struct {
    const ql_grouped_strip *strip; /* or NULL */
    const ql_grouped_place *places;
    int64_t count;
} held;

/* Stores the sums of the tile that a register has held, and begins those of the next one. */
#define EXCHANGE(register)                                                                         \
    do {                                                                                           \
        if (register < before->count)                                                              \
            _tile_stored(register, sums + (register) * TILE, 64);                                  \
        _tile_loadd(register, now->strip->start, 0); /* one row, into every row */                 \
    } while (0)

#define ADD_PRODUCTS(register, pixels)                                                             \
    do {                                                                                           \
        if (register < now->count) {                                                               \
            _tile_loadd(pixels, now->strip->x + now->places[register].x + offset, step);           \
            if (is_first)                                                                          \
                EXCHANGE(register);                                                                \
            _tile_dpbusd(register, pixels, 6);                                                     \
        }                                                                                          \
    } while (0)

/* The products of a piece; the first one also exchanges the sums. */
QL_INLINE void add_piece(const int is_first, const held *now, const held *before, int64_t offset,
                         int64_t step, const char *w, int32_t *sums) {
    _tile_loadd(6, w, 64);
    ADD_PRODUCTS(0, 4);
    ADD_PRODUCTS(1, 5);
    ADD_PRODUCTS(2, 4);
    ADD_PRODUCTS(3, 5);
}

#define STORE(register)                                                                            \
    do {                                                                                           \
        if (register >= first && register < last)                                                  \
            _tile_stored(register, sums + (register) * TILE, 64);                                  \
    } while (0)

/* Stores what registers `first` to `last` hold. */
QL_INLINE void store(int64_t first, int64_t last, int32_t *sums) {
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
}

#undef EXCHANGE
#undef ADD_PRODUCTS
#undef STORE

/* What makes codes of stored sums, four pixels at a time. */
typedef struct {
    stage stage;
    const int32_t *sums;
    held of;
    int64_t tile, row, rows, y_step;
    factors by[4];
    __mmask16 mask;
} finisher;

QL_INLINE void finish_from(finisher *f, const held *of) {
    f->of = *of;
    f->tile = f->row = 0;
    if (of->count == 0)
        return;
    f->mask = first(of->strip->outputs);
#pragma GCC unroll 4
    for (int p = 0; p < PIXELS; p++)
        f->by[p].multiplier_f32x16 = _mm512_maskz_loadu_ps(f->mask, of->strip->multiplier);
}

/* The next four pixels, the last of which may be some that have been done, or of fewer rows. */
QL_INLINE void finish_pixels(const int plain, finisher *f) {
    const int64_t row = ql_max(ql_min(f->row, f->rows - PIXELS), 0);
    const int32_t *from = f->sums + f->tile * TILE + row * QL_STRIP;
    uint8_t *y = f->of.strip->y + f->of.places[f->tile].y + row * f->y_step;
    __m512i sums_i32x16[PIXELS];
#pragma GCC unroll 4
    for (int p = 0; p < PIXELS; p++)
        sums_i32x16[p] = _mm512_load_si512(from + p * QL_STRIP);
    const __m512i codes_u8x64 = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
        codes_of(plain ? CONVERTED_PLAINLY : CONVERTED, &f->stage, sums_i32x16, f->by));
    _mm_mask_storeu_epi8(y, f->mask, _mm512_castsi512_si128(codes_u8x64));
    if (f->rows > 1)
        _mm_mask_storeu_epi8(y + f->y_step, f->mask, _mm512_extracti32x4_epi32(codes_u8x64, 1));
    if (f->rows > 2)
        _mm_mask_storeu_epi8(y + 2 * f->y_step, f->mask, _mm512_extracti32x4_epi32(codes_u8x64, 2));
    if (f->rows > 3)
        _mm_mask_storeu_epi8(y + 3 * f->y_step, f->mask, _mm512_extracti32x4_epi32(codes_u8x64, 3));
    f->row += PIXELS;
    if (f->row >= f->rows) {
        f->row = 0;
        f->tile++;
    }
}

/* The products of up to four tiles, beside which those before become codes. */
QL_INLINE void multiply(const int plain, const int has_codes, const ql_grouped_tiles_item *item,
                        const held *now, const held *before, int32_t *sums, finisher *f) {
    const char *w = now->strip->w;
    add_piece(1, now, before, item->offsets[0], item->x_step, w, sums);
    store(now->count, before->count, sums);
    int64_t left = 0, beside = 0;
    if (has_codes) {
        finish_from(f, before);
        left = before->count * ((item->rows + PIXELS - 1) / PIXELS);
        beside = item->pieces > 1 ? (left + item->pieces - 2) / (item->pieces - 1) : 0;
    }
#pragma GCC unroll 1
    for (int64_t piece = 1; piece < item->pieces; piece++) {
        add_piece(0, now, before, item->offsets[piece], item->x_step, w + piece * PIECE, sums);
        for (int64_t i = 0; i < beside && left > 0; i++, left--)
            finish_pixels(plain, f);
    }
    for (; left > 0; left--)
        finish_pixels(plain, f);
}

/* Places are taken four at a time, or as many as are equal shares. */
QL_INLINE void convolve(const int plain, const int has_codes, const ql_grouped_tiles_item *item,
                        const ql_codes *codes, int32_t *sums) {
    const int64_t shares = (item->place_count + QL_GROUPED_PLACES - 1) / QL_GROUPED_PLACES;
    finisher f;
    if (has_codes)
        f = (finisher){
            .stage = stage_of(codes), .sums = sums, .rows = item->rows, .y_step = item->y_step};
    held before = {NULL, NULL, 0};
    for (int64_t strip = 0; strip < item->strip_count; strip++)
        for (int64_t share = 0; share < shares; share++) {
            const int64_t place = share * item->place_count / shares;
            const int64_t next = (share + 1) * item->place_count / shares;
            const held now = {item->strips + strip, item->places + place, next - place};
            multiply(plain, has_codes, item, &now, &before, sums, &f);
            before = now;
        }
    store(0, before.count, sums);
    if (!has_codes)
        return;
    finish_from(&f, &before);
    while (f.tile < before.count)
        finish_pixels(plain, &f);
}

/* --- three lines at a time --- */

/* A tile of results, or none: then there is no place. */
typedef struct {
    const ql_grouped_strip *strip;
    const ql_grouped_place *place;
} result;

/* What registers hold, each a tile of one of three neighbouring lines. */
typedef struct {
    result held[3];
} roll;

/* One tile of input, of line `line` of those under `lines` lines of results: the last line of the
 * kernel completes one line of results, and the first one begins another, whose register is stored
 * before. */
#define ROLL(first, second, third, pixels)                                                         \
    do {                                                                                           \
        _tile_loadd(pixels, x, x_step);                                                            \
        if (line > 0 && line <= lines)                                                             \
            _tile_dpbusd(third, pixels, 6);                                                        \
        if (line > 1)                                                                              \
            _tile_dpbusd(second, pixels, 7);                                                       \
        if (line < lines) {                                                                        \
            stored = r->held[first];                                                               \
            if (stored.place != NULL)                                                              \
                _tile_stored(first, to, 64);                                                       \
            _tile_loadd(first, strip->start, 0);                                                   \
            _tile_dpbusd(first, pixels, 5);                                                        \
            r->held[first] = (result){strip, place};                                               \
        }                                                                                          \
    } while (0)

QL_INLINE result roll_line(roll *r, int phase, const ql_grouped_strip *strip,
                           const ql_grouped_place *place, const char *x, int64_t x_step,
                           int64_t line, int64_t lines, int32_t *to) {
    result stored = {NULL, NULL};
    if (phase == 0)
        ROLL(0, 1, 2, 3);
    else if (phase == 1)
        ROLL(1, 2, 0, 4);
    else
        ROLL(2, 0, 1, 3);
    return stored;
}

#undef ROLL

QL_INLINE void finish_tile(const int plain, finisher *f, const result *of, const int32_t *sums) {
    if (of->place == NULL)
        return;
    const held one = {of->strip, of->place, 1};
    f->sums = sums;
    finish_from(f, &one);
    while (f->tile == 0)
        finish_pixels(plain, f);
}

/* Down the places that are one below the other: results are completed as their lines are. What has
 * been stored becomes codes beside the products of the next line. */
QL_INLINE void roll_down(const int plain, const ql_grouped_tiles_item *item, const ql_codes *codes,
                         int32_t *sums) {
    const int64_t lines = item->place_count / item->line_places;
    finisher f = {.stage = stage_of(codes), .rows = item->rows, .y_step = item->y_step};
    roll r = {.held = {{NULL, NULL}}};
    result stored = {NULL, NULL};
    int phase = 0, slot = 0, base = 0;
    for (int64_t s = 0; s < item->strip_count; s++) {
        const ql_grouped_strip *strip = item->strips + s;
        _tile_loadd(5, strip->w, 64);
        _tile_loadd(6, strip->w + PIECE, 64);
        _tile_loadd(7, strip->w + 2 * PIECE, 64);
        for (int64_t column = 0; column < item->line_places; column++) {
            const char *x = strip->x + item->places[column].x;
            phase = base;
            for (int64_t line = 0; line < lines + 2; line++, x += item->line_step) {
                const ql_grouped_place *place =
                    item->places + ql_min(line, lines - 1) * item->line_places + column;
                const result next = roll_line(&r, phase, strip, place, x, item->x_step, line, lines,
                                              sums + slot * TILE);
                finish_tile(plain, &f, &stored, sums + (slot ^ 1) * TILE);
                stored = next;
                slot ^= 1;
                phase = phase == 2 ? 0 : phase + 1;
            }
            base = (int)((base + lines) % 3);
        }
    }
    finish_tile(plain, &f, &stored, sums + (slot ^ 1) * TILE);
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + TILE, 64);
    _tile_stored(2, sums + 2 * TILE, 64);
    for (int i = 0; i < 3; i++)
        finish_tile(plain, &f, &r.held[i], sums + i * TILE);
}

/* --- two strips at a time --- */

/* Exchanges a register's sums for those of a strip, and adds the products of pixels and weights. */
#define ADD_PAIR(register, pixels, weights, strip)                                                 \
    do {                                                                                           \
        if (is_first) {                                                                            \
            if (before[register].place != NULL)                                                    \
                _tile_stored(register, sums + (register) * TILE, 64);                              \
            _tile_loadd(register, (strip)->start, 0);                                              \
        }                                                                                          \
        _tile_dpbusd(register, pixels, weights);                                                   \
    } while (0)

/* The products of one piece of up to two places with that of up to two strips of one slice. */
QL_INLINE void add_pairs(const int is_first, const ql_grouped_strip *strip, int has_two,
                         const ql_grouped_place *place, int has_next, int64_t offset,
                         int64_t weights, int64_t step, const result *before, int32_t *sums) {
    const char *x = strip->x + offset;
    _tile_loadd(6, strip->w + weights, 64);
    _tile_loadd(4, x + place[0].x, step);
    ADD_PAIR(0, 4, 6, strip);
    if (has_next) {
        _tile_loadd(5, x + place[1].x, step);
        ADD_PAIR(1, 5, 6, strip);
    }
    if (has_two) {
        _tile_loadd(7, strip[1].w + weights, 64);
        ADD_PAIR(2, 4, 7, strip + 1);
    }
    if (has_two && has_next)
        ADD_PAIR(3, 5, 7, strip + 1);
}

#undef ADD_PAIR

#define STORE_PAIR(register)                                                                       \
    do {                                                                                           \
        if (of[register].place != NULL && now[register].place == NULL)                             \
            _tile_stored(register, sums + (register) * TILE, 64);                                  \
    } while (0)

/* Stores what registers hold that are not begun anew. */
QL_INLINE void store_pairs(const result *of, const result *now, int32_t *sums) {
    STORE_PAIR(0);
    STORE_PAIR(1);
    STORE_PAIR(2);
    STORE_PAIR(3);
}

#undef STORE_PAIR

/* Strips of one slice: pixels are loaded for two of them, and weights for two tiles of pixels. */
QL_INLINE void convolve_pairs(const int plain, const ql_grouped_tiles_item *item,
                              const ql_codes *codes, int32_t *sums) {
    finisher f = {.stage = stage_of(codes), .rows = item->rows, .y_step = item->y_step};
    result before[4] = {{NULL, NULL}};
    const int64_t beside = item->pieces > 1 ? 3 / (item->pieces - 1) + 1 : 0;
    int has_two;
    for (int64_t s = 0; s < item->strip_count; s += 1 + has_two) {
        const ql_grouped_strip *strip = item->strips + s;
        has_two = s + 1 < item->strip_count && strip[0].x == strip[1].x;
        for (int64_t p = 0; p < item->place_count; p += 2) {
            const ql_grouped_place *place = item->places + p;
            const int has_next = p + 1 < item->place_count;
            const result now[4] = {{strip, place},
                                   {strip, has_next ? place + 1 : NULL},
                                   {strip + has_two, has_two ? place : NULL},
                                   {strip + has_two, has_two && has_next ? place + 1 : NULL}};
            add_pairs(1, strip, has_two, place, has_next, item->offsets[0], 0, item->x_step, before,
                      sums);
            store_pairs(before, now, sums);
            int64_t finished = 0;
#pragma GCC unroll 1
            for (int64_t piece = 1; piece < item->pieces; piece++) {
                add_pairs(0, strip, has_two, place, has_next, item->offsets[piece], piece * PIECE,
                          item->x_step, before, sums);
                for (int64_t i = 0; i < beside && finished < 4; i++, finished++)
                    finish_tile(plain, &f, &before[finished], sums + finished * TILE);
            }
            for (; finished < 4; finished++)
                finish_tile(plain, &f, &before[finished], sums + finished * TILE);
            memcpy(before, now, sizeof before);
        }
    }
    const result none[4] = {{NULL, NULL}};
    store_pairs(before, none, sums);
    for (int i = 0; i < 4; i++)
        finish_tile(plain, &f, &before[i], sums + i * TILE);
}

void ql_amx_grouped_tiles(const ql_grouped_tiles_item *item, int rolls, const ql_codes *codes,
                          int32_t *sums) {
    if (codes == NULL)
        convolve(0, 0, item, NULL, sums);
    else if (rolls && way_of(codes) == CONVERTED_PLAINLY)
        roll_down(1, item, codes, sums);
    else if (rolls)
        roll_down(0, item, codes, sums);
    else if (item->strip_count > 1 && item->strips[0].x == item->strips[1].x)
        way_of(codes) == CONVERTED_PLAINLY ? convolve_pairs(1, item, codes, sums)
                                           : convolve_pairs(0, item, codes, sums);
    else if (way_of(codes) == CONVERTED_PLAINLY)
        convolve(1, 1, item, codes, sums);
    else
        convolve(0, 1, item, codes, sums);
}

QL_TARGET_END

#endif
