/* What the files of depthwise convolutions share: weights as they are packed (depthwise_pack.c) and
 * used (depthwise.c, where the packing is explained). */
#ifndef QL_DEPTHWISE_H
#define QL_DEPTHWISE_H

#include "core.h"

struct ql_depthwise_filter {
    const ql_kernels *kernels;
    int64_t size;
    int64_t channels, multiplier;   /* of the input; output channels for each */
    int64_t rows, taps;             /* of the kernel; taps in each row */
    int64_t lines, step;            /* of a bundle; input lines between them */
    int64_t planes, reach, repeats; /* of a bundle; of one of its lines; times through them */
    char *weights;                  /* [line][stretch][repeat][plane][tap][channel], 4 bytes each */
    int64_t line_size;              /* bytes */
    int32_t *totals;                /* of each output channel's weights */
    uint8_t *codes;                 /* as they were given */
    ql_channelwise_filter *windows; /* for channels first, or NULL */
};

/* The first plane of a bundle that line number `line` of it reads. */
static inline int64_t ql_depthwise_first_plane(const ql_depthwise_filter *f, int64_t line) {
    return line * f->step / f->kernels->depthwise_rows;
}

/* Puts an entry of each channel, of four bytes, where planes have the channel. */
void ql_depthwise_put_in_order(const ql_depthwise_filter *filter, const void *entries, void *to);

#endif
