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
 * cycles, and those of four tiles 170, as long as 3 x 3 taps of 16 channels. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/codes.h"
#include "../avx512vnni/lanes.h"
#include "configuration.h"

enum { TILE = QL_GROUPED_ROWS * QL_STRIP /* sums */, PIECE = 1024, PIXELS = 4 };

/* Registers 0 to 3 hold sums, 4 and 5 pixels, 6 and 7 weights. */
void ql_amx_prepare_grouped(int64_t rows) {
    const uint8_t pixels = (uint8_t)rows;
    const ql_amx_configuration shape = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {pixels, pixels, pixels, pixels, pixels, pixels, 16, 16},
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
    __m512 multiplier_f32x16[4];
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
        f->multiplier_f32x16[p] = _mm512_maskz_loadu_ps(f->mask, of->strip->multiplier);
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
        codes_of(plain, &f->stage, sums_i32x16, f->multiplier_f32x16));
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

void ql_amx_grouped_tiles(const ql_grouped_tiles_item *item, const ql_codes *codes, int32_t *sums) {
    if (codes == NULL)
        convolve(0, 0, item, NULL, sums);
    else if (is_plain(codes))
        convolve(1, 1, item, codes, sums);
    else
        convolve(0, 1, item, codes, sums);
}

QL_TARGET_END

#endif
