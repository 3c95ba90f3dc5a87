/* The table of kernels, one for each instruction set: what each of its functions does, and the
 * sizes that they and their callers agree on. */
#ifndef QL_TABLE_H
#define QL_TABLE_H

#include <stdint.h>

#include "quantlib.h"

enum {
    QL_STRIP = 16,        /* columns that are packed side by side */
    QL_TILE_ROWS = 32,    /* the most rows that a tile may have */
    QL_TILE_STRIPS = 2,   /* the most strips that a tile may have */
    QL_TILE_COLUMNS = 32, /* the distance between two rows of a tile's sums */
    QL_DIRECT_ROWS = 8,   /* the most rows that are multiplied with an operand as it lies */
    QL_NARROW = 4,        /* the most columns that rows are multiplied with as they lie */
    QL_PIXELS = 8,        /* of a line that depthwise convolutions take together */
    QL_SQUARE_ROWS = 5,   /* of input that two lines of a kernel of 3 x 3 see at most */
    QL_GROUPED_ROWS = 16, /* pixels that tiles of groups have at most, and are read beyond a line */
    QL_GROUPED_PLACES = 4, /* tiles of groups that are multiplied together */
    QL_TOGETHER = 64,      /* the most outputs of a channel that they compute together */
    QL_PACK_STRIPS = 4,    /* the most strips that are packed together: a cache line of a row */
    QL_PLACES = 64,        /* of planes that are convolved together: a cache line of results */
    QL_PLANE_ROWS = 32,    /* the most output channels that are */
    QL_FEW_PLACES = 32,    /* of tiles whose codes are computed beside the next one */
    QL_PART_BYTES = 64,    /* the products that a row of weights has in a part */
    QL_ALIGNMENT = 64,
    QL_BINS_LOG2 = 12,
    QL_TABLES = 4,               /* histograms that neighbouring values are counted in */
    QL_TABLE = 2 * QL_BINS + 32, /* counts of one, with that of zeros after those of bins */
    QL_LANES = 8,                /* sums that neighbouring values are added to */
    QL_TALLY = QL_LANES << 11,   /* the most values that sums are exact for */
    QL_WEFT = 15,                /* rows that are transposed all at once, fewer than QL_STRIP */
    QL_PIECE = 64,               /* reals that layers work on at a time */
    QL_MOST_TERMS = 11           /* of the sums of doubles; floats have 3 */
};

/* --- kernels ---------------------------------------------------------------------------------
 *
 * A run is a contiguous stretch. With `step` 0 all its elements share one parameter, with 1 each
 * has its own. Real types are float32 and float64 (index QL_FLOAT32, QL_FLOAT64), code types are
 * indexed from QL_INT8. */

typedef void ql_quantize_run(const void *x, void *codes, int64_t count, const void *scale,
                             const int32_t *zero_point, int step, int32_t qmin, int32_t qmax);
typedef void ql_dequantize_run(const void *codes, void *x, int64_t count, const void *scale,
                               const int32_t *zero_point, int step);
/* How to divide float32 by scales without dividing (affine.c): a product with 1 / scale, held in
 * two parts, of elements that are kept between `low` and `high`. */
typedef struct {
    const float *reciprocal, *rest, *low, *high, *scale;
    const int32_t *zero_point;
} ql_reciprocals;

/* Quantizes to 8-bit codes, or fake-quantizes; with `stream` past the caches. The parameter of
 * element i is number i >> shift: with QL_EACH its own, with QL_SAME the first one; in between, the
 * shift is 4 or more. */
enum { QL_EACH = 0, QL_SAME = 63 };
typedef void ql_multiply_run(const float *x, void *y, int64_t count, const ql_reciprocals *r,
                             int shift, int stream);
/* Narrows or widens *lo and *hi (step 0) or lo[i] and hi[i] (step 1); NaN sticks. */
typedef void ql_min_max_run(const void *x, int64_t count, void *lo, void *hi, int step);

/* What up to QL_TALLY finite values, all |x| < 2**bound, add to a summary (kernels/summary.h).
 *
 * Bins are counted in QL_TABLES tables of QL_TABLE entries: trunc(|x| * factor) of them outwards
 * from the entry QL_BINS, and zeros in entry 2 * QL_BINS. `factor` and `width` are reciprocal
 * powers of two. `between` is set if an |x| is no multiple of `width`, unless it is set already.
 *
 * Exact sums of x and x * x come as terms, each a multiple of its unit, for each lane. Values with
 * 0 < |x| < least are left out, and copied to `small`. */
typedef struct {
    double factor, width, least;
    int bound, between;
    uint16_t *tables;
    double sums[QL_MOST_TERMS][QL_LANES];
    void *small;
    int64_t smalls;
} ql_tally;
typedef void ql_tally_run(const void *x, int64_t count, ql_tally *to);

/* Sums of a tile: c[i][j] = init[j] + sum over k of a[i][k] * b[k][j], modulo 2**32.
 * a: rows of loaded elements, `a_stride` bytes apart. b: the first strip, the second `b_stride`
 * bytes after it. groups: how many groups of `dot` products each sum has. */
typedef void ql_tile(int64_t groups, const void *a, int64_t a_stride, const int8_t *b,
                     int64_t b_stride, const int32_t *init, int32_t *c);

/* Where a cache line of products of every row is, in bytes from its address, and their weights,
 * from the first of a strip. */
typedef struct {
    int64_t a, b;
} ql_place;

/* A tile of as many rows as the processor is ready for, whose sums the processor holds in registers
 * until it stores them. Its operands are those of ql_tile, with rows of sums to start from that are
 * `init_stride` bytes apart, 0 if they share one, or NULL if they begin at 0; with `places`, one
 * for each QL_ALIGNMENT products of a row, these lie there. */
typedef struct {
    int64_t groups;
    const char *a;
    int64_t a_stride;
    const ql_place *places; /* or NULL */
    const int8_t *b;
    int64_t b_stride;
    const int32_t *init;
    int64_t init_stride;
} ql_held_tile;

/* Where the sums of a tile go, in rows that are `stride` bytes apart. */
typedef struct {
    int32_t *sums; /* or NULL: there are none */
    int64_t stride;
} ql_sums_place;

/* Codes to be added to sums, laid out like the results: their numbers, 0 to 255 after `flip`, less
 * `zero` and times `factor`, every operation rounded. */
typedef struct {
    const uint8_t *codes;
    int64_t stride;
    uint8_t flip;
    float zero, factor;
} ql_residual;

/* What becomes of the sums of a tile of all rows and strips, QL_TILE_COLUMNS apart, once the same
 * row is added to each, and where the results of each row go: in codes, as in ql_requantize_tile or
 * ql_requantize_sum_tile, in reals, as in ql_rescale_tile, or just copied. */
typedef struct {
    int type; /* QL_UINT8 or QL_INT8, QL_FLOAT32 or QL_INT32 */
    const int32_t *start;
    char *y[QL_TILE_ROWS];
    int64_t columns;
    int past_caches; /* whether whole cache lines of reals or sums are written past the caches */
    const float *multiplier;
    int32_t zero_point, lower, upper;   /* of codes, and so is the residual */
    ql_residual residual;               /* if its codes are not NULL, */
    const uint8_t *added[QL_TILE_ROWS]; /* which are here, row by row */
    const float *row_factor;            /* of reals, and so is the rest */
    int64_t row_step;
    const float *bias; /* or NULL */
    float lower_real, upper_real;
} ql_pending;

/* Multiplies a tile. Meanwhile it stores the sums of the one before, which has as many rows and
 * strips, and finishes them, too, unless `pending` is NULL. */
typedef void ql_multiply_held(const ql_held_tile *tile, ql_sums_place before,
                              const ql_pending *pending);
/* Stores the sums of the last one. */
typedef void ql_store_held(ql_sums_place to);

/* Loads `count` bytes of a left operand as the tile wants them: the number 0 to 255, or -128 to 127
 * in tables with `left_signed`, that the byte is after `flip` (ql_flip). */
typedef void ql_load(void *row, const uint8_t *bytes, int64_t count, uint8_t flip);

/* Packs `groups` groups of `strips` whole strips (up to QL_PACK_STRIPS) from rows that are `stride`
 * bytes apart, and adds each column to sums[strip][QL_STRIP]. */
typedef void ql_pack_groups(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,
                            uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums);

/* Packs `groups` groups of one whole strip from columns that are `stride` bytes apart, and adds
 * each column to sums[QL_STRIP]. */
typedef void ql_pack_columns(const uint8_t *columns, int64_t stride, int64_t groups, uint8_t flip,
                             int8_t *to, int32_t *sums);

/* The sum of `count` loaded elements: goes with `element_size` and `left_signed`. */
typedef int64_t ql_sum_row(const void *row, int64_t count);

/* sums[i][j] -= row_sum[i] * b_zero_point[j] + a_zero_point[i] * column_term[j], modulo 2**32, for
 * whole strips of columns. */
typedef void ql_correct_tile(int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                             const int32_t *row_sum, const int32_t *b_zero_point,
                             const int32_t *a_zero_point, const int32_t *column_term);

/* Adds the products of `groups` whole groups of a few rows, up to QL_DIRECT_ROWS, with a right
 * operand as it lies, rows of `columns` codes `b_stride` bytes apart, to sums[row][column], and the
 * right operand's codes to column_sums; both have whole strips. */
typedef void ql_direct(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t groups,
                       const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t b_flip,
                       int32_t *sums, int64_t sums_stride, int32_t *column_sums);

/* sums[j][i] = start[j] + the products of row i, `k` numbers byte ^ flip as in ql_load, and column
 * j, modulo 2**32. Both are contiguous, columns have zeros up to a multiple of QL_ALIGNMENT. */
typedef void ql_narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                       const int8_t *b, int64_t b_stride, int64_t columns, const int32_t *start,
                       int32_t *sums, int64_t sums_stride);

/* Finishes int32 sums of `rows` times `columns`, with a multiplier for each column; of rescaled
 * ones each row has a factor besides, `row_step` (0 or 1) after that of the row before, and each
 * column a bias, which may be NULL. */
typedef void ql_requantize_tile(const int32_t *sums, int64_t sums_stride, int64_t rows,
                                int64_t columns, const float *multiplier, int32_t zero_point,
                                int32_t lower, int32_t upper, uint8_t *y, int64_t y_stride);
/* The same with codes added. */
typedef void ql_requantize_sum_tile(const int32_t *sums, int64_t sums_stride, int64_t rows,
                                    int64_t columns, const float *multiplier,
                                    const ql_residual *residual, int32_t zero_point, int32_t lower,
                                    int32_t upper, uint8_t *y, int64_t y_stride);
typedef void ql_copy_tile(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                          int32_t *y, int64_t y_stride);
typedef void ql_rescale_tile(const int32_t *sums, int64_t sums_stride, int64_t rows,
                             int64_t columns, const float *multiplier, const float *row_factor,
                             int64_t row_step, const float *bias, float lower, float upper,
                             float *y, int64_t y_stride);

/* A depthwise convolution reads planes: `depthwise_rows` lines of input, interleaved into one
 * element of four bytes for each column and channel: four bytes, or two int16.
 *
 * In vectors of several lanes of 16 bytes, `depthwise_lanes`, the channels of a group stand in an
 * order of their own (depthwise_pack.c), and so do weights and what sums start from. Sums and codes
 * are in that of channels again. */

/* Interleaves `columns` columns of `channels` bytes each, which are `step` bytes apart in each row,
 * as the numbers rows[..][i] ^ flip, into elements side by side. Rows that are NULL, of which the
 * first is none, do not matter. */
typedef void ql_interleave(const uint8_t *const *rows, int64_t columns, int64_t channels,
                           int64_t step, uint8_t flip, void *to);

/* Neighbouring output pixels of a line. x is where the first pixel's first tap lies in the first
 * plane; a step is the way to the next in bytes. Weights are elements like those of planes, of
 * which bytes are signed. Beyond `channels` and `pixels`, planes can be read up to a whole strip
 * and to the next multiple of QL_PIXELS. */
typedef struct {
    const char *x;
    int64_t plane_step, tap_step, pixel_step;
    int64_t planes, taps;
    int64_t repeats;      /* how often the planes are gone through, with other weights */
    const char *w;        /* [strip or group][repeat][plane][tap][channel] */
    const int32_t *start; /* of the sums, for whole strips */
    int64_t pixels, channels;
} ql_line;

/* sums[p][c] = start[c] + the products of elements, modulo 2**32, in the order of planes. */
typedef void ql_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride);

/* What becomes of the sums: y = saturate(rint(f32(sum) * multiplier) + zero_point), kept between
 * lower and upper, in numbers 0 to 255 whose bytes are `flip`ped at the end. Products must fit
 * int32, and multipliers be there for whole strips.
 *
 * With addends, sums are the bits of floats (fused.c), and
 *
 *     magic - fma(sum, multiplier, addend)  =  -(3 * 2**22 + number)
 *
 * is a float whose lower 16 bits are the number, and whose upper ones are negative as an integer.
 * Where an addend is NaN, those of the other QL_FUSED_TOGETHER channels are, too, and their sums
 * are as without addends. */
typedef struct {
    const float *multiplier, *addend; /* the latter may be NULL */
    int32_t zero_point, lower, upper;
    uint8_t flip;
    float magic;
} ql_codes;

/* Those from a channel on. */
static inline ql_codes ql_codes_from(const ql_codes *codes, int64_t channel) {
    ql_codes from = *codes;
    from.multiplier += channel;
    if (from.addend != NULL)
        from.addend += channel;
    return from;
}

typedef void ql_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                                int64_t y_stride);

/* One or two lines of output of kernels of 3 x 3, straight from the lines of input that they see:
 * whole strips of channels, in the order that planes have. Column number `first` of the input is
 * that of the first pixel's first tap; those outside of `width` are padding. */
typedef struct {
    const uint8_t *row[QL_SQUARE_ROWS];
    int64_t step; /* from one column to the next */
    int64_t first, width;
    uint8_t flip, zero; /* numbers are bytes ^ flip; the number of padding */
    int64_t stride, pixels, channels;
    int lines;      /* 1, or 2 with strides of 1, or of 2 where weights are in blocks */
    const char *w;  /* [strip or group][plane][tap][channel], or with a stride of 2 those of
                       `square_blocks`, for each line, */
    int64_t w_step; /* which are so many bytes apart */
    const int32_t *start;
} ql_square;
typedef void ql_depthwise_square(const ql_square *square, const ql_codes *codes, uint8_t *y,
                                 int64_t y_stride, int64_t y_line);

/* Neighbouring output pixels of a line of narrow groups (grouped.c): 64 channels of each. Pixels of
 * input are 64 bytes; x is where the first pixel's first tap is. Up to QL_GROUPED_ROWS pixels can
 * be read beyond the last one. */
typedef struct {
    const char *x;
    const int64_t *offsets; /* of taps, in bytes */
    int64_t taps, turns;    /* each element meets `turns` elements of its group: 1, 2 or 4 */
    int64_t pixel_step;     /* in bytes */
    const char *w;          /* [tap][turn][4] vectors of elements of four int8; where planes are of
                               int16, two vectors for each, first the even channels' */
    const int32_t *start;   /* of the sums of channels 0, 4, 8 ...; of 1, 5, 9 ...; and so on */
    int64_t pixels, channels;
} ql_grouped_line;

/* Sums of 64 channels for each pixel, or with `codes`, whose multipliers are in the order of
 * `start`, what becomes of them in y. */
typedef void ql_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes,
                        uint8_t *y, int64_t y_stride);

/* Up to 16 output channels that see one slice of the input, for tiles of groups: where the slice
 * begins; weights of pieces of 64 bytes, [piece][element][16]; what 16 sums start from; and where
 * codes go. */
typedef struct {
    const char *x, *w;
    const int32_t *start;
    const float *multiplier;
    uint8_t *y;
    int64_t outputs;
} ql_grouped_strip;

/* Where a tile's first pixel is in a slice, and its result in y, in bytes. */
typedef struct {
    int64_t x, y;
} ql_grouped_place;

/* The same pixels for some strips: `rows` that follow one another from each place. Up to
 * QL_GROUPED_ROWS pixels, and up to two pieces, can be read beyond the last one. */
typedef struct {
    const ql_grouped_strip *strips;
    const ql_grouped_place *places;
    int64_t strip_count, place_count, rows;
    int64_t line_places, line_step; /* places of a line; from one line to the next, in bytes */
    const int64_t *offsets;         /* of pieces, in bytes */
    int64_t pieces;
    int64_t x_step, y_step; /* from one pixel to the next, in bytes */
} ql_grouped_tiles_item;

/* What becomes of the sums, with the multipliers of strips, where `rolls` of three pieces that are
 * those of three lines, and places are line by line; or without `codes`, for one strip and
 * up to QL_GROUPED_PLACES places, the sums: [place][16 rows][16]. There is room for those always.
 */
typedef void ql_grouped_tiles(const ql_grouped_tiles_item *item, int rolls, const ql_codes *codes,
                              int32_t *sums);

/* --- channels that are first (channelwise.c) --- */

/* How bytes of a vector of 64 are put elsewhere: its words to other places, byte by byte within
 * lanes of 16; after that where bytes are spread, before where they are gathered. A byte of 128 or
 * more is none. */
typedef struct {
    uint16_t word[32];
    uint8_t byte[64];
} ql_regrouping;

/* Lines of planes to be copied as numbers byte ^ flip, of one byte or of two: line i of a plane to
 * i * pitch. What follows a line there, up to a vector of QL_TOGETHER bytes, may become `zero`. */
typedef struct {
    const uint8_t *x;
    int64_t plane_step, line_step; /* of x, in bytes */
    int64_t planes, lines, columns;
    uint8_t flip, zero; /* the number, too */
    char *to;
    char *second;           /* where every other line goes, the first one being number 1, or NULL */
    int64_t to_step, pitch; /* from one plane to the next, from one line to the next, in bytes */
    const ql_regrouping *regrouping; /* of lines without gaps, QL_TOGETHER / pitch at a time, those
                                        of `second` last, or NULL */
} ql_spreading;
typedef void ql_spread(const ql_spreading *spreading);

/* Outputs of some channels. The first one's first window, four bytes or two int16 as in planes, is
 * at x + offsets[0]; those of its neighbours follow `step` numbers, 1 or 2, one after the other,
 * and those of the next line `pitch` results later. Every window has a weight, an element like
 * those of ql_line. */
typedef struct {
    const char *x;
    int64_t x_step;          /* from one channel to the next, in bytes */
    const int64_t *offsets;  /* in bytes */
    const uint32_t *weights; /* [channel][window] */
    int64_t windows, step;
    const int32_t *start; /* of each channel */
    int64_t channels, lines, width, pitch;
    const ql_regrouping *regrouping; /* of results of QL_TOGETHER / pitch lines, which leaves no
                                        gaps, or NULL */
    /* Of lines that are read where they are, of up to QL_TOGETHER outputs two steps apart, or else
     * 0: bytes from a line to the next, of which every other one begins a window; bits of the first
     * window of each line that are not padding; the number of padding. */
    int64_t line;
    uint32_t inside;
    uint8_t zero;
} ql_channels;

/* sums[channel 0][line * pitch + i] = start + the products of output i of a line, modulo 2**32.
 * What lies between lines may be written, and behind them up to a multiple of QL_TOGETHER. */
typedef void ql_channel_sums(const ql_channels *channels, int32_t *sums);
/* What becomes of sums, line after line; channels are `y_step` apart. */
typedef void ql_channel_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                              int64_t y_step);

/* How the windows of a kernel of 3 x 3 are gathered (gathered.c): permutations of 64 bytes, each of
 * which makes the windows of 16 outputs under a line of the kernel, and the codes of 64 outputs as
 * packing leaves them in order. */
typedef struct {
    uint8_t place[6][64]; /* of windows of four bytes each */
    uint64_t inside[6];   /* their bytes that are not padding */
    uint8_t order[64];
    int64_t step;                      /* lines of input for one of output, 1 or 2 */
    int64_t parts;                     /* vectors of a line of output: 1, 2 or 4; or, where */
    int64_t in_lines, in_width;        /* four vectors have all outputs, 0 */
    int64_t out_lines, out_width, top; /* lines of padding above */
    /* Of four vectors of several lines each, two steps apart: where the bytes of each begin, those
     * of the last one that are of the plane, and the lanes of a vector and the one before in which
     * windows of the first line of the kernel are. */
    int64_t load[4];
    uint64_t last;
    int32_t before[16];
} ql_gathering;

/* All outputs of planes that follow one another. */
typedef struct {
    const uint8_t *x;
    int64_t plane; /* bytes; 64 from any line of each can be read */
    const ql_gathering *gathering;
    const uint32_t *weights; /* [channel][line of the kernel], an element each */
    const int32_t *start;    /* of each channel */
    uint8_t flip, code;      /* numbers are bytes ^ flip; the byte of padding */
    int64_t channels, outputs;
} ql_gathered;

/* What becomes of their sums, plane after plane. */
typedef void ql_gather_codes(const ql_gathered *gathered, const ql_codes *codes, uint8_t *y);

/* Convolutions with channels first (planes.c) take four planes of input together: an element has
 * the four bytes of one place. Interleaves `count` places of `channels` planes, `plane` bytes
 * apart, of which every `step`th byte counts, to elements whose groups are `group_step` bytes
 * apart:
 *
 *     to[group][i][c] = x[4 * group + c][i * step] ^ flip
 *
 * What stands for channels that the last group has not got does not matter. */
typedef void ql_interleave_planes(const uint8_t *x, int64_t plane, int64_t channels, int64_t step,
                                  int64_t count, uint8_t flip, uint8_t *to, int64_t group_step);

/* What weights are multiplied by: K is cut into parts, of up to 16 groups of four channels under
 * one tap, and each part begins somewhere in the groups. */
typedef struct {
    const int64_t *part;               /* where, in bytes */
    int64_t parts, groups, group_step; /* of pixels, the step is from one to the next */
    int64_t block_step; /* bytes from the weights of QL_STRIP rows to those of the next ones */
} ql_plane_product;

/* sums[row][place] = start[row] + the products of w with the places of x, modulo 2**32, for up to
 * QL_PLANE_ROWS rows and QL_PLACES places; w: [block of QL_STRIP rows][part][row][QL_PART_BYTES],
 * int8; x: numbers 0 to 255; start: QL_STRIP times each. Rows may be written and places be read and
 * written up to the next multiple of QL_STRIP, or QL_PLACES. */
typedef void ql_plane_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                           int64_t rows, int64_t places, const int32_t *start, int32_t *sums);

/* Neighbouring places that have results, and where in a plane the first of those belongs. */
typedef struct {
    int64_t first, count, to;
} ql_place_run;

/* The codes of sums[row][place], with a multiplier for each row, in planes of y. */
typedef void ql_plane_codes(const int32_t *sums, int64_t rows, const ql_place_run *runs,
                            int64_t count, const ql_codes *codes, uint8_t *y, int64_t plane);

/* A tile whose sums are still in the processor, where they go, and what they become: codes of
 * sums[row][QL_FEW_PLACES], or [QL_PLACES] of strips, or of pixels sums[place][QL_PLANE_ROWS], plus
 * the start of their row. Results follow one another in a plane of y, whatever places lie between
 * them. */
typedef struct {
    int32_t *sums;
    const int32_t *start;
    int64_t rows;        /* 0: there is none */
    uint64_t has_result; /* a bit for each place; 0: sums are stored, and no more */
    ql_codes codes;      /* with a multiplier for each row */
    uint8_t *y;
    int64_t plane;
    int goes_on; /* whether the results behind these come next, and had better be fetched */
} ql_pending_places;

/* The products of up to QL_PLANE_ROWS rows and QL_FEW_PLACES places like those of ql_plane_tile,
 * from 0 on, whose sums stay in the processor; meanwhile the tile before is stored and finished.
 * With no rows, that is all. */
typedef void ql_plane_tile_beside(const ql_plane_product *product, const int8_t *w,
                                  const uint8_t *x, int64_t rows, int64_t places,
                                  const ql_pending_places *pending);

/* The same of QL_STRIP rows and up to QL_PLACES places, two tiles behind: the sums of the tile
 * before are stored, unless `before` is NULL, and a tile that was stored then is finished. With no
 * places, that is all. */
typedef void ql_plane_strip_beside(const ql_plane_product *product, const int8_t *w,
                                   const uint8_t *x, int64_t places, int32_t *before,
                                   const ql_pending_places *pending);

/* Collects `count` pixels of `channels` planes, `plane` bytes apart, in cache lines:
 *
 *     to[block * to_step + places[i] + c] = x[QL_PART_BYTES * block + c][i] ^ flip
 *
 * What stands for channels that the last block has not got does not matter. */
typedef void ql_collect_pixels(const uint8_t *x, int64_t plane, int64_t channels, int64_t count,
                               uint8_t flip, const int32_t *places, uint8_t *to, int64_t to_step);

/* sums[place][QL_PLANE_ROWS] = the products of up to QL_PLANE_ROWS rows of weights with up to
 * QL_FEW_PLACES pixels, which are a group_step apart in x, modulo 2**32; they stay in the
 * processor, and meanwhile the sums of the tile before are stored, unless `before` is NULL, and a
 * tile that was stored then is finished. With no rows, that is all. w:
 * [part][strip][group][QL_STRIP][4]; places may be read up to the next multiple of QL_STRIP, and
 * all QL_FEW_PLACES are written. */
typedef void ql_pixel_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                           int64_t rows, int64_t places, int32_t *before,
                           const ql_pending_places *pending);

/* Copies `runs` runs of `bytes` bytes each. */
typedef void ql_copy_runs(char *to, int64_t to_step, const char *from, int64_t from_step,
                          int64_t runs, int64_t bytes);

/* y[j][i] = x[i][j] for 16 rows of 16 columns or more, one after the other: a row of y that is less
 * than 16 bytes before the next one is cut by it. */
typedef void ql_transpose_bytes(const uint8_t *const *x, int64_t columns, uint8_t *y,
                                int64_t y_stride);
/* The same for any number of rows and columns, of which it writes no more. */
typedef void ql_transpose_block(const uint8_t *x, int64_t x_stride, int64_t rows, int64_t columns,
                                uint8_t *y, int64_t y_stride);
/* The same for all of QL_WEFT rows or less, for each of `batch` matrices: [row][column] becomes
 * [column][row]. */
typedef void ql_weave_bytes(const uint8_t *x, int64_t batch, int64_t rows, int64_t columns,
                            uint8_t *y);

/* How two quantized operands become one: numbers are bytes after a flip, as in ql_load, and the
 * zero points and bounds likewise. */
typedef struct {
    uint8_t a_flip, b_flip, y_flip;
    float a_zero, b_zero, a_factor, b_factor;
    int32_t y_zero, lower, upper;
    int is_tame; /* whether all sums, or products, are below 2**30 */
} ql_blend;

/* y = saturate(rint((a - a_zero) * a_factor + (b - b_zero) * b_factor) + y_zero), or
 * saturate(rint((a - a_zero) * (b - b_zero) * a_factor) + y_zero); with `b_step` 0 all share b[0].
 * Products and the sum are rounded one by one. */
typedef void ql_blend_run(const uint8_t *a, const uint8_t *b, int b_step, uint8_t *y, int64_t count,
                          const ql_blend *blend);

/* y[i] = table[x[i]]; the table has 256 entries. */
typedef void ql_look_up_run(const uint8_t *x, const uint8_t *table, uint8_t *y, int64_t count);

/* y[i] = the largest of x[t * tap_stride + i] over `taps` taps, 1 or more; y may be x. */
typedef void ql_max_run(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t *y,
                        int64_t count);

/* sums[i] = the sum of x[t * tap_stride + i] over `taps` taps, as numbers 0 to 255. */
typedef void ql_sum_run(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t flip,
                        int32_t *sums, int64_t count);
/* The sum of `count` bytes, as numbers 0 to 255. */
typedef int64_t ql_total(const uint8_t *x, int64_t count, uint8_t flip);

/* What becomes of a window's sum: what its zero points add up to, what a step is worth, and the
 * zero point and flip of the result. */
typedef struct {
    int32_t offset;
    float factor;
    int32_t y_zero;
    uint8_t y_flip;
} ql_average;

/* y[i] = saturate(rint(f32(sum - offset) * factor) + y_zero), where the sum is that of
 * sums[t * tap_stride + i] over `taps` taps. */
typedef void ql_average_run(const int32_t *sums, int64_t taps, int64_t tap_stride,
                            const ql_average *average, uint8_t *y, int64_t count);

/* Writes `rows` rows of `count` bytes, each of them twice, to `lines` lines each; rows and lines
 * follow one another without gaps. */
typedef void ql_double_rows(const uint8_t *x, int64_t rows, int64_t count, int64_t lines,
                            uint8_t *y);

/* y = a function of each of `count` elements of x, or of them as a row; y may be x. */
typedef void ql_activation_run(const float *x, float *y, int64_t count);
/* A row less its mean, by its standard deviation; bias may be NULL, and y may be x. */
typedef void ql_layer_norm_row(const float *x, const float *scale, const float *bias, float *y,
                               int64_t count, float epsilon);
/* x *= (offset + factor * sum of the squares of a window)**-power for a multiple of QL_PIECE
 * elements; `squares` has room for `count` and a window more, and is 0 where no element is. */
typedef void ql_local_norm_row(float *x, int64_t count, int64_t window, float factor, float offset,
                               float power, float *squares);

/* An instruction set: its kernels and the sizes they want. Filled from portable first, so that a
 * set that overrides only some kernels is whole. */
typedef struct ql_kernels {
    ql_quantize_run *quantize[2][4];
    ql_dequantize_run *dequantize[2][5];
    ql_quantize_run *fake_quantize[2];
    ql_min_max_run *min_max[2];
    /* For float32 and 8-bit codes, or NULL. */
    ql_multiply_run *multiply_quantize[2], *multiply_fake_quantize;
    ql_dequantize_run *stream_dequantize[2]; /* past the caches */
    ql_tally_run *tally[2];

    int dot;          /* products that one group sums: 1, 2, 4 or 8 */
    int group_step;   /* groups come in multiples of this */
    int most_groups;  /* whose strips stay in the first cache beside rows; 0: it does not matter */
    int element_size; /* bytes of a loaded element of the left operand */
    int left_signed;  /* whether it is a number -128 to 127 (of one byte) instead of 0 to 255 */
    int tile_rows;
    int tile_strips;
    int row_alignment; /* of rows that tiles read at full speed */
    int row_step;      /* a last tile but one is cut to a multiple of this */
    int few_rows;      /* in `tile`, the most rows that need no readying, nor rows beyond */
    ql_tile *tile[QL_TILE_ROWS][QL_TILE_STRIPS]; /* [rows - 1][strips - 1] */
    /* Instead of those of more than `few_rows` rows, [signed][more than row_step][strips - 1] and
     * [more than row_step][strips - 1], or NULL; signed ones are of int8 where `tile` takes uint8.
     */
    ql_multiply_held *multiply_held[2][2][QL_TILE_STRIPS];
    ql_store_held *store_held[2][QL_TILE_STRIPS];
    int64_t small;           /* products that are too few to share among threads */
    int64_t small_depthwise; /* of depthwise convolutions, which have fewer of them in a while */
    /* Readies the processor for tiles of so many rows, or NULL; tiles of a multiple of row_step
     * rows are ready when those of tile_rows are. */
    void (*prepare)(int64_t rows);
    void (*release)(void); /* gives up what that and the tiles leave in the processor */
    ql_load *load;
    ql_sum_row *sum_row;
    ql_pack_groups *pack_groups;
    ql_pack_columns *pack_columns;
    ql_correct_tile *correct;
    ql_direct *direct; /* or NULL: a right operand is packed first */
    int direct_rows;   /* the most rows that it takes */
    ql_narrow *narrow;
    int narrow_columns; /* the most for which it beats tiles, if rows are not short */
    ql_requantize_tile *requantize;
    ql_requantize_sum_tile *requantize_sum;
    ql_rescale_tile *rescale;
    ql_copy_tile *copy;
    ql_copy_runs *copy_runs;
    ql_transpose_bytes *transpose_bytes;
    ql_transpose_block *transpose_block; /* or NULL: 16 rows at a time */
    ql_weave_bytes *weave_bytes;

    int depthwise_rows;   /* 4 of bytes or 2 of int16 */
    int depthwise_lanes;  /* 1, 2 or 4 */
    int fuses;            /* whether kernels that make codes can take addends */
    int depthwise_signed; /* whether such bytes are numbers -128 to 127 instead of 0 to 255 */
    ql_interleave *interleave;
    ql_depthwise *depthwise;
    ql_depthwise_codes *depthwise_codes;
    ql_depthwise_square *depthwise_square;
    int square_blocks; /* whether that takes, with a stride of 2, [strip or group][block][channel]
                          as weights, of elements of several columns (depthwise_pack.c) */
    ql_channel_sums *channel_sums;   /* or NULL: channels that are first become last */
    ql_channel_codes *channel_codes; /* goes with channel_sums, and so does spread */
    int channel_results;             /* the least results of a plane that these are for */
    int channel_windows;             /* the most windows, if outputs are one step apart; or 0 */
    int windows_together;  /* others that they are for, of lines that fill vectors together */
    int channels_in_place; /* whether channel_codes reads lines where they are */
    ql_spread *spread;
    ql_gather_codes *gather_codes;   /* or NULL: small planes are done as others are */
    ql_grouped *grouped;             /* or NULL: narrow groups are products */
    ql_grouped_tiles *grouped_tiles; /* or NULL */
    /* Readies the processor for those of up to QL_GROUPED_ROWS pixels; `release` goes with it. */
    void (*prepare_grouped)(int64_t rows, int rolls);

    ql_plane_tile *plane_tile; /* or NULL: planes are transposed, and so are results */
    int plane_depth;           /* the most products of a sum for which it beats that; 0: all */
    ql_plane_tile_beside *plane_tile_beside;   /* or NULL */
    ql_plane_strip_beside *plane_strip_beside; /* there if that is */
    void (*prepare_planes)(int64_t groups);    /* readies the processor for such parts, or NULL */
    ql_pixel_tile *pixel_tile;                 /* or NULL */
    void (*prepare_pixels)(void);              /* goes with it */
    ql_interleave_planes *interleave_planes;
    ql_collect_pixels *collect_pixels;
    ql_plane_codes *plane_codes;

    ql_blend_run *add;
    ql_blend_run *multiply;
    ql_look_up_run *look_up;
    ql_max_run *max[2]; /* of uint8, of int8 */
    ql_sum_run *sum;
    ql_total *total;
    ql_average_run *average;
    ql_double_rows *double_rows;

    ql_activation_run *activation[QL_ACTIVATIONS], *real_softmax;
    ql_layer_norm_row *layer_norm;
    ql_local_norm_row *local_norm;
} ql_kernels;

#endif
