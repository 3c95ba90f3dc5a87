/* What the files of the C core share: their functions for one another, threads and memory. */
#ifndef QL_CORE_H
#define QL_CORE_H

#include <float.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "table.h"

/* 16 is 0 where the processor computes 16-bit floats besides, as with -march=native. */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "float must be computed as float: build with SSE2 (-msse2 -mfpmath=sse) on 32-bit x86"
#endif

/* The table in use (dispatch.c). */
const ql_kernels *ql_current_kernels(void);

/* --- the processor (cpu.c) ----------------------------------------------------------------- */

int ql_cpu_has_avx2(void);
int ql_cpu_has_avxvnni(void);
int ql_cpu_has_avx512vnni(void);
int ql_cpu_has_amx(void);
int ql_cpu_has_neondot(void);
int ql_cpu_has_neoni8mm(void);

/* --- threads (threads.c) -------------------------------------------------------------------- */

#if defined(__unix__) || defined(__APPLE__)
#define QL_THREADS 1
#else
#define QL_THREADS 0
#endif

/* One piece of a job; `chunk` counts from 0. */
typedef void ql_chunk(void *context, long chunk);

/* Runs all chunks on the caller's thread and on those of the pool that are free, in any order, and
 * returns when all are done. */
void ql_run_chunks(long chunks, ql_chunk *run, void *context);

/* What the chunks of a job came to: QL_OK, or what the first one that failed reported. */
typedef struct {
    _Atomic int first;
} ql_status;

static inline void ql_report(ql_status *status, int outcome) {
    int fine = QL_OK;
    if (outcome != QL_OK)
        atomic_compare_exchange_strong(&status->first, &fine, outcome);
}

static inline int ql_reported(ql_status *status) {
    return atomic_load(&status->first);
}

/* --- layouts (layout.c) --------------------------------------------------------------------- */

/* Data of the shape (outer, length, inner); of a tensor that shares its parameters, (1, 1, n). */
typedef struct {
    int kind;
    int64_t extent[3], block;
} ql_layout;

/* How many parts to cut data into, and along which axis. */
typedef struct {
    int axis;
    int64_t chunks;
} ql_cut;

/* From `first` up to `limit` along each axis. Blocks are not cut. */
typedef struct {
    int64_t first[3], limit[3];
} ql_part;

ql_layout ql_layout_of(int kind, int64_t outer, int64_t length, int64_t inner, int64_t block);
int64_t ql_elements(const ql_layout *at);
ql_cut ql_cut_layout(const ql_layout *at);
ql_part ql_part_of(const ql_layout *at, const ql_cut *cut, long chunk);

/* --- reals to codes (affine.c) -------------------------------------------------------------- */

/* How reals that share their parameters become 8-bit codes: by products, or by divisions where
 * there is no kernel for that or the scale is not fit for it. */
typedef struct {
    float scale, reciprocal, rest, low, high;
    int32_t zero_point, qmin, qmax;
    ql_multiply_run *multiply; /* or NULL */
    ql_quantize_run *divide;
} ql_quantizer;

ql_quantizer ql_quantizer_of(const ql_kernels *kernels, int is_signed, float scale,
                             int32_t zero_point);
void ql_quantize_stretch(const ql_quantizer *quantizer, const float *x, void *codes, int64_t count);

/* --- memory (memory.c) ---------------------------------------------------------------------- */

/* `size` bytes at a multiple of QL_ALIGNMENT, or NULL. */
void *ql_allocate(size_t size);
void ql_release(void *memory);

/* The same for the time of a call: given back to the thread that borrowed it, which keeps it. */
void *ql_borrow(size_t size);
void ql_return(void *memory);

/* --- products (pack.c, product*.c, tiles.c, finish.c) ---------------------------------------- */

struct ql_matrix {
    const ql_kernels *kernels;
    int64_t k, n;
    int64_t groups;       /* ceil(k / dot), in steps of group_step */
    int64_t strip_stride; /* bytes from one strip to the next */
    int8_t *strips;       /* [strip][group][QL_STRIP][dot], int8, zero beyond k and n */
    int64_t *sums;        /* of each column of strips */
    int32_t *zero_point;  /* of each column, in int8: less 128 where b was uint8 */
    int8_t *columns;      /* of a narrow operand (narrow.c), or NULL */
    int has_zero_point;   /* whether one is not 0 */
    int32_t reach;        /* the most that a code can be away from its zero point */
    int64_t size;
};

/* What makes bytes of one signedness numbers of the other, and what that adds to them. */
static inline uint8_t ql_flip(int from_signed, int to_signed) {
    return from_signed == to_signed ? 0 : 0x80;
}

static inline int32_t ql_shift(int from_signed, int to_signed) {
    return 128 * (from_signed - to_signed);
}

/* A right operand where the caller has it. */
typedef struct {
    const uint8_t *bytes;
    int64_t k, n, k_stride, n_stride;
    int is_signed;
    const int32_t *zero_points; /* of each column */
} ql_operand;

/* Its columns from `column` on. */
ql_operand ql_operand_from(const ql_operand *operand, int64_t column, int64_t columns);

/* What a packed operand would be, without its memory. */
ql_matrix ql_matrix_describe(const ql_kernels *kernels, const ql_operand *operand);
/* Room for up to n columns, borrowed or to be kept, or NULL; and packing of `columns` columns from
 * `column` on into it. */
ql_matrix *ql_matrix_room(const ql_kernels *kernels, int64_t k, int64_t n, int borrowed);
void ql_matrix_fill(ql_matrix *matrix, const ql_operand *operand, int64_t column, int64_t columns);

/* Rows that come in lines, of which each has `width` results. A line is cut into parts of `rows`
 * rows; of those the first `results` have a result, as far as the line has any left, the others are
 * there because they lie in between. With `rows` 0 every row has a result. */
typedef struct {
    int64_t rows, results, parts, width;
    int64_t images, height; /* lines of so many images take turns, `height` of each; or 0 */
    int64_t most;           /* then: rows that are loaded together, of the same images */
} ql_lines;

/* The left operand of a product: where its rows come from. Its numbers are those of the table that
 * the right operand was packed for. */
typedef struct ql_rows {
    int64_t count;
    /* Writes `count` rows from `first` on as loaded numbers, `stride` bytes apart; `scratch` are
     * the bytes that it works in. Of rows in lines it writes whole parts of lines. */
    void (*load)(const struct ql_rows *rows, const ql_kernels *kernels, int64_t first,
                 int64_t count, char *panel, int64_t stride, char *scratch);
    int64_t scratch;
    ql_lines lines;
    const ql_place *places; /* that products of loaded rows are in, or NULL */
    int64_t panel;          /* then: the bytes of those that are loaded together */
    int64_t overlap;        /* bytes from one loaded row to the next if they overlap, else 0 */
    int64_t image;          /* results of an image, of which the channels come first, or 0 */
    const uint8_t *bytes;   /* rows that can be read in place, or NULL */
    int64_t stride;         /* of bytes */
    uint8_t flip;
    const int32_t *zero_point; /* as a loaded number */
    int64_t zero_point_step;
    const void *source; /* what load needs besides */
} ql_rows;

/* `b` is packed; or it is only described, and `operand` is packed just in time, panel by panel. */
int ql_product(const ql_matrix *b, const ql_operand *operand, const ql_rows *rows,
               const ql_output *output, void *y, int64_t y_stride);

/* Whether an operand is multiplied with so many rows as it lies, and that product (direct.c) of
 * loaded rows `a`, whose sums must be known to fit int32. */
int ql_is_direct(const ql_kernels *kernels, const ql_operand *b, int64_t rows);
int ql_multiply_directly(const ql_kernels *kernels, const ql_operand *b, const ql_rows *rows,
                         const uint8_t *a, int64_t a_stride, const int32_t *row_sums,
                         const ql_output *output, char *y, int64_t y_stride);

/* Whether an operand has so few columns that rows are multiplied with them as they lie; and those,
 * contiguous, with one of ones behind them where there are zero points. */
int ql_is_narrow(const ql_kernels *kernels, int64_t k, int64_t columns);
int ql_narrow_pack(ql_matrix *matrix, const ql_operand *operand);
/* The same for an operand that is only described, whose sums and zero points have room. */
int ql_narrow_describe(ql_matrix *matrix, const ql_operand *operand);

/* A product with those, of rows in memory; `init` and `column_terms` as for tiles. */
typedef struct {
    const ql_matrix *b;
    const ql_rows *rows;
    const int32_t *init, *column_terms;
    const ql_output *output;
    char *y;
    int64_t y_stride;
    int wide; /* whether sums need 64 bits */
} ql_narrow_product;
int ql_narrow_multiply(const ql_narrow_product *product, int64_t first, int64_t rows);

/* The output stage of the columns from `column` on. */
ql_output ql_output_from(const ql_output *output, int64_t column);

/* Finishes exact sums; `row` is the first row, `column` the first column, of the product. */
void ql_finish(const ql_kernels *kernels, const ql_output *output, const int32_t *sums,
               int64_t sums_stride, int64_t row, int64_t rows, int64_t column, int64_t columns,
               void *y, int64_t y_stride);

/* What a sum of so many products can be at most, the bias included; of the bias up to twice that.
 */
int64_t ql_largest_sum(int64_t depth, const int32_t *bias, int64_t channels);

/* start = bias - zero_point * totals, modulo 2**32; the bias may be NULL. */
void ql_start_sums(const int32_t *restrict totals, const int32_t *restrict bias, int32_t zero_point,
                   int64_t channels, int32_t *restrict start);

/* Whether codes are made by fused multiply-adds; then sums start from `fused_start` besides, which
 * is to be added, and those that are of no channel from QL_UNUSED_START, a float as common as
 * others. */
enum { QL_UNUSED_START = 0x4B400000 };
int ql_is_fused(const ql_kernels *kernels, const ql_output *output);
void ql_add_starts(const int32_t *restrict fused_start, int64_t channels, int32_t *restrict start);

/* Whether sums up to `largest` can become codes at once, because steps fit int32; and those, with
 * multipliers in any order. */
int ql_makes_codes(const ql_output *output, int64_t channels, int64_t largest);
ql_codes ql_codes_of(const ql_output *output, const float *multiplier);
/* The same by fused multiply-adds: of the opposite multipliers and addends if codes are opposed. */
ql_codes ql_fused_codes_of(const ql_output *output, const float *multiplier, const float *addend);
int ql_is_opposed(const ql_output *output);
void ql_oppose(float *restrict multiplier, float *restrict addend, int64_t count);

/* Adds the bias to the sums of one pixel; QL_OVERFLOW if one does not fit. */
int ql_add_bias(int32_t *restrict sums, const int32_t *restrict bias, int64_t channels);

/* --- depthwise convolutions (depthwise.c, depthwise_pack.c) --------------------------------- */

/* Weights packed for a convolution of channels that do not mix. */
typedef struct ql_depthwise_filter ql_depthwise_filter;

/* Whether a convolution is one, of pixels that are not too far apart, and its sums are known to fit
 * int32. */
int ql_is_depthwise(const ql_conv_shape *shape);

/* Like ql_filter_pack, ql_filter_unpack and ql_conv. */
ql_depthwise_filter *ql_depthwise_pack(const uint8_t *w, int is_signed, const int32_t *zero_points,
                                       const ql_conv_shape *shape);
void ql_depthwise_unpack(const ql_depthwise_filter *filter, uint8_t *w);
void ql_depthwise_free(ql_depthwise_filter *filter);
int64_t ql_depthwise_size(const ql_depthwise_filter *filter);
int ql_depthwise_conv(const ql_depthwise_filter *filter, const uint8_t *x, int x_signed,
                      int32_t x_zero_point, const ql_conv_shape *shape, int channels_first,
                      const ql_output *output, void *y);

/* --- convolutions of narrow groups (grouped.c) ---------------------------------------------- */

/* Weights packed for those. */
typedef struct ql_grouped_filter ql_grouped_filter;

/* Like those of depthwise convolutions. */
int ql_is_grouped(const ql_kernels *kernels, const ql_conv_shape *shape);
ql_grouped_filter *ql_grouped_pack(const uint8_t *w, int is_signed, const int32_t *zero_points,
                                   const ql_conv_shape *shape);
void ql_grouped_unpack(const ql_grouped_filter *filter, uint8_t *w);
void ql_grouped_free(ql_grouped_filter *filter);
int64_t ql_grouped_size(const ql_grouped_filter *filter);
int ql_grouped_conv(const ql_grouped_filter *filter, const uint8_t *x, int x_signed,
                    int32_t x_zero_point, const ql_conv_shape *shape, int channels_first,
                    const ql_output *output, void *y);

/* --- depthwise convolutions with channels first (channelwise.c) ----------------------------- */

/* Weights packed for those. */
typedef struct ql_channelwise_filter ql_channelwise_filter;

/* Whether these kernels can do a convolution so, as far as weights tell. */
int ql_has_windows(const ql_kernels *kernels, const ql_conv_shape *shape);

/* Room for weights that have `repeats` parts, all 0, or NULL; and one part of a weight. */
ql_channelwise_filter *ql_channelwise_room(const ql_kernels *kernels, const ql_conv_shape *shape,
                                           int64_t repeats);
void ql_channelwise_put(ql_channelwise_filter *filter, int64_t channel, int64_t row, int64_t tap,
                        int64_t repeat, int32_t weight);
void ql_channelwise_free(ql_channelwise_filter *filter);
int64_t ql_channelwise_size(const ql_channelwise_filter *filter);

/* How far something is that the first call which needs it keeps for others: with QL_WRITTEN, all of
 * it is in place. */
typedef enum { QL_EMPTY, QL_BEING_WRITTEN, QL_WRITTEN } ql_state;

/* The tables of gathered.c for the first shape of input, which nearly always is that of all others.
 * They are written once, and there is no lock that a forked child could find taken. */
typedef struct {
    atomic_int state; /* a ql_state */
    int64_t shape[8]; /* what they depend on */
    ql_gathering gathering;
} ql_kept_gathering;

/* A filter's, which may be written although the rest of it does not change. */
ql_kept_gathering *ql_channelwise_kept(const ql_channelwise_filter *filter);

/* Whether weights have one part of four bytes; those of an output channel on. */
int ql_has_whole_weights(const ql_channelwise_filter *filter);
const uint32_t *ql_channelwise_weights(const ql_channelwise_filter *filter, int64_t channel);

/* A convolution whose sums fit int32, with what they start from, the bias included. */
typedef struct {
    const ql_channelwise_filter *filter;
    const ql_kernels *kernels;
    const uint8_t *x;
    uint8_t flip, zero; /* of x; the byte of its zero point */
    const ql_conv_shape *shape;
    const ql_output *output;
    const int32_t *start;
    const ql_codes *codes; /* what becomes of sums at once, or NULL */
    void *y;
} ql_channelwise;

/* How many of the items that make up a depthwise convolution a thread takes at once (depthwise.c).
 */
int64_t ql_depthwise_chunk(const ql_kernels *kernels, int64_t items, int64_t products);

/* Whether its shape fits; then, the convolution. */
int ql_is_channelwise(const ql_channelwise *call);
int ql_channelwise_conv(const ql_channelwise *call);

/* The same from planes as they are, without copies (gathered.c). */
int ql_is_gathered(const ql_channelwise *call);
int ql_gathered_conv(const ql_channelwise *call);

/* --- convolutions with channels first (planes.c) --------------------------------------------- */

/* Weights packed for a convolution of whole planes. */
typedef struct ql_plane_filter ql_plane_filter;

/* Whether there is a use for one: whether it can take a convolution with such weights. */
int ql_planes_have_use(const ql_conv_shape *shape, int is_signed, const int32_t *zero_points);
/* Like ql_filter_pack and ql_filter_unpack. */
ql_plane_filter *ql_planes_pack(const uint8_t *w, int is_signed, const ql_conv_shape *shape);
void ql_planes_unpack(const ql_plane_filter *filter, uint8_t *w, int is_signed);
void ql_planes_free(ql_plane_filter *filter);
int64_t ql_planes_size(const ql_plane_filter *filter);
/* Whether a call is one that it takes; and like ql_conv. */
int ql_planes_take(const ql_plane_filter *filter, const ql_conv_shape *shape,
                   const ql_output *output);
int ql_planes_conv(const ql_plane_filter *filter, const uint8_t *x, int x_signed,
                   int32_t x_zero_point, const ql_conv_shape *shape, const ql_output *output,
                   void *y);

/* Products that one output sums for each channel that it sees. */
static inline int64_t ql_taps(const ql_conv_shape *shape) {
    return shape->kernel[0] * shape->kernel[1] * shape->kernel[2];
}

static inline int ql_inside(int64_t coordinate, int64_t extent) {
    return coordinate >= 0 && coordinate < extent;
}

/* Where the results of a product go: row by row, `y_stride` apart, or with an `image` channels
 * first, of which there are `y_stride` in all. Those are first finished in `staging`, rows of
 * QL_TILE_COLUMNS from result `first_staged` on, and so is the residual for them. */
typedef struct {
    char *y;
    int64_t y_stride, image;
    char *staging;
    uint8_t *staged_residual; /* or NULL */
    int64_t first_staged;
} ql_target;

/* The result that belongs to a row, or else the next one; whether one does. */
int64_t ql_first_result(const ql_lines *lines, int64_t row);
int ql_has_result(const ql_lines *lines, int64_t row);
/* How many rows from one on are of the images whose lines take turns with its own. */
int64_t ql_rows_alike(const ql_lines *lines, int64_t row);
/* The end of the rows up to `limit`, the end of a line, that have results. */
int64_t ql_last_useful_row(const ql_lines *lines, int64_t limit);

/* Stages the residual of a block, up to result `last`; finishes the results of a tile; then puts
 * those staged into their places. */
void ql_stage_residual(const ql_kernels *kernels, const ql_output *output, int64_t last,
                       int64_t column, int64_t columns, const ql_target *to);
void ql_finish_tile(const ql_kernels *kernels, const ql_output *output, const ql_lines *lines,
                    const int32_t *sums, int64_t row, int64_t rows, int64_t column, int64_t columns,
                    const ql_target *to);
/* Codes to be added, from number `at` on. */
ql_residual ql_residual_at(const ql_output *output, int64_t at, int64_t stride);
/* Where the results of each row of a tile go, `size` bytes each; `unused` is for rows without. */
void ql_places_of_rows(const ql_lines *lines, int64_t row, int64_t rows, int64_t column,
                       const ql_target *to, int64_t size, char *unused, char **y);
void ql_place_staged(const ql_kernels *kernels, const ql_output *output, int64_t last,
                     int64_t column, int64_t columns, const ql_target *to);

/* --- transposition (transpose.c) ------------------------------------------------------------ */

/* y[j][i] = x[i][j] for elements of 1 or 4 bytes; strides in elements. */
void ql_transpose_part(const ql_kernels *kernels, const void *x, int64_t x_stride, int64_t rows,
                       int64_t columns, void *y, int64_t y_stride, int64_t element_size);

/* y[j][i] = x[i][j] for bytes, y contiguous; QL_TRANSPOSE_EXCESS more bytes of y may be written. */
enum { QL_TRANSPOSE_EXCESS = 16 };
void ql_transpose_rows(const ql_kernels *kernels, const uint8_t *const *x, int64_t rows,
                       int64_t columns, uint8_t *y);

/* Whether every accumulator fits int32, whatever the codes: products of `depth` pairs that are
 * at most `left` and `right` from their zero points, plus the bias. */
int ql_fits_int32(int64_t depth, int64_t left, int64_t right, const int32_t *bias, int64_t columns);

static inline int64_t ql_size_of_result(int type) {
    return type == QL_INT32 || type == QL_FLOAT32 ? 4 : 1;
}

static inline int64_t ql_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t ql_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int64_t ql_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

#endif
