/* What the files of depthwise convolutions share: weights as they are packed (depthwise_pack.c) and
 * used (depthwise.c, where the packing is explained). */
#ifndef QL_DEPTHWISE_H
#define QL_DEPTHWISE_H

#include "core.h"

/* What sums start from and are multiplied by, in the order of the kernels, of the first call that
 * made codes straight from sums: nearly always that of all others, too, which then need not arrange
 * it anew. It is written once, and there is no lock that a forked child could find taken. */
typedef struct {
    atomic_int state; /* a ql_state */
    int has_bias, in_windows, is_fused, is_opposed;
    int32_t zero_point;   /* of the input, and */
    int32_t *bias;        /* the parameters */
    float *multiplier;    /* as they were given, */
    int32_t *fused_start; /* this, too */
    int32_t *start;       /* for whole strips, as */
    float *arranged;      /* the multipliers */
    float *addend;        /* and these */
} ql_depthwise_first;

struct ql_depthwise_filter {
    const ql_kernels *kernels;
    int64_t size;
    int64_t channels, multiplier;   /* of the input; output channels for each */
    int64_t rows, taps;             /* of the kernel; taps in each row */
    int64_t lines, step;            /* of a bundle; input lines between them */
    int64_t planes, reach, repeats; /* of a bundle; of one of its lines; times through them */
    char *weights;                  /* [line][stretch][repeat][plane][tap][channel], 4 bytes each */
    int64_t line_size;              /* bytes */
    char *blocks;    /* where the kernels take those, of 3 x 3 with a stride of 2, for two lines:
                        [line][stretch][block][channel], each line as large; or NULL */
    int32_t *totals; /* of each output channel's weights */
    uint8_t *codes;  /* as they were given */
    ql_channelwise_filter *windows; /* for channels first, or NULL */
    ql_depthwise_first *first;      /* what the first call has arranged */
};

/* The first plane of a bundle that line number `line` of it reads. */
static inline int64_t ql_depthwise_first_plane(const ql_depthwise_filter *f, int64_t line) {
    return line * f->step / f->kernels->depthwise_rows;
}

/* How many lines a kernel of 3 x 3 makes straight from those of input; 0 if it cannot. */
static inline int64_t ql_depthwise_square_lines(const ql_conv_shape *s) {
    const int is_square = s->kernel[0] == 1 && s->kernel[1] == 3 && s->kernel[2] == 3 &&
                          s->dilation[1] == 1 && s->dilation[2] == 1 && s->stride[2] <= 2;
    return !is_square ? 0 : s->stride[1] == 1 && s->stride[2] == 1 ? 2 : 1;
}

/* Puts an entry of each channel, of four bytes, where planes have the channel. */
void ql_depthwise_put_in_order(const ql_depthwise_filter *filter, const void *entries, void *to);

#endif
