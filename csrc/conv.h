/* What the files of convolutions share: conv.c, filter.c, pixels.c, patches.c
 * and lines.c. */
#ifndef QL_CONV_H
#define QL_CONV_H

#include "core.h"

/* The order of the products of a row, from the outermost to the innermost: (line of the kernel,
 * column of it, channel), (column, line, channel) or (column, channel, line). */
typedef enum { QL_PATCHES, QL_OVERLAPPING, QL_INTERLEAVED } ql_ordering;

/* --- weights (filter.c) --------------------------------------------------------------------- */

struct ql_filter {
    const ql_kernels *kernels;
    ql_conv_shape shape;
    int64_t depth; /* products that one output sums */
    int64_t size;
    ql_ordering order;              /* of the rows */
    int64_t pitch;                  /* of columns of the kernel that overlap, zeros included */
    int64_t merged;                 /* groups that are put together */
    ql_depthwise_filter *depthwise; /* or NULL */
    ql_grouped_filter *grouped;     /* or NULL */
    ql_plane_filter *planes;        /* or NULL; products are packed then when a call needs them */
    int64_t products;               /* or 0 */
    ql_matrix *_Atomic product[];   /* of which there are none, at first, beside planes */
};

/* The groups of one product, and what they have each. */
typedef struct {
    int64_t first, count, in, out, taps;
} ql_groups;

ql_groups ql_groups_of(const ql_filter *filter, int64_t product);

/* A product of a filter, or NULL when memory is short. The first call that needs one which has not
 * been packed packs it; of several at a time, one is kept. */
const ql_matrix *ql_filter_product(const ql_filter *filter, int64_t number);

/* --- pixels (pixels.c) ---------------------------------------------------------------------- */

/* What rows are gathered from, and how. */
typedef struct {
    const ql_conv_shape *shape;
    const uint8_t *x;
    int channels_first;
    int64_t first_channel, channels; /* of the product */
    uint8_t zero;                    /* the byte of the zero point */
    ql_ordering order;
    int64_t pitch;       /* of columns that overlap, in elements */
    int64_t reach;       /* columns of input under a part of a line of results */
    int64_t lines;       /* of input that are cached; 0 if none are */
    int64_t line_stride; /* in bytes, of those */
    int64_t phase;       /* of lines, in bytes */
} ql_patches;

/* Whether bytes of input are the numbers that tiles take. */
int ql_is_plain(const ql_rows *rows, const ql_kernels *kernels);
int64_t ql_pixels_in(const ql_conv_shape *shape);
/* The byte of pixel `at`, counted through all images, that is the first of the product's. */
const uint8_t *ql_pixel_at(const ql_patches *from, int64_t at);

/* The bytes that loading pixels works in. */
int64_t ql_scratch_of_pixels(const ql_patches *from);
/* Loads `count` pixels of one image, `step` apart, to places that are `to_step` bytes apart. */
void ql_load_pixels(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t step,
                    int64_t count, char *to, int64_t to_step, char *scratch);
/* The same of one line, from column `column` on, which may be outside. */
void ql_load_line(const ql_rows *rows, const ql_kernels *kernels, int64_t line, int64_t column,
                  int64_t step, int64_t count, char *to, int64_t to_step, char *scratch);
/* Fills `count` pixels with the zero point. */
void ql_pad_pixels(const ql_rows *rows, const ql_kernels *kernels, int64_t count, char *to,
                   int64_t to_step);

/* --- rows (patches.c, lines.c) -------------------------------------------------------------- */

/* Completes `from`, of which the first seven are known, and rows of it. */
void ql_plan_patches(ql_patches *from, ql_rows *rows, const ql_kernels *kernels);

/* Whether a product reads its rows from lines of input; then, the same for those, in so many
 * places. */
int ql_has_lines(const ql_patches *from, const ql_matrix *product);
int64_t ql_count_places(const ql_matrix *product);
void ql_plan_lines(ql_patches *from, ql_rows *rows, const ql_matrix *product, ql_place *places);

#endif
