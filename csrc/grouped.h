/* What the files of narrow groups share: weights as they are packed (grouped_pack.c) and used
 * (grouped.c, where the packing is explained). */
#ifndef QL_GROUPED_H
#define QL_GROUPED_H

#include "core.h"

enum {
    QL_GROUPED_BLOCK = 64,                      /* channels */
    QL_GROUPED_ELEMENTS = QL_GROUPED_BLOCK / 4, /* of a pixel */
};

struct ql_grouped_filter {
    const ql_kernels *kernels;
    int64_t size;
    int64_t channels, width;      /* of a group */
    int64_t turns, taps, repeats; /* elements of a group; of the kernel; parts of weights */
    int64_t numbers;              /* that dot products have of weights: four int8 or two int16 */
    int64_t blocks;
    int in_tiles;  /* then all elements are as of one group */
    int64_t slice; /* channels that are copied side by side: a block's, but in tiles fewer */
    int64_t lines, line_taps, line_pieces; /* of the kernel; taps and pieces of a line of it */
    char *weights; /* [block][repeat][tap][turn][output of an element][part of an element][element],
                      4 bytes each */
    int32_t *totals; /* of each output channel's weights */
    uint8_t *codes;  /* as they were given */
};

/* Whether groups so wide are multiplied in tiles. */
static inline int ql_are_in_tiles(const ql_kernels *kernels, int64_t width) {
    return kernels->grouped_tiles != NULL && width >= 16 && QL_GROUPED_BLOCK % width == 0;
}

/* What a pixel is multiplied with in one go: taps, or in tiles pieces of QL_GROUPED_BLOCK bytes,
 * which may have several. */
static inline int64_t ql_count_pieces(const ql_grouped_filter *f) {
    return f->lines * f->line_pieces;
}

static inline int64_t ql_bytes_of_piece(const ql_grouped_filter *f) {
    return f->turns * 4 * (4 / f->numbers) * QL_GROUPED_BLOCK;
}

static inline int64_t ql_bytes_of_block(const ql_grouped_filter *f) {
    return f->repeats * ql_count_pieces(f) * ql_bytes_of_piece(f);
}

#endif
