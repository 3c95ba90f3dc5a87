/* Convolutions of groups for AMX: see csrc/grouped.c.
 *
 *     sums[p][j] = start[j] + sum over pieces, k = 0..63 of x[p + piece][k] * w[piece][k][j]
 *
 * Of 16 pixels, the 64 bytes from where a piece of a slice begins are a tile, and four tiles hold
 * their 64 sums. For each piece there are four tiles of weights, 16 elements by 16 outputs, for one
 * tdpbusd each: 16 cycles, with loads of 10 to 16 beside it. Lines with fewer pixels are tiles of
 * fewer rows; the last pixels of longer lines are done with some that were done before. */
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

enum { CHANNELS = 64, STRIDE = CHANNELS * sizeof(int32_t), TILE = 1024 };

/* The products of one piece with four strips of weights: of 64 channels of a pixel, of 32 twice, or
 * of 16 four times. */
QL_INLINE void multiply_piece(const int slice, const char *x, int64_t step, int64_t slice_step,
                              const char *w) {
    _tile_loadd(4, x, step);
    _tile_loadd(5, w, 64);
    _tile_dpbusd(0, 4, 5);
    if (slice == 16)
        _tile_loadd(4, x + slice_step, step);
    _tile_loadd(6, w + TILE, 64);
    _tile_dpbusd(1, 4, 6);
    if (slice < 64)
        _tile_loadd(4, x + slice_step * (32 / slice), step);
    _tile_loadd(5, w + 2 * TILE, 64);
    _tile_dpbusd(2, 4, 5);
    if (slice == 16)
        _tile_loadd(4, x + 3 * slice_step, step);
    _tile_loadd(6, w + 3 * TILE, 64);
    _tile_dpbusd(3, 4, 6);
}

QL_INLINE void sum_line(const int slice, const ql_grouped_line *line, int32_t *sums) {
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
        for (int64_t piece = 0; piece < line->taps; piece++, w += 4 * TILE)
            multiply_piece(slice, x + line->offsets[piece], step, line->slice_step, w);
        _tile_stored(0, to, STRIDE);
        _tile_stored(1, to + 16, STRIDE);
        _tile_stored(2, to + 32, STRIDE);
        _tile_stored(3, to + 48, STRIDE);
    }
}

void ql_amx_grouped_tiles(const ql_grouped_line *line, int32_t *sums) {
    if (line->slice == 16)
        sum_line(16, line, sums);
    else if (line->slice == 32)
        sum_line(32, line, sums);
    else
        sum_line(64, line, sums);
}

QL_TARGET_END

#endif
