/* The C interface of quantlib, declared once: cffi reads this file, and so does the C core through
 * core.h. It therefore holds declarations only, no preprocessor lines.
 *
 * Conventions. Functions return a status and never print, abort or keep a pointer to an array.
 * Extents and strides are counted in elements of the array they belong to. Arguments have been
 * checked by the caller (quantlib/_native), which is also where statuses become exceptions.
 */

/* What a function returns. */
enum {
    QL_OK = 0,
    QL_NO_MEMORY = 1,
    QL_OVERFLOW = 2,
    QL_NOT_FINITE = 3,
    QL_DAMAGED = 4,
    QL_DECLINED = 5
};

/* Element types. */
enum { QL_FLOAT32, QL_FLOAT64, QL_INT8, QL_UINT8, QL_INT16, QL_UINT16, QL_INT32 };

/* How quantization parameters are laid over data of shape (outer, length, inner): element
 * (o, l, i) has parameter 0, l, or (o * ceil(length / block) + l / block) * inner + i. */
enum { QL_PER_TENSOR, QL_PER_CHANNEL, QL_BLOCKED };

/* --- instruction sets (cpu.c, dispatch.c) ------------------------------------------------- */

/* The number of instruction sets that this build has kernels for, slowest first. */
int ql_isa_count(void);
/* The name of one of them, and whether this processor and its system can run it. */
const char *ql_isa_name(int index);
int ql_isa_available(int index);
/* The one in use, and the one to use from now on; what is prepared keeps the one it has. */
int ql_isa_current(void);
void ql_isa_select(int index);

/* --- threads (threads.c) ------------------------------------------------------------------- */

/* How many threads a call may use, its own included. */
int ql_threads(void);
void ql_set_threads(int threads);

/* --- reals and codes (affine.c, min_max.c, requantize.c) ---------------------------------- */

/* codes = saturate(rint(x / scale) + zero_point); x and scale have the type `real_type`. */
int ql_quantize(const void *x, int real_type, void *codes, int code_type, const void *scale,
                const int32_t *zero_point, int32_t qmin, int32_t qmax, int kind, int64_t outer,
                int64_t length, int64_t inner, int64_t block);

/* x = scale * (codes - zero_point). */
int ql_dequantize(const void *codes, int code_type, void *x, int real_type, const void *scale,
                  const int32_t *zero_point, int kind, int64_t outer, int64_t length, int64_t inner,
                  int64_t block);

/* y = scale * clip(rint(x / scale), qmin - zero_point, qmax - zero_point). */
int ql_fake_quantize(const void *x, int real_type, void *y, const void *scale,
                     const int32_t *zero_point, int32_t qmin, int32_t qmax, int kind, int64_t outer,
                     int64_t length, int64_t inner, int64_t block);

/* Smallest and largest element of each group, of which none is empty; NaN if it holds one. */
int ql_min_max(const void *x, int real_type, void *lo, void *hi, int kind, int64_t outer,
               int64_t length, int64_t inner, int64_t block);

/* y = saturate(rint(f32(acc) * multiplier) + zero_point), multiplier per tensor or per channel. */
int ql_requantize(const int32_t *acc, void *y, const float *multiplier, int32_t zero_point,
                  int32_t lower, int32_t upper, int kind, int64_t outer, int64_t length,
                  int64_t inner);

/* --- summaries (summary.c) ------------------------------------------------------------------ */

/* Bins on each side of 0; digits of 32 bits in the sum of any number of doubles, in units of
 * 2**-1074, and in the sum of their squares, in units of 2**-2148. */
enum { QL_BINS = 4096, QL_SUM_DIGITS = 68, QL_SQUARES_DIGITS = 134 };

/* For each row: [2 * QL_BINS] counts of the bins from left to right, their width as a power of two,
 * whether every value lies on an edge of a bin, how many are 0, how many not finite, the extremes
 * of those that are, and digits, lowest first, in two's complement. */
typedef struct ql_summaries {
    int64_t *counts;
    int32_t *exponent;
    uint8_t *exact;
    int64_t *zeros;
    int64_t *nonfinite;
    double *minimum;
    double *maximum;
    uint32_t *sum;
    uint32_t *squares;
} ql_summaries;

/* Fills `to` from rows of float32 or float64. */
int ql_summarize(const void *x, int real_type, int64_t rows, int64_t columns,
                 const ql_summaries *to);

/* Copies the x with least < x <= low or high <= x < greatest, at most `room`; returns how many. */
int64_t ql_tails(const void *x, int real_type, int64_t count, double least, double low, double high,
                 double greatest, void *to, int64_t room);

/* --- matrix products (pack.c, product.c, matmul.c, dynamic.c) ----------------------------- */

/* A right operand, packed for the instruction set that was current, with its zero points. */
typedef struct ql_matrix ql_matrix;

/* Packs b of shape (k, n), or returns NULL when memory is short. `zero_points` has n entries. */
ql_matrix *ql_matrix_pack(const void *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                          int is_signed, const int32_t *zero_points);
void ql_matrix_free(ql_matrix *matrix);
/* The bytes that it holds. */
int64_t ql_matrix_size(const ql_matrix *matrix);
/* Writes the codes that were packed to b, contiguous (k, n). */
void ql_matrix_unpack(const ql_matrix *matrix, void *b, int is_signed);

/* What becomes of an accumulator. Rows and columns are those of the product. A `step` of 0 means
 * one entry for all rows, 1 one for each. The multiplier of entry (i, j) is, in float32,
 *
 *     row_factor[i] * multiplier[j] / row_divisor[i]
 */
typedef struct ql_output {
    int type;                  /* QL_INT32, QL_FLOAT32, QL_INT8 or QL_UINT8 */
    const int32_t *bias;       /* per column, added to accumulators, or NULL */
    const float *multiplier;   /* per column */
    const float *row_factor;   /* or NULL for 1 */
    const float *row_divisor;  /* of 8-bit results, or NULL for 1 */
    int64_t row_step;          /* of row_factor and row_divisor */
    const int32_t *zero_point; /* of 8-bit results */
    const int32_t *lower;      /* the codes between which 8-bit results are kept */
    const int32_t *upper;
    int64_t code_step;      /* of zero_point, lower and upper */
    const float *bias_real; /* per column, added to float32 results, or NULL */
    float lower_real;       /* the reals between which float32 results are kept */
    float upper_real;
    const int32_t *fused_start; /* of 8-bit results, per column, both from ql_fuse; or both NULL */
    const float *fused_addend;
    /* Codes to be added, laid out like the results, or NULL; ql_conv fills them in. Less their zero
     * point and times their factor they are worth as much as accumulators times multipliers. With
     * them rows have no factors of their own. */
    const uint8_t *residual;
    int residual_signed;
    int32_t residual_zero_point;
    float residual_factor;
} ql_output;

/* For each multiplier a start and an addend such that, for sums from -reach to reach, the integer
 * next to fma(the float with the bits start + sum, multiplier, addend) is that next to f32(sum) *
 * multiplier if that is from -255 to 255, and else beyond on the same side, within 16 bits. If
 * there are none for one of QL_FUSED_TOGETHER multipliers, these have the start 0 and the addend
 * NaN. QL_DECLINED, with nothing to be used, if that is so of all. */
enum { QL_FUSED_TOGETHER = 64 };
int ql_fuse(const float *multiplier, int64_t count, int64_t reach, int32_t *start, float *addend);

/* y = output((a - a_zero_point) @ (b - b_zero_point) + bias) with exact accumulators. */
int ql_matmul(const ql_matrix *b, const void *a, int64_t rows, int64_t a_stride, int a_signed,
              const int32_t *a_zero_point, int64_t a_zero_point_step, const ql_output *output,
              void *y, int64_t y_stride);

/* Scale and zero point of ONNX's DynamicQuantizeLinear for all rows together, or for each: then
 * `scale` and `zero_point` have an entry for each row. QL_NOT_FINITE if a holds NaN or infinity. */
int ql_dynamic_range(const float *a, int64_t rows, int64_t columns, int64_t stride, int per_row,
                     float *scale, int32_t *zero_point);

/* y = output(the product with a, quantized to uint8 by these parameters) of float32 type, whose
 * row factors the scales are. */
int ql_dynamic_matmul(const ql_matrix *b, const float *a, int64_t rows, int64_t a_stride,
                      const float *a_scale, const int32_t *a_zero_point, int64_t a_step,
                      const ql_output *output, void *y, int64_t y_stride);

/* Both at once: a of shape (rows, k), whose multipliers are known not to overflow. */
int ql_dynamic_product(const ql_matrix *b, const float *a, int64_t rows, int64_t a_stride,
                       int per_row, const ql_output *output, void *y, int64_t y_stride);

/* The same with a right operand that is packed for this call only. */
int ql_matmul_once(const void *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                   int b_signed, const int32_t *b_zero_points, const void *a, int64_t rows,
                   int64_t a_stride, int a_signed, const int32_t *a_zero_point,
                   int64_t a_zero_point_step, const ql_output *output, void *y, int64_t y_stride);

/* --- arrays that are known by their addresses (arrays.c) ------------------------------------ */

/* What tells CPython's objects apart: the size of an object's head, the type of arrays, and NumPy's
 * dtypes, indexed by element type; and the size of a tuple's head, and the type of tuples. Set
 * once, before anything is read. */
typedef struct ql_array_types {
    intptr_t head, tuple_head;
    uintptr_t array, types[7], tuple;
} ql_array_types;

void ql_array_types_are(const ql_array_types *types);

enum { QL_SEEN_AXES = 4 };

/* What C reads of an array, for comparison with what the array says of itself. */
typedef struct ql_array_seen {
    uintptr_t data, base, dtype;
    int rank, is_contiguous, is_aligned, is_writeable;
    intptr_t extents[QL_SEEN_AXES], strides[QL_SEEN_AXES];
} ql_array_seen;

/* QL_DECLINED if the object is no array. */
int ql_array_read(uintptr_t object, ql_array_seen *seen);

/* The address of an array, and what it held when something was made of it. */
typedef struct ql_array_copy {
    uintptr_t array;
    int type, rank;
    intptr_t extents[QL_SEEN_AXES];
    int64_t size; /* in bytes */
    const void *bytes;
} ql_array_copy;

/* The addresses of the parameters of a call, and those of them that are arrays. */
enum { QL_MOST_PARAMETERS = 12 };
typedef struct ql_parameters {
    int64_t count, arrays;
    uintptr_t objects[QL_MOST_PARAMETERS];
    const ql_array_copy *copies;
} ql_parameters;

/* Which of those a tuple has the objects of, with arrays that still hold the same; -1 is none. */
int ql_find_parameters(const ql_parameters *const *held, int count, uintptr_t tuple);

/* --- convolutions (conv.c, filter.c) --------------------------------------------------------- */

/* The extents of a convolution of three spatial axes; fewer are preceded by axes of extent 1. */
typedef struct ql_conv_shape {
    int64_t batch, channels, out_channels, group;
    int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], out[3];
} ql_conv_shape;

/* Weights packed for a convolution, with their zero points. */
typedef struct ql_filter ql_filter;

/* Packs w of shape (out_channels, channels / group, kernel), or returns NULL when memory is
 * short. `zero_points` has an entry for each output channel. Only group, channels, out_channels,
 * kernel, stride and dilation of `shape` are looked at, which calls must share; they had better be
 * of the layout that is named. */
ql_filter *ql_filter_pack(const void *w, int is_signed, const int32_t *zero_points,
                          const ql_conv_shape *shape, int channels_first);
void ql_filter_free(ql_filter *filter);
int64_t ql_filter_size(const ql_filter *filter);
/* Writes the codes that were packed to w; QL_NO_MEMORY if it cannot. */
int ql_filter_unpack(const ql_filter *filter, void *w, int is_signed);

/* y = output(convolution + bias), x, y and the residual, which may be NULL, with channels first or
 * last; padding is worth x_zero_point. The columns of `output` are the output channels; its steps
 * are 0. */
int ql_conv(const ql_filter *filter, const void *x, int x_signed, int32_t x_zero_point,
            const ql_conv_shape *shape, int channels_first, const ql_output *output,
            const void *residual, void *y);

/* y[n][c][r] = x[n][r][c] for elements of 1 or 4 bytes: channels first to channels last, and
 * back. */
void ql_transpose(const void *x, void *y, int64_t batch, int64_t rows, int64_t columns,
                  int64_t element_size);

/* Copies rows of bytes, which lie so far apart. */
void ql_copy_rows(const void *x, int64_t x_stride, void *y, int64_t y_stride, int64_t rows,
                  int64_t bytes);

/* --- products and convolutions of such arrays (arrays.c) ------------------------------------ */

/* A product with all but its rows, which have the type `type` and k columns; -1 is int8 or uint8.
 * Of float32, which is quantized on the way, `per_row` says how, and there is no zero point. */
typedef struct ql_product_call {
    const ql_matrix *matrix;
    const ql_output *output;
    int64_t k, n;
    int type, per_row;
} ql_product_call;

/* What ql_matmul or ql_dynamic_product do, of arrays that are contiguous and apart from each other;
 * QL_DECLINED, and nothing done, if anything else than that is asked. */
int ql_call_product(const ql_product_call *call, uintptr_t left, int32_t zero_point,
                    uintptr_t result);

/* A product of two operands that have these types, in which -1 is int8 or uint8, and a number of
 * columns that there are parameters for. */
typedef struct ql_once_call {
    const ql_output *output;
    const int32_t *right_zero_points;
    int64_t least_columns, most_columns;
    int left_type, right_type;
} ql_once_call;

/* What ql_matmul_once does, likewise. */
int ql_call_product_once(const ql_once_call *call, uintptr_t left, int32_t zero_point,
                         uintptr_t right, uintptr_t result);

/* A convolution of images of one shape, and of the type `type`, or with -1 of int8 or uint8; with a
 * residual of the type `residual_type`, or with -1 of none. `axes` counts the spatial ones. */
typedef struct ql_conv_call {
    const ql_filter *filter;
    const ql_conv_shape *shape;
    const ql_output *output;
    int axes, channels_first, type, residual_type;
} ql_conv_call;

/* What ql_conv does, likewise; `residual` is 0 where there is none. */
int ql_call_conv(const ql_conv_call *call, uintptr_t x, int32_t zero_point, uintptr_t residual,
                 uintptr_t result);

/* --- layers between products (elementwise.c, lookup.c, pool.c, ...) ----------------------- */

/* How codes of two operands become those of a result, which is kept between `lower` and `upper`. Of
 * a product, `a_factor` is the only factor. */
typedef struct ql_blending {
    int a_signed, b_signed, y_signed;
    int32_t a_zero, b_zero, y_zero, lower, upper;
    float a_factor, b_factor;
} ql_blending;

/* The axes of a result of two operands: their extents, and how far a and b advance along them. */
typedef struct ql_walk {
    int rank;
    const int64_t *extents, *a_steps, *b_steps;
} ql_walk;

/* y = saturate(rint((a - a_zero) * a_factor + (b - b_zero) * b_factor) + y_zero), for contiguous
 * codes. */
int ql_add(const ql_blending *blending, const ql_walk *walk, const void *a, const void *b, void *y);

/* y = saturate(rint((a - a_zero) * (b - b_zero) * a_factor) + y_zero), likewise. */
int ql_multiply(const ql_blending *blending, const ql_walk *walk, const void *a, const void *b,
                void *y);

/* y[i][j] = table[x[i][j]] for bytes; the rows of y are `y_stride` apart. */
int ql_look_up(const void *x, const void *table, void *y, int64_t rows, int64_t columns,
               int64_t y_stride);

/* The extents of a pooling of three spatial axes; fewer are preceded by axes of extent 1. Images
 * are (batch, in, inner): with channels first, each channel is an image of its own. */
typedef struct ql_pool_shape {
    int64_t batch, inner;
    int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3], out[3];
} ql_pool_shape;

/* y = the largest code of each window, the lowest code there is where a window is empty. */
int ql_max_pool(const void *x, int is_signed, const ql_pool_shape *shape, void *y);

/* y = saturate(rint(f32(sum of (x - x_zero)) * (x_scale / (y_scale * count))) + y_zero) of each
 * window; padding counts where `count_pad` is not 0. */
int ql_average_pool(const void *x, int x_signed, int32_t x_zero, float x_scale,
                    const ql_pool_shape *shape, int count_pad, void *y, int y_signed,
                    int32_t y_zero, float y_scale);

/* y = saturate(rint(e * f32(1 / (f32(s) * y_scale))) + y_zero), kept between the codes `lower` and
 * `upper`, where e is exponentials[max of the row - x] and s the sum of the row's. */
int ql_softmax(const void *x, int x_signed, const int32_t *exponentials, void *y, int64_t rows,
               int64_t length, float y_scale, int32_t y_zero, int32_t lower, int32_t upper);

/* The places of a resized array of shape (outer, out, inner), from one of (outer, in, inner): for
 * each of three axes, in order, the two neighbours of each place and the weight of the second. */
typedef struct ql_resize_shape {
    int64_t outer, inner;
    int64_t in[3], out[3];
    const int64_t *first[3], *second[3];
    const float *weight[3];
} ql_resize_shape;

/* y = x at the first neighbours, for bytes. */
int ql_resize_nearest(const void *x, const ql_resize_shape *shape, void *y);

/* y = saturate(rint(x interpolated)): (1 - weight) * first + weight * second along each axis in
 * turn, every product and sum rounded to float32. */
int ql_resize_linear(const void *x, int is_signed, const ql_resize_shape *shape, void *y);

/* --- entropy coding of codes (encoding.c) --------------------------------------------------- */

/* How symbols are encoded with states from 2**log up: of each symbol its frequency, the most bits
 * that it takes, and where its states begin among those of all symbols. */
typedef struct ql_entropy_coder {
    int log;
    const uint32_t *frequency, *first;
    const uint8_t *most_bits;
    const uint16_t *states;
} ql_entropy_coder;

/* What a decoder does in a state: the code that it has found, how many bits it reads, and the state
 * that these are added to. */
typedef struct ql_entropy_step {
    int16_t code;
    uint16_t base, bits;
} ql_entropy_step;

/* Encodes symbols from the last to the first into `bits`, lowest bits of each byte first, and
 * returns the number of bits. `bits` has room for the most bits of each symbol. */
int64_t ql_entropy_encode(const uint16_t *symbols, int64_t count, const ql_entropy_coder *coder,
                          uint8_t *bits, uint32_t *last_state);

/* Decodes segments of `length` codes each; of each the byte that its bits start at, their number,
 * and the first state. Four bytes behind the bits may be read. QL_DAMAGED if the bits do not end
 * with the codes. */
int ql_entropy_decode(const uint8_t *data, const int64_t *start, const int64_t *bits,
                      const int64_t *state, int64_t segments, int64_t length,
                      const ql_entropy_step *steps, int16_t *codes, int64_t count);

/* --- reals, codes and sums of such arrays (arrays.c) ---------------------------------------- */

enum { QL_TO_CODES, QL_TO_REALS, QL_TO_CODES_AND_BACK };

/* ql_quantize, ql_dequantize or ql_fake_quantize with one parameter for all, of arrays of any shape
 * and of these types, one of which may be that of codes. */
typedef struct ql_affine_call {
    int what, x_type, y_type;
    const void *scale;
    const int32_t *zero_point;
    int32_t qmin, qmax;
} ql_affine_call;

/* They compute what the functions do and decline like ql_call_product. */
int ql_call_affine(const ql_affine_call *call, uintptr_t x, uintptr_t result);
int ql_call_min_max(uintptr_t x, uintptr_t lo, uintptr_t hi);
/* ql_add, or ql_multiply, of operands of one shape. */
int ql_call_blend(const ql_blending *blending, int multiplies, uintptr_t a, uintptr_t b,
                  uintptr_t result);

/* --- layers of float32 (real.c) ------------------------------------------------------------- */

enum { QL_ERF, QL_GELU, QL_GELU_TANH, QL_SIGMOID, QL_ACTIVATIONS };

/* y = a function of each element of x; y may be x. */
int ql_activate(int function, const float *x, float *y, int64_t count);

/* y = exp(x) / sum of exp(x) along each row; y may be x. */
int ql_real_softmax(const float *x, float *y, int64_t rows, int64_t length);

/* y = (x - mean) / sqrt(variance + epsilon) * scale + bias, with the mean and variance of each row;
 * bias may be NULL, and y may be x. */
int ql_layer_norm(const float *x, const float *scale, const float *bias, float *y, int64_t rows,
                  int64_t length, float epsilon);

/* y = x * (offset + factor * sum of the squares of the window around x)**-power along each row; of
 * an even window, the longer part lies behind x. The parenthesis must be a normal number above 0.
 */
typedef struct ql_window {
    int64_t length;
    float factor, offset, power;
} ql_window;

int ql_local_norm(const float *x, float *y, int64_t rows, int64_t length, const ql_window *window);

/* The same from 8-bit codes to 8-bit codes: dequantized before, quantized behind. */
int ql_local_norm_of_codes(const void *x, int x_signed, float x_scale, int32_t x_zero, void *y,
                           int y_signed, float y_scale, int32_t y_zero, int64_t rows,
                           int64_t length, const ql_window *window);
