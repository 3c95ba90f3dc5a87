/* What the files of groups share: weights as they are packed (grouped_pack.c) and used (grouped.c,
 * where the packing is explained). */
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

/* Whether groups of such a shape are multiplied in tiles. */
int ql_are_in_tiles(const ql_kernels *kernels, const ql_conv_shape *shape);

#endif
