/* A tile of a product for AMX: 3 to 32 rows by two strips of 16 columns.
 *
 *     c[i][j] = init[j] + sum over groups g of sum over d = 0..3 of a[4g+d] * b[4g+d][j]
 *
 * tdpbusd multiplies 16 rows of 64 unsigned bytes by 16 groups of a strip, 16 x 64 signed bytes
 * packed [group][16][4] as for VNNI, and adds the exact sums to 16 x 16 int32. Groups come in
 * sixteens; the strips hold zeros beyond K.
 *
 * Tile registers: 4 of sums (2 x 16 rows, 2 strips), 2 of a, 2 of b. Cost for 16 groups: 4 tdpbusd
 * of 16 cycles for 65536 multiply-adds, with 4 tile loads of 8 cycles beside them. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

/* What ldtilecfg reads: the rows and the bytes of a row of each register. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} configuration;

/* Registers 0 and 1 sum the upper rows, 2 and 3 the lower ones; 4 and 5 hold a, 6 and 7 b. */
#define CONFIGURATION(upper, lower)                                                                \
    {                                                                                              \
        .palette = 1,                                                                              \
        .row_bytes = {64, 64, (lower) ? 64 : 0, (lower) ? 64 : 0, 64, (lower) ? 64 : 0, 64, 64},   \
        .rows = {upper, upper, lower, lower, upper, lower, 16, 16},                                \
    }

QL_INLINE void tile(const configuration *shape, const int lower, const int strips, int64_t groups,
                    const char *a, int64_t a_stride, const int8_t *b, int64_t b_stride,
                    const int32_t *init, int32_t *c) {
    enum { STRIDE = QL_TILE_COLUMNS * sizeof(int32_t) };
    const char *a_lower = a + 16 * a_stride;
    _tile_loadconfig(shape);
    /* A stride of 0 reads the one row of init into every row. */
    _tile_loadd(0, init, 0);
    if (strips == 2)
        _tile_loadd(1, init + 16, 0);
    if (lower)
        _tile_loadd(2, init, 0);
    if (lower && strips == 2)
        _tile_loadd(3, init + 16, 0);
    for (int64_t group = 0; group < groups; group += 16, a += 64, a_lower += 64, b += 1024) {
        _tile_loadd(6, b, 64);
        _tile_loadd(4, a, a_stride);
        _tile_dpbusd(0, 4, 6);
        if (lower) {
            _tile_loadd(5, a_lower, a_stride);
            _tile_dpbusd(2, 5, 6);
        }
        if (strips == 2) {
            _tile_loadd(7, b + b_stride, 64);
            _tile_dpbusd(1, 4, 7);
            if (lower)
                _tile_dpbusd(3, 5, 7);
        }
    }
    _tile_stored(0, c, STRIDE);
    if (strips == 2)
        _tile_stored(1, c + 16, STRIDE);
    if (lower)
        _tile_stored(2, c + 16 * QL_TILE_COLUMNS, STRIDE);
    if (lower && strips == 2)
        _tile_stored(3, c + 16 * QL_TILE_COLUMNS + 16, STRIDE);
}

#define DEFINE_TILE(all, upper, lower, strips)                                                     \
    void ql_amx_tile_##all##x##strips(int64_t groups, const void *a, int64_t a_stride,             \
                                      const int8_t *b, int64_t b_stride, const int32_t *init,      \
                                      int32_t *c) {                                                \
        static const configuration shape = CONFIGURATION(upper, lower);                            \
        tile(&shape, lower, strips, groups, a, a_stride, b, b_stride, init, c);                    \
    }
#define DEFINE_TILES(all, upper, lower)                                                            \
    DEFINE_TILE(all, upper, lower, 1)                                                              \
    DEFINE_TILE(all, upper, lower, 2)

DEFINE_TILES(3, 3, 0)
DEFINE_TILES(4, 4, 0)
DEFINE_TILES(5, 5, 0)
DEFINE_TILES(6, 6, 0)
DEFINE_TILES(7, 7, 0)
DEFINE_TILES(8, 8, 0)
DEFINE_TILES(9, 9, 0)
DEFINE_TILES(10, 10, 0)
DEFINE_TILES(11, 11, 0)
DEFINE_TILES(12, 12, 0)
DEFINE_TILES(13, 13, 0)
DEFINE_TILES(14, 14, 0)
DEFINE_TILES(15, 15, 0)
DEFINE_TILES(16, 16, 0)
DEFINE_TILES(17, 16, 1)
DEFINE_TILES(18, 16, 2)
DEFINE_TILES(19, 16, 3)
DEFINE_TILES(20, 16, 4)
DEFINE_TILES(21, 16, 5)
DEFINE_TILES(22, 16, 6)
DEFINE_TILES(23, 16, 7)
DEFINE_TILES(24, 16, 8)
DEFINE_TILES(25, 16, 9)
DEFINE_TILES(26, 16, 10)
DEFINE_TILES(27, 16, 11)
DEFINE_TILES(28, 16, 12)
DEFINE_TILES(29, 16, 13)
DEFINE_TILES(30, 16, 14)
DEFINE_TILES(31, 16, 15)
DEFINE_TILES(32, 16, 16)

/* Back to the state that is cheap to switch between threads. */
void ql_amx_release(void) {
    _tile_release();
}

QL_TARGET_END

#endif
