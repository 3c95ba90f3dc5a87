/* What the files of groups share: weights as they are packed (grouped_pack.c) and used, in vectors
 * (grouped.c, where the packing is explained) and in tiles (grouped_tiles.c), with lines of input
 * and of results (grouped_lines.c). */
#ifndef QL_GROUPED_H
#define QL_GROUPED_H

#include "core.h"

enum {
    QL_GROUPED_BLOCK = 64,                       /* channels */
    QL_GROUPED_ELEMENTS = QL_GROUPED_BLOCK / 4,  /* of a pixel */
    QL_PIECE_BYTES = QL_GROUPED_BLOCK * QL_STRIP /* of weights, in tiles */
};

struct ql_grouped_filter {
    const ql_kernels *kernels;
    int64_t size;
    int64_t channels, out_channels;
    int64_t width, out_width;     /* of a group */
    int64_t turns, taps, repeats; /* elements of a group; of the kernel; parts of weights */
    int64_t numbers;              /* that dot products have of weights: four int8 or two int16 */
    int64_t blocks;
    int64_t block_channels, block_outputs;
    int in_tiles;
    int64_t slice;                         /* channels of input that are copied side by side */
    int64_t slices, slice_groups;          /* of a block; of a slice */
    int64_t strips, strip_outputs;         /* in tiles: of a slice; of a strip */
    int64_t lines, line_taps, line_pieces; /* of the kernel; taps and pieces of a line of it */
    int64_t apart;                         /* from one tap of a line to the next, in pieces */
    char *weights; /* [block][repeat][tap][turn][output of an element][part of an element][element],
                      4 bytes each; in tiles [slice][strip][repeat][piece][element][output] */
    int32_t *totals; /* of each output channel's weights */
    uint8_t *codes;  /* as they were given */
};

/* What a pixel is multiplied with in one go: taps, or in tiles pieces of QL_GROUPED_BLOCK bytes,
 * which may have several. */
static inline int64_t ql_count_pieces(const ql_grouped_filter *f) {
    return f->lines * f->line_pieces;
}

static inline int64_t ql_bytes_of_strip(const ql_grouped_filter *f) {
    return f->repeats * ql_count_pieces(f) * QL_PIECE_BYTES;
}

static inline int64_t ql_bytes_of_tap(const ql_grouped_filter *f) {
    return f->turns * 4 * (4 / f->numbers) * QL_GROUPED_BLOCK;
}

static inline int64_t ql_bytes_of_block(const ql_grouped_filter *f) {
    return f->in_tiles ? f->slices * f->strips * ql_bytes_of_strip(f)
                       : f->repeats * f->taps * ql_bytes_of_tap(f);
}

/* A convolution cut into items for the threads: blocks of channels of a tile of a band of lines. */
typedef struct {
    const ql_grouped_filter *filter;
    const uint8_t *x;
    uint8_t flip, zero; /* of bytes of x; the number that padding has */
    const ql_conv_shape *shape;
    int channels_first;
    const ql_output *output;
    char *y;
    const int32_t *start; /* what sums start from, in the order of vectors */
    int fits;             /* whether that includes the bias, because all sums fit int32 with it */
    ql_codes codes;       /* what becomes of them, if has_codes: then no sums are stored */
    int has_codes;
    int rolls; /* whether tiles of input are multiplied for three lines of output at a time */
    int64_t tile, rows, lines; /* pixels of a line; of those in a tile unit's; lines of a band */
    int64_t tiles, bands;
    int64_t columns, held; /* of input under them */
    int64_t chunk_items;
    ql_status status;
} ql_grouped_call;

/* What an item makes. */
typedef struct {
    int64_t image, depth;
    int64_t line, lines, pixel, pixels, channel, channels, output, outputs;
} ql_grouped_part;

/* A thread's memory. */
typedef struct {
    char *memory, *lines;
    char *loaded;             /* short lines that had channels first */
    int64_t *offsets;         /* of pieces */
    int32_t *sums;            /* of a line, or of tiles */
    ql_grouped_strip *strips; /* of tiles */
    ql_grouped_place *places;
    char *results, *residual; /* of an item, before channels are first */
} ql_grouped_room;

/* Columns of input under so many pixels of a line, and lines under so many lines. */
static inline int64_t ql_grouped_seen(const ql_conv_shape *s, int axis, int64_t outputs) {
    return (outputs - 1) * s->stride[axis] + (s->kernel[axis] - 1) * s->dilation[axis] + 1;
}

/* Whether groups of such a shape are multiplied in tiles. */
int ql_are_in_tiles(const ql_kernels *kernels, const ql_conv_shape *shape);

/* Whether channels become last all at once, and not line by line, where they belong: those of short
 * lines, and those of several thin slices. */
int ql_loads_together(const ql_grouped_call *call);
/* Bytes from one slice of the lines to the next. */
int64_t ql_slice_step(const ql_grouped_call *call);
/* Copies the lines of input that an item sees, with what pads them. */
void ql_copy_grouped(const ql_grouped_call *call, const ql_grouped_room *room,
                     const ql_grouped_part *part);

/* Where results of a line of an item go, or come from: in the array, or in what is transposed. */
int64_t ql_grouped_first(const ql_grouped_call *call, const ql_grouped_part *part, int64_t line);
/* From one pixel's results to the next one's. */
int64_t ql_grouped_step(const ql_grouped_call *call);
/* Transposes results, or the residual to them: lines that are whole in one go. */
void ql_transpose_grouped(const ql_grouped_call *call, const ql_grouped_room *room,
                          const ql_grouped_part *part, int to_results);
/* Sums of neighbouring pixels, finished: `outputs` of each from output channel `output` on, whose
 * results begin at element `first`. */
int ql_finish_grouped(const ql_grouped_call *call, const ql_grouped_room *room, int32_t *sums,
                      int64_t sums_stride, int64_t pixels, int64_t output, int64_t outputs,
                      int64_t first);

/* Convolves an item in tiles. */
int ql_convolve_grouped_tiles(const ql_grouped_call *call, const ql_grouped_room *room,
                              const ql_grouped_part *part);

#endif
