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
 * To turn the 1024 sums of a tile into codes takes vectors some 200 cycles, as long as the tile
 * unit takes for K = 200. Neither waits for the other if their instructions alternate: a tile is
 * multiplied while the codes of the one before are computed. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/lanes.h"
#include "../avx512vnni/requantize.h"
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

/* The codes of a pending tile, two rows at a time. */
typedef struct {
    const ql_pending *tile;
    requantizer how;
    __mmask16 mask[2];
    __m512 multiplier_f32x16[2];
} codes_beside;

QL_INLINE codes_beside codes_beside_of(const ql_pending *pending) {
    codes_beside codes = {
        .tile = pending,
        .how = requantizer_of(pending->zero_point, pending->lower, pending->upper, NULL),
        .mask = {first(pending->columns), first(pending->columns - 16)},
    };
    for (int half = 0; half < 2; half++)
        codes.multiplier_f32x16[half] =
            _mm512_maskz_loadu_ps(codes.mask[half], pending->multiplier + 16 * half);
    return codes;
}

QL_INLINE void finish_rows(const codes_beside *codes, int64_t row) {
    const ql_pending *tile = codes->tile;
    const __mmask32 bytes = (__mmask32)codes->mask[1] << 16 | codes->mask[0];
    __m512i steps_i32x16[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++)
        steps_i32x16[k] = steps_of(tile->sums + (row + k / 2) * QL_TILE_COLUMNS + k % 2 * 16, NULL,
                                   0xffff, codes->multiplier_f32x16[k % 2], &codes->how);
    const __m512i codes_u8x64 = codes_of(steps_i32x16, &codes->how);
    _mm256_mask_storeu_epi8(tile->y[row], bytes, _mm512_castsi512_si256(codes_u8x64));
    _mm256_mask_storeu_epi8(tile->y[row + 1], bytes, _mm512_extracti64x4_epi64(codes_u8x64, 1));
}

QL_INLINE void tile_of(const int is_signed, const int lower, const int strips, const int past_cache,
                       int64_t groups, const char *a, int64_t a_stride, const ql_place *places,
                       const int8_t *b, int64_t b_stride, const int32_t *init, int32_t *c,
                       const ql_pending *pending) {
    enum { STRIDE = QL_TILE_COLUMNS * sizeof(int32_t) };
    /* A stride of 0 reads the one row of init into every row. */
    const int64_t first_stride = init == NULL ? STRIDE : 0;
    const int32_t *first = init == NULL ? c : init;
    const int32_t *first_lower = init == NULL ? c + 16 * QL_TILE_COLUMNS : init;
    _tile_loadd(0, first, first_stride);
    if (strips == 2)
        _tile_loadd(1, first + 16, first_stride);
    if (lower)
        _tile_loadd(2, first_lower, first_stride);
    if (lower && strips == 2)
        _tile_loadd(3, first_lower + 16, first_stride);
    const int64_t steps = ql_max(groups / 16, 1);
    const int64_t rows_beside = pending == NULL ? 0 : (QL_TILE_ROWS / 2 + steps - 1) / steps * 2;
    int64_t row = pending == NULL ? QL_TILE_ROWS : 0;
    codes_beside codes;
    if (pending != NULL)
        codes = codes_beside_of(pending);
#pragma GCC unroll 1 /* ten times what is in this loop is slower */
    for (int64_t group = 0; group < groups; group += 16) {
        const char *upper_rows = a + (places == NULL ? group * 4 : places[group / 16].a);
        const int8_t *strip = b + (places == NULL ? group * 64 : places[group / 16].b);
        _tile_loadd(6, strip, 64);
        LOAD_ROWS(4, upper_rows);
        MULTIPLY(0, 4, 6);
        if (lower) {
            LOAD_ROWS(5, upper_rows + 16 * a_stride);
            MULTIPLY(2, 5, 6);
        }
        if (strips == 2) {
            _tile_loadd(7, strip + b_stride, 64);
            MULTIPLY(1, 4, 7);
            if (lower)
                MULTIPLY(3, 5, 7);
        }
        for (const int64_t last = ql_min(row + rows_beside, QL_TILE_ROWS); row < last; row += 2)
            finish_rows(&codes, row);
    }
    for (; row < QL_TILE_ROWS; row += 2) /* of a product without groups */
        finish_rows(&codes, row);
    _tile_stored(0, c, STRIDE);
    if (strips == 2)
        _tile_stored(1, c + 16, STRIDE);
    if (lower)
        _tile_stored(2, c + 16 * QL_TILE_COLUMNS, STRIDE);
    if (lower && strips == 2)
        _tile_stored(3, c + 16 * QL_TILE_COLUMNS + 16, STRIDE);
}

#undef LOAD_ROWS
#undef MULTIPLY

QL_INLINE void tile(const int is_signed, const int lower, const int strips, int64_t groups,
                    const char *a, int64_t a_stride, const int8_t *b, int64_t b_stride,
                    const int32_t *init, int32_t *c, const ql_pending *pending) {
    if (groups > MOST_CACHED_GROUPS && groups <= QL_AMX_MOST_GROUPS)
        tile_of(is_signed, lower, strips, 1, groups, a, a_stride, NULL, b, b_stride, init, c,
                pending);
    else
        tile_of(is_signed, lower, strips, 0, groups, a, a_stride, NULL, b, b_stride, init, c,
                pending);
}

#define DEFINE_TILE(name, is_signed, lower, strips)                                                \
    void ql_amx_tile_##name##_x##strips(int64_t groups, const void *a, int64_t a_stride,           \
                                        const int8_t *b, int64_t b_stride, const int32_t *init,    \
                                        int32_t *c) {                                              \
        tile(is_signed, lower, strips, groups, a, a_stride, b, b_stride, init, c, NULL);           \
    }

DEFINE_TILE(half, 0, 0, 1)
DEFINE_TILE(half, 0, 0, 2)
DEFINE_TILE(whole, 0, 1, 1)
DEFINE_TILE(whole, 0, 1, 2)
DEFINE_TILE(signed_half, 1, 0, 1)
DEFINE_TILE(signed_half, 1, 0, 2)
DEFINE_TILE(signed_whole, 1, 1, 1)
DEFINE_TILE(signed_whole, 1, 1, 2)

#define DEFINE_TILE_BESIDE(name, is_signed)                                                        \
    void ql_amx_tile_##name(int64_t groups, const void *a, int64_t a_stride, const int8_t *b,      \
                            int64_t b_stride, const int32_t *init, int32_t *c,                     \
                            const ql_pending *pending) {                                           \
        if (pending == NULL)                                                                       \
            tile(is_signed, 1, 2, groups, a, a_stride, b, b_stride, init, c, NULL);                \
        else                                                                                       \
            tile(is_signed, 1, 2, groups, a, a_stride, b, b_stride, init, c, pending);             \
    }

DEFINE_TILE_BESIDE(beside, 0)
DEFINE_TILE_BESIDE(signed_beside, 1)

#define DEFINE_TILE_OF_PLACES(name, is_signed, lower, strips)                                      \
    void ql_amx_places_##name##_x##strips(                                                         \
        int64_t groups, const void *a, int64_t a_stride, const ql_place *places, const int8_t *b,  \
        int64_t b_stride, const int32_t *init, int32_t *c, const ql_pending *pending) {            \
        if (lower && strips == 2 && pending != NULL)                                               \
            tile_of(is_signed, lower, strips, 0, groups, a, a_stride, places, b, b_stride, init,   \
                    c, pending);                                                                   \
        else                                                                                       \
            tile_of(is_signed, lower, strips, 0, groups, a, a_stride, places, b, b_stride, init,   \
                    c, NULL);                                                                      \
    }

DEFINE_TILE_OF_PLACES(half, 0, 0, 1)
DEFINE_TILE_OF_PLACES(half, 0, 0, 2)
DEFINE_TILE_OF_PLACES(whole, 0, 1, 1)
DEFINE_TILE_OF_PLACES(whole, 0, 1, 2)
DEFINE_TILE_OF_PLACES(signed_half, 1, 0, 1)
DEFINE_TILE_OF_PLACES(signed_half, 1, 0, 2)
DEFINE_TILE_OF_PLACES(signed_whole, 1, 1, 1)
DEFINE_TILE_OF_PLACES(signed_whole, 1, 1, 2)

/* Back to the state that is cheap to switch between threads. */
void ql_amx_release(void) {
    _tile_release();
}

QL_TARGET_END

#endif
