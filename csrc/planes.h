/* What the files of convolutions with channels first share: weights (planes_pack.c), where places
 * of input are (planes_place.c), and the products of both (planes.c, where all is explained). */
#ifndef QL_PLANES_H
#define QL_PLANES_H

#include "core.h"

enum {
    QL_PLANE_GROUP = 4, /* channels of an element */
    QL_PLANE_PART_GROUPS = QL_PART_BYTES / QL_PLANE_GROUP,
    QL_PLANE_PART_SIZE = QL_STRIP * QL_PART_BYTES /* weights of QL_STRIP rows */
};

struct ql_plane_filter {
    const ql_kernels *kernels;
    int64_t size;
    int64_t group;                /* so many convolutions, with channels and weights of their own */
    int64_t channels, rows, taps; /* of each */
    int64_t row_step;             /* from the rows of one to those of the next, whole tiles */
    int of_pixels;                /* whether a place has a whole part of K side by side */
    int64_t columns;              /* of the kernel */
    int64_t overlap;              /* bytes from one place to the next if they are patches, else 0 */
    int64_t groups, parts;        /* of a part of K, 1 if that is so; of each tap */
    int64_t block_step;           /* bytes of QL_STRIP rows */
    int64_t *sums;                /* of each row, without those between convolutions */
    int8_t *weights; /* [block of rows][part][tap][row][QL_PART_BYTES], or of pixels [block of
                        QL_PLANE_ROWS][part][tap][strip][group][row][QL_PLANE_GROUP]; taps
                        of patches are in parts */
};

/* The parts of K that follow one another. */
static inline int64_t ql_plane_steps(const ql_plane_filter *f) {
    return f->overlap > 0 ? f->parts : f->taps * f->parts;
}

/* Groups of a place, and the bytes that each has of it. */
static inline int64_t ql_plane_groups(const ql_plane_filter *f) {
    return f->groups * f->parts;
}

/* The row of an output channel, counted with those between convolutions; and the reverse. */
static inline int64_t ql_plane_row(const ql_plane_filter *f, int64_t channel) {
    return channel / f->rows * f->row_step + channel % f->rows;
}

static inline int64_t ql_channel_of_row(const ql_plane_filter *f, int64_t row) {
    return row / f->row_step * f->rows + row % f->row_step;
}

static inline int64_t ql_place_bytes(const ql_plane_filter *f) {
    return f->overlap > 0 ? f->overlap : f->of_pixels ? QL_PART_BYTES : QL_PLANE_GROUP;
}

static inline int64_t ql_pixels_of(const int64_t extent[3]) {
    return extent[0] * extent[1] * extent[2];
}

/* How the places of an image lie in the output and in the blocks of input. */
typedef struct {
    int is_pointwise;
    int64_t width, pitch;     /* results and places of a line */
    int64_t lines;            /* of an image */
    int64_t places;           /* of a block; whole lines, unless pointwise */
    int64_t lead;             /* of the first one */
    int64_t shared;           /* padding that ends one line and begins the next */
    int64_t phase;            /* of places a stride apart, to the next one, in bytes; or of patches
                                 to the lines that they are made of */
    int64_t group_step, size; /* of a block, in bytes */
} ql_placing;

/* What blocks are loaded from. */
typedef struct {
    const ql_plane_filter *filter;
    const ql_conv_shape *shape;
    const uint8_t *x;
    uint8_t flip, zero; /* zero: of the padding, flipped */
    ql_placing at;
    int64_t together; /* lines that pixels are loaded of together, or 0: one at a time */
    int64_t columns;  /* of each that are used */
    int32_t *places;  /* of those pixels, in bytes */
    int32_t *padding; /* places of a line that are outside of the image */
    int64_t paddings; /* how many */
} ql_plane_input;

/* Whether places are the pixels of the output. */
int ql_is_plane_of_points(const ql_conv_shape *shape);
/* Whether a block of one line, or of few points, is not too large. */
int ql_can_place(const ql_plane_filter *filter, const ql_conv_shape *shape);
/* The placing, in at least so many `blocks` of an image if its work is to be shared. */
ql_placing ql_place_planes(const ql_plane_filter *filter, const ql_conv_shape *shape,
                           const uint8_t *x, int64_t blocks);
int64_t ql_first_of_block(const ql_placing *at, int64_t block);

/* How many int32 the lists of places and padding take; and those. */
int64_t ql_count_plane_lists(const ql_plane_input *from);
void ql_list_places(ql_plane_input *from, int32_t *lists);

/* Where the parts of K begin in a block: for the same channels tap after tap, which see the same
 * cache lines. */
void ql_set_plane_parts(const ql_plane_input *from, int64_t *part);

/* Loads the places `first` to `last` of an image. */
void ql_load_places(const ql_plane_input *from, int64_t image, int64_t first, int64_t last,
                    uint8_t *block);

#endif
