/* Convolutions of groups for AMX: see csrc/grouped.c.
 *
 *     sums[p][j] = start[j] + sum over taps, k = 0..63 of x[p + tap][k] * w[tap][k][j]
 *
 * 16 pixels of 64 channels are a tile, and four tiles hold their 64 sums each. For each tap that
 * tile is loaded, wherever it lies, then four tiles of weights, 16 elements of four channels by 16
 * outputs, for one tdpbusd each: 16 cycles, with loads of 10 beside it. Lines with fewer pixels are
 * tiles of fewer rows; the last pixels of longer lines are done with some that were done before. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "configuration.h"

/* Registers 0 to 3 hold sums, 4 pixels, 5 and 6 weights. */
void ql_amx_prepare_grouped(int64_t rows) {
    const uint8_t pixels = (uint8_t)rows;
    const ql_amx_configuration shape = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64},
        .rows = {pixels, pixels, pixels, pixels, pixels, 16, 16},
    };
    ql_amx_configure(&shape);
}

void ql_amx_grouped_tiles(const ql_grouped_line *line, int32_t *sums) {
    enum { CHANNELS = 64, STRIDE = CHANNELS * sizeof(int32_t), TILE = 1024 };
    const int64_t last = ql_max(line->pixels - QL_GROUPED_ROWS, 0), step = line->pixel_step;
    for (int64_t i = 0; i < line->pixels; i += QL_GROUPED_ROWS) {
        const int64_t pixel = ql_min(i, last);
        const char *x = line->x + pixel * step, *w = line->w;
        int32_t *to = sums + pixel * CHANNELS;
        /* A stride of 0 reads the one row into every row. */
        _tile_loadd(0, line->start, 0);
        _tile_loadd(1, line->start + 16, 0);
        _tile_loadd(2, line->start + 32, 0);
        _tile_loadd(3, line->start + 48, 0);
#pragma GCC unroll 1
        for (int64_t tap = 0; tap < line->taps; tap++, w += 4 * TILE) {
            _tile_loadd(4, x + line->offsets[tap], step);
            _tile_loadd(5, w, 64);
            _tile_dpbusd(0, 4, 5);
            _tile_loadd(6, w + TILE, 64);
            _tile_dpbusd(1, 4, 6);
            _tile_loadd(5, w + 2 * TILE, 64);
            _tile_dpbusd(2, 4, 5);
            _tile_loadd(6, w + 3 * TILE, 64);
            _tile_dpbusd(3, 4, 6);
        }
        _tile_stored(0, to, STRIDE);
        _tile_stored(1, to + 16, STRIDE);
        _tile_stored(2, to + 32, STRIDE);
        _tile_stored(3, to + 48, STRIDE);
    }
}

QL_TARGET_END

#endif
