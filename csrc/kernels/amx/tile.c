/* A tile of a product for AMX: 3 to 32 rows by two strips of 16 columns.
 *
 *     c[i][j] = init[j] + sum over groups g of sum over d = 0..3 of a[4g+d] * b[4g+d][j]
 *
 * tdpbusd multiplies 16 rows of 64 unsigned bytes (tdpbssd: signed ones) by 16 groups of a strip,
 * 16 x 64 signed bytes packed [group][16][4] as for VNNI, and adds the exact sums to 16 x 16 int32.
 * Groups come in sixteens; the strips hold zeros beyond K.
 *
 * Tile registers: 4 of sums (2 x 16 rows, 2 strips), 2 of a, 2 of b. Cost for 16 groups: 4 tdpbusd
 * of 16 cycles for 65536 multiply-adds, with 4 tile loads of 8 cycles beside them.
 *
 * A sum is known 52 cycles after its last product, and storing 4 registers takes 64 more: 89 cycles
 * for each tile, if it is stored before the next one begins. So sums are held in the registers, and
 * each is stored by the first step of the next tile, right before it is begun anew there: then the
 * tile unit waits 7 cycles.
 *
 * To turn the 1024 sums of a tile into codes takes vectors some 200 cycles, as long as the tile
 * unit takes for K = 200. Neither waits for the other if their instructions alternate, some of the
 * former behind each product: a tile is multiplied while the one before is finished. Loading what
 * sums start from takes 30 cycles for each register, so sums that the next tile of their column
 * finishes begin at zero, and it is added then: 1 to 6 % less time. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/lanes.h"
#include "../avx512vnni/requantize.h"
#include "../avx512vnni/rescale.h"
#include "configuration.h"

/* Registers 0 and 1 sum the upper rows, 2 and 3 the lower ones; 4 and 5 hold a, 6 and 7 b. Loading
 * a configuration costs as much as hundreds of products, so it is done once for many tiles. */
void ql_amx_prepare(int64_t rows) {
    const uint8_t upper = (uint8_t)(rows < 16 ? rows : 16), lower = (uint8_t)(rows - upper);
    const uint16_t lower_bytes = lower ? 64 : 0;
    const ql_amx_configuration shape = {
        .palette = 1,
        .row_bytes = {64, 64, lower_bytes, lower_bytes, 64, lower_bytes, 64, 64},
        .rows = {upper, upper, lower, lower, upper, lower, 16, 16},
    };
    ql_amx_configure(&shape);
}

/* Where rows and strips of a tile do not fit the first cache together, but strips do, rows are
 * loaded past it, and strips, which the next tile uses again, stay. Such loads begin later: where
 * both fit, or neither does, they lose a tenth. */
enum { MOST_CACHED_GROUPS = 160 };

/* The registers are constants of the instruction. */
#define LOAD_ROWS(register, a)                                                                     \
    do {                                                                                           \
        if (past_cache)                                                                            \
            _tile_stream_loadd(register, a, a_stride);                                             \
        else                                                                                       \
            _tile_loadd(register, a, a_stride);                                                    \
    } while (0)

#define MULTIPLY(sums, a, b)                                                                       \
    do {                                                                                           \
        if (is_signed)                                                                             \
            _tile_dpbssd(sums, a, b);                                                              \
        else                                                                                       \
            _tile_dpbusd(sums, a, b);                                                              \
    } while (0)

/* A pending tile, which is finished two rows at a time. */
typedef struct {
    int64_t row;           /* the next one */
    int64_t due, products; /* in how many products all are done; a share of that */
    const ql_pending *tile;
    const int32_t *sums;
    __m512i start_i32x16[2]; /* which is added to them */
    __mmask16 mask[2];
    requantizer codes;
    __m512 multiplier_f32x16[2];
    rescaler reals;
} finisher;

/* What becomes of it. */
enum { NOTHING, CODES, CODES_OF_SUMS, REALS, SUMS };

QL_INLINE finisher finisher_of(const int kind, const ql_pending *tile, const int32_t *sums,
                               int64_t products) {
    finisher f = {.products = kind == REALS ? (products + 1) / 2 : products,
                  .tile = tile,
                  .sums = sums,
                  .mask = {first(tile->columns), first(tile->columns - 16)}};
    if (kind == REALS)
        f.reals = rescaler_of(tile->multiplier, tile->bias, tile->lower_real, tile->upper_real,
                              tile->columns);
    const int has_codes = kind == CODES || kind == CODES_OF_SUMS;
    if (has_codes)
        f.codes = requantizer_of(tile->zero_point, tile->lower, tile->upper,
                                 kind == CODES ? NULL : &tile->residual);
    for (int half = 0; half < 2; half++)
        f.start_i32x16[half] = _mm512_loadu_si512(tile->start + 16 * half);
    for (int half = 0; half < 2 && has_codes; half++)
        f.multiplier_f32x16[half] =
            _mm512_maskz_loadu_ps(f.mask[half], tile->multiplier + 16 * half);
    return f;
}

QL_INLINE __m512i sums_of(const finisher *f, int64_t row, int half) {
    return _mm512_add_epi32(_mm512_load_si512(f->sums + row * QL_TILE_COLUMNS + 16 * half),
                            f->start_i32x16[half]);
}

QL_INLINE void codes_of_rows(const int has_residual, const finisher *f, int64_t row) {
    const __mmask32 bytes = (__mmask32)f->mask[1] << 16 | f->mask[0];
    __m512i steps_i32x16[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        const int half = k % 2;
        const uint8_t *added = has_residual ? f->tile->added[row + k / 2] + 16 * half : NULL;
        steps_i32x16[k] = steps_of(sums_of(f, row + k / 2, half), added, f->mask[half],
                                   f->multiplier_f32x16[half], &f->codes);
    }
    const __m512i codes_u8x64 = codes_of(steps_i32x16, &f->codes);
    _mm256_mask_storeu_epi8(f->tile->y[row], bytes, _mm512_castsi512_si256(codes_u8x64));
    _mm256_mask_storeu_epi8(f->tile->y[row + 1], bytes, _mm512_extracti64x4_epi64(codes_u8x64, 1));
}

QL_INLINE void finish_rows(const int kind, const finisher *f, int64_t row) {
    const ql_pending *tile = f->tile;
    if (kind == CODES || kind == CODES_OF_SUMS) {
        codes_of_rows(kind == CODES_OF_SUMS, f, row);
        return;
    }
    for (const int64_t last = row + 2; row < last; row++) {
        const __m512i sums_i32x16[2] = {sums_of(f, row, 0), sums_of(f, row, 1)};
        if (kind == REALS) {
            rescale_row(&f->reals, sums_i32x16, tile->row_factor[row * tile->row_step],
                        tile->past_caches, (float *)tile->y[row]);
            continue;
        }
        int32_t *y = (int32_t *)tile->y[row];
        if (tile->past_caches) {
            _mm512_stream_si512((void *)y, sums_i32x16[0]);
            _mm512_stream_si512((void *)(y + 16), sums_i32x16[1]);
            continue;
        }
        _mm512_mask_storeu_epi32(y, f->mask[0], sums_i32x16[0]);
        _mm512_mask_storeu_epi32(y + 16, f->mask[1], sums_i32x16[1]);
    }
}

/* What is due after one of so many products: codes are spread evenly over them, as a processor has
 * so much room for what waits; reals, four bytes each, over the first half, so that they are stored
 * before the next tile's. */
QL_INLINE void finish_some(const int kind, finisher *f) {
    if (kind == NOTHING)
        return;
    for (f->due += QL_TILE_ROWS / 2;
         f->due >= f->products && (kind != REALS || f->row < QL_TILE_ROWS);
         f->due -= f->products, f->row += 2)
        finish_rows(kind, f, f->row);
}

enum { SUMS_STRIDE = QL_TILE_COLUMNS * sizeof(int32_t) };

/* Where the sums of a register are in a tile of sums. */
#define AT(place, lower, strip)                                                                    \
    ((char *)(place).sums + (lower) * 16 * (place).stride + (strip) * 64)

/* Stores the sums of the tile before and begins those of this one. */
#define EXCHANGE(register, lower, strip)                                                           \
    do {                                                                                           \
        if (before.sums != NULL)                                                                   \
            _tile_stored(register, AT(before, lower, strip), before.stride);                       \
        if (t->init == NULL)                                                                       \
            _tile_zero(register);                                                                  \
        else                                                                                       \
            _tile_loadd(register,                                                                  \
                        (const char *)t->init + (lower) * 16 * t->init_stride + (strip) * 64,      \
                        t->init_stride);                                                           \
    } while (0)

/* Sixteen groups; the first of a tile also exchanges its sums, one register at a time. */
QL_INLINE void step_of(const int is_signed, const int lower, const int strips, const int past_cache,
                       const int is_first, const int kind, const ql_held_tile *t, const char *a,
                       const int8_t *b, ql_sums_place before, finisher *f) {
    const int64_t a_stride = t->a_stride;
    _tile_loadd(6, b, 64);
    LOAD_ROWS(4, a);
    if (is_first)
        EXCHANGE(0, 0, 0);
    MULTIPLY(0, 4, 6);
    finish_some(kind, f);
    if (lower) {
        LOAD_ROWS(5, a + 16 * a_stride);
        if (is_first)
            EXCHANGE(2, 1, 0);
        MULTIPLY(2, 5, 6);
        finish_some(kind, f);
    }
    if (strips == 2) {
        _tile_loadd(7, b + t->b_stride, 64);
        if (is_first)
            EXCHANGE(1, 0, 1);
        MULTIPLY(1, 4, 7);
        finish_some(kind, f);
    }
    if (strips == 2 && lower) {
        if (is_first)
            EXCHANGE(3, 1, 1);
        MULTIPLY(3, 5, 7);
        finish_some(kind, f);
    }
}

QL_INLINE void store(const int lower, const int strips, ql_sums_place to) {
    _tile_stored(0, AT(to, 0, 0), to.stride);
    if (lower)
        _tile_stored(2, AT(to, 1, 0), to.stride);
    if (strips == 2)
        _tile_stored(1, AT(to, 0, 1), to.stride);
    if (lower && strips == 2)
        _tile_stored(3, AT(to, 1, 1), to.stride);
}

/* A product without groups. */
QL_INLINE void begin(const int lower, const int strips, const ql_held_tile *t,
                     ql_sums_place before) {
    EXCHANGE(0, 0, 0);
    if (lower)
        EXCHANGE(2, 1, 0);
    if (strips == 2)
        EXCHANGE(1, 0, 1);
    if (lower && strips == 2)
        EXCHANGE(3, 1, 1);
}

QL_INLINE void tile_of(const int is_signed, const int lower, const int strips, const int past_cache,
                       const int has_places, const int kind, const ql_held_tile *t,
                       ql_sums_place before, const ql_pending *pending) {
    if (t->groups == 0) {
        begin(lower, strips, t, before);
    } else {
        const ql_place at = has_places ? t->places[0] : (ql_place){0, 0};
        step_of(is_signed, lower, strips, past_cache, 1, NOTHING, t, t->a + at.a, t->b + at.b,
                before, NULL);
    }
    /* What is finished is what that step has stored. */
    const int64_t steps = t->groups / 16;
    finisher f;
    if (kind != NOTHING)
        f = finisher_of(kind, pending, before.sums, (steps - 1) * (1 + lower) * strips);
#pragma GCC unroll 1 /* ten times what is in this loop is slower */
    for (int64_t step = 1; step < steps; step++) {
        const ql_place at = has_places ? t->places[step] : (ql_place){step * 64, step * 1024};
        step_of(is_signed, lower, strips, past_cache, 0, kind, t, t->a + at.a, t->b + at.b,
                (ql_sums_place){NULL, 0}, &f);
    }
    for (; kind != NOTHING && f.row < QL_TILE_ROWS; f.row += 2) /* beside a single step */
        finish_rows(kind, &f, f.row);
}

#undef LOAD_ROWS
#undef MULTIPLY
#undef EXCHANGE
#undef AT

QL_INLINE void tile(const int is_signed, const int lower, const int strips, const int kind,
                    const ql_held_tile *t, ql_sums_place before, const ql_pending *pending) {
    if (t->places != NULL)
        tile_of(is_signed, lower, strips, 0, 1, kind, t, before, pending);
    else if (t->groups > MOST_CACHED_GROUPS && t->groups <= QL_AMX_MOST_GROUPS)
        tile_of(is_signed, lower, strips, 1, 0, kind, t, before, pending);
    else
        tile_of(is_signed, lower, strips, 0, 0, kind, t, before, pending);
}

#define DEFINE_TILE(name, is_signed, lower, strips)                                                \
    void ql_amx_tile_##name##_x##strips(const ql_held_tile *t, ql_sums_place before,               \
                                        const ql_pending *pending) {                               \
        if (!lower || strips != 2 || pending == NULL)                                              \
            tile(is_signed, lower, strips, NOTHING, t, before, NULL);                              \
        else if (pending->type == QL_INT32)                                                        \
            tile(is_signed, lower, strips, SUMS, t, before, pending);                              \
        else if (pending->type == QL_FLOAT32)                                                      \
            tile(is_signed, lower, strips, REALS, t, before, pending);                             \
        else if (pending->residual.codes != NULL)                                                  \
            tile(is_signed, lower, strips, CODES_OF_SUMS, t, before, pending);                     \
        else                                                                                       \
            tile(is_signed, lower, strips, CODES, t, before, pending);                             \
    }

DEFINE_TILE(half, 0, 0, 1)
DEFINE_TILE(half, 0, 0, 2)
DEFINE_TILE(whole, 0, 1, 1)
DEFINE_TILE(whole, 0, 1, 2)
DEFINE_TILE(signed_half, 1, 0, 1)
DEFINE_TILE(signed_half, 1, 0, 2)
DEFINE_TILE(signed_whole, 1, 1, 1)
DEFINE_TILE(signed_whole, 1, 1, 2)

#undef DEFINE_TILE

#define DEFINE_STORE(name, lower, strips)                                                          \
    void ql_amx_store_##name##_x##strips(ql_sums_place to) {                                       \
        store(lower, strips, to);                                                                  \
    }

DEFINE_STORE(half, 0, 1)
DEFINE_STORE(half, 0, 2)
DEFINE_STORE(whole, 1, 1)
DEFINE_STORE(whole, 1, 2)

#undef DEFINE_STORE

/* Back to the state that is cheap to switch between threads, which see what has been written. */
void ql_amx_release(void) {
    _mm_sfence();
    _tile_release();
}

QL_TARGET_END

#endif
