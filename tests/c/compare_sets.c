/* Compares instruction sets with loops that a reader can check.
 *
 *     compare_sets [set ...]
 *
 * Each set that is named, or that the processor has, runs every case below, and every result is
 * compared, bit for bit, with plain loops in 64-bit integers and in the C library's own rounding,
 * which share nothing with the kernels. The C core is called without Python, so that this runs
 * wherever a C program does: test_compare_sets.py also builds it for other processors and runs it
 * on emulated ones.
 *
 * Inputs end at a page that may not be touched, results are surrounded by bytes that must not
 * change. The process fails at the first difference and says where. */
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core.h"

#define COUNT(array) ((int64_t)(sizeof(array) / sizeof *(array)))

/* --- what is being compared, for messages --------------------------------------------------- */

static char current_case[400];

static void describe(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(current_case, sizeof current_case, format, arguments);
    va_end(arguments);
}

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%s, %s: ", ql_isa_name(ql_isa_current()), current_case);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    exit(1);
}

/* A byte was touched that is not of the array: says in which case. */
static void on_bad_access(int signal_number) {
    const char *name = ql_isa_name(ql_isa_current());
    (void)signal_number;
    if (write(1, name, strlen(name)) < 0 || write(1, ", ", 2) < 0 ||
        write(1, current_case, strlen(current_case)) < 0 ||
        write(1, ": touched a byte outside an array\n", 34) < 0)
        _exit(3);
    _exit(2);
}

/* --- random numbers and arrays -------------------------------------------------------------- */

static uint64_t state;

static uint32_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static int64_t draw_below(int64_t bound) {
    return (int64_t)(draw() % (uint64_t)bound);
}

static double draw_real(void) {
    return draw() / 4294967296.0;
}

/* The arrays of a case, which release_all gives back. */
static struct {
    void *memory;
    size_t size;
} arrays[64];
static int array_count;

/* `size` bytes, the last of which ends a page; the page after it may not be touched. */
static void *allocate(int64_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t used = ((size_t)size + page - 1) / page * page;
    char *memory =
        mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + used, page, PROT_NONE) != 0 ||
        array_count == COUNT(arrays)) {
        fail("no memory for the test");
        return NULL;
    }
    arrays[array_count].memory = memory;
    arrays[array_count++].size = used + page;
    return memory + used - size;
}

static void release_all(void) {
    while (array_count > 0) {
        array_count--;
        munmap(arrays[array_count].memory, arrays[array_count].size);
    }
}

enum fill { ANY, ENDS, LEAST, MOST, FILLS };

/* Bytes as codes: any, all the least or the most of their kind, or one end or the other. */
static uint8_t *codes(int64_t count, int is_signed, enum fill fill) {
    uint8_t *array = allocate(count);
    const uint8_t least = is_signed ? 0x80 : 0, most = is_signed ? 0x7F : 0xFF;
    for (int64_t i = 0; i < count; i++)
        array[i] = fill == ANY     ? (uint8_t)draw()
                   : fill == LEAST ? least
                   : fill == MOST  ? most
                   : draw() % 2    ? least
                                   : most;
    return array;
}

static int32_t value_of(uint8_t byte, int is_signed) {
    return is_signed ? (int8_t)byte : byte;
}

static int32_t draw_code(int is_signed) {
    return (int32_t)draw_below(256) - (is_signed ? 128 : 0);
}

/* A zero point for codes of such a fill: as far from them as it can be. */
static int32_t draw_zero_point(int is_signed, enum fill fill) {
    const int32_t least = is_signed ? -128 : 0;
    if (fill == ANY)
        return draw_code(is_signed);
    return fill == LEAST || (fill == ENDS && draw() % 2) ? least + 255 : least;
}

/* Zero points, one in two times none but 0. */
static int32_t *draw_zero_points(int64_t count, int is_signed, enum fill fill) {
    const int any = draw() % 2;
    int32_t *array = allocate(count * 4);
    for (int64_t i = 0; i < count; i++)
        array[i] = any ? draw_zero_point(is_signed, fill) : 0;
    return array;
}

static int32_t *draw_codes(int64_t count, int is_signed) {
    int32_t *array = allocate(count * 4);
    for (int64_t i = 0; i < count; i++)
        array[i] = draw_code(is_signed);
    return array;
}

static int64_t bytes_of(int type) {
    return type == QL_FLOAT64                       ? 8
           : type == QL_FLOAT32 || type == QL_INT32 ? 4
           : type == QL_INT16 || type == QL_UINT16  ? 2
                                                    : 1;
}

/* --- outputs of products -------------------------------------------------------------------- */

enum { CANARY = 0xA5 };

/* `count` numbers between `least` and `most`. */
static float *draw_floats(int64_t count, double least, double most) {
    float *array = allocate(count * 4);
    for (int64_t i = 0; i < count; i++)
        array[i] = (float)(least + draw_real() * (most - least));
    return array;
}

/* An output stage for `rows` times `columns`, of a depth that says how large sums are. */
static ql_output draw_output(int64_t rows, int64_t columns, int64_t depth, int by_row) {
    static const int types[] = {QL_INT32, QL_FLOAT32, QL_INT8, QL_UINT8};
    ql_output output = {.type = types[draw() % 4], .lower_real = -INFINITY, .upper_real = INFINITY};
    const int is_signed = output.type == QL_INT8;
    const int64_t codes_count = by_row ? rows : 1;
    const double typical = 5000 * sqrt((double)depth + 1); /* of random codes */
    if (draw() % 2) {
        int32_t *bias = allocate(columns * 4);
        for (int64_t j = 0; j < columns; j++)
            bias[j] = (int32_t)((draw_real() - 0.5) * typical);
        output.bias = bias;
    }
    if (draw() % 2)
        output.lower_real = 0;
    if (draw() % 2)
        output.upper_real = 50;
    /* Spreads the sums over the range of a byte; powers of two make ties. */
    const double most = draw() % 3 == 0 ? exp2(round(log2(25 / typical))) : 45 / typical;
    output.multiplier = draw_floats(columns, most == 45 / typical ? most / 3 : most, most);
    output.row_step = draw() % 2;
    if (draw() % 4 == 0)
        output.row_factor = draw_floats(output.row_step ? rows : 1, 0.5, 2);
    if (draw() % 4 == 0 && output.type != QL_FLOAT32)
        output.row_divisor = draw_floats(output.row_step ? rows : 1, 0.5, 2);
    if (draw() % 4 == 0 && output.type == QL_FLOAT32)
        output.bias_real = draw_floats(columns, -100, 100);
    output.code_step = by_row;
    int32_t *lower = draw_codes(codes_count, is_signed),
            *upper = draw_codes(codes_count, is_signed);
    for (int64_t i = 0; i < codes_count; i++) {
        if (lower[i] > upper[i] || draw() % 4 != 0) {
            lower[i] = is_signed ? -128 : 0;
            upper[i] = lower[i] + 255;
        }
    }
    output.zero_point = draw_codes(codes_count, is_signed);
    output.lower = lower;
    output.upper = upper;
    return output;
}

/* How many 8-bit entries were compared, and how many of them lay within their range. */
static int64_t code_count, inner_count;

/* One entry of a result: from an exact accumulator, as the definition says. */
/* `at_entry` counts the entries of the result, which a residual has as many of. */
static void expect_entry(const ql_output *output, int32_t sum, int64_t row, int64_t column,
                         int64_t at_entry, void *entry) {
    if (output->type == QL_INT32) {
        memcpy(entry, &sum, 4);
        return;
    }
    const int64_t part = row * output->row_step;
    volatile float multiplier = output->multiplier[column];
    if (output->row_factor != NULL)
        multiplier = output->row_factor[part] * multiplier;
    if (output->row_divisor != NULL)
        multiplier = multiplier / output->row_divisor[part];
    volatile float real = (float)sum;
    real = real * multiplier;
    volatile float added = 0;
    if (output->residual != NULL) {
        const uint8_t byte = output->residual[at_entry];
        added = (float)(value_of(byte, output->residual_signed) - output->residual_zero_point);
        added = added * output->residual_factor;
    }
    if (output->type == QL_FLOAT32) {
        if (output->bias_real != NULL)
            real = real + output->bias_real[column];
        if (output->residual != NULL)
            real = real + added;
        real = fminf(fmaxf(real, output->lower_real), output->upper_real);
        memcpy(entry, (const float *)&real, 4);
        return;
    }
    const int64_t at = row * output->code_step;
    if (output->residual != NULL)
        real = real + added;
    const double code = (double)nearbyintf(real) + output->zero_point[at];
    const double kept = fmin(fmax(code, output->lower[at]), output->upper[at]);
    *(uint8_t *)entry = (uint8_t)(int)kept;
    code_count++;
    inner_count += output->lower[at] < kept && kept < output->upper[at];
}

/* Whether the sums are as exact ones, or QL_OVERFLOW where one does not fit int32; compares all of
 * the result with its surroundings. `y` has rows of `stride` entries. */
static void compare_result(const ql_output *output, int status, const int64_t *exact, int64_t rows,
                           int64_t columns, const uint8_t *y, int64_t stride) {
    const int64_t size = bytes_of(output->type);
    for (int64_t i = 0; i < rows * columns; i++)
        if (exact[i] < INT32_MIN || exact[i] > INT32_MAX) {
            if (status != QL_OVERFLOW)
                fail("status %d where a sum is %lld", status, (long long)exact[i]);
            return;
        }
    if (status != QL_OK)
        fail("status %d", status);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < (i + 1 < rows ? stride : columns); j++) {
            uint8_t expected[4] = {CANARY, CANARY, CANARY, CANARY};
            const uint8_t *actual = y + (i * stride + j) * size;
            if (j < columns)
                expect_entry(output, (int32_t)exact[i * columns + j], i, j, i * columns + j,
                             expected);
            if (memcmp(actual, expected, (size_t)size) != 0)
                fail("entry (%lld, %lld) of type %d begins with byte %d, not %d", (long long)i,
                     (long long)j, output->type, actual[0], expected[0]);
        }
}

static uint8_t *draw_result(const ql_output *output, int64_t rows, int64_t columns,
                            int64_t stride) {
    const int64_t size = rows == 0 ? 0 : ((rows - 1) * stride + columns) * bytes_of(output->type);
    uint8_t *y = allocate(size);
    memset(y, CANARY, (size_t)size);
    return y;
}

/* --- matrix products ------------------------------------------------------------------------ */

static void compare_unpacked(const ql_matrix *packed, const uint8_t *b, int64_t depth,
                             int64_t columns, int64_t k_stride, int64_t n_stride, int b_signed) {
    uint8_t *unpacked = allocate(depth * columns);
    ql_matrix_unpack(packed, unpacked, b_signed);
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < columns; j++)
            if (unpacked[k * columns + j] != b[k * k_stride + j * n_stride])
                fail("code (%lld, %lld) was not unpacked", (long long)k, (long long)j);
}

static void compare_product(int64_t rows, int64_t columns, int64_t depth, enum fill fill) {
    const enum fill b_fill = fill == ANY ? ANY : draw() % FILLS;
    const int a_signed = draw() % 2, b_signed = draw() % 2;
    const int transposed = draw() % 4 == 0, by_row = draw() % 4 == 0;
    const int64_t gap = draw() % 2 ? draw_below(20) : 0;
    const int64_t a_stride = depth + gap, b_stride = (transposed ? depth : columns) + gap;
    describe("product of %lld x %lld x %lld (a %s%s, b %s%s, gap %lld, fills %d %d)",
             (long long)rows, (long long)depth, (long long)columns, a_signed ? "int8" : "uint8",
             by_row ? " by row" : "", b_signed ? "int8" : "uint8", transposed ? " transposed" : "",
             (long long)gap, fill, b_fill);
    const int64_t b_rows = transposed ? columns : depth, b_width = transposed ? depth : columns;
    const uint8_t *a = codes(rows == 0 ? 0 : (rows - 1) * a_stride + depth, a_signed, fill);
    const uint8_t *b = codes(b_rows == 0 ? 0 : (b_rows - 1) * b_stride + b_width, b_signed, b_fill);
    const int32_t *a_zero = draw_zero_points(by_row ? rows : 1, a_signed, fill);
    const int32_t *b_zero = draw_zero_points(columns, b_signed, b_fill);
    const ql_output output = draw_output(rows, columns, depth, draw() % 4 == 0);

    int64_t *exact = malloc((size_t)(rows * columns + 1) * sizeof *exact);
    const int64_t k_stride = transposed ? 1 : b_stride, n_stride = transposed ? b_stride : 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            int64_t sum = output.bias == NULL ? 0 : output.bias[j];
            for (int64_t k = 0; k < depth; k++)
                sum += (int64_t)(value_of(a[i * a_stride + k], a_signed) - a_zero[by_row ? i : 0]) *
                       (value_of(b[k * k_stride + j * n_stride], b_signed) - b_zero[j]);
            exact[i * columns + j] = sum;
        }

    const int64_t y_stride = columns + (draw() % 2 ? draw_below(20) : 0);
    uint8_t *y = draw_result(&output, rows, columns, y_stride);
    int status;
    if (draw() % 3 == 0) {
        status = ql_matmul_once(b, depth, columns, k_stride, n_stride, b_signed, b_zero, a, rows,
                                a_stride, a_signed, a_zero, by_row, &output, y, y_stride);
    } else {
        ql_matrix *packed = ql_matrix_pack(b, depth, columns, k_stride, n_stride, b_signed, b_zero);
        if (packed == NULL)
            fail("not packed");
        compare_unpacked(packed, b, depth, columns, k_stride, n_stride, b_signed);
        status =
            ql_matmul(packed, a, rows, a_stride, a_signed, a_zero, by_row, &output, y, y_stride);
        ql_matrix_free(packed);
    }
    compare_result(&output, status, exact, rows, columns, y, y_stride);
    free(exact);
    release_all();
}

static void compare_products(void) {
    static const int64_t widths[] = {1, 3, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 79, 129};
    static const int64_t depths[] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  12, 15, 16,
                                     17, 23, 31, 32, 33, 63, 64, 65, 66, 67, 68, 130};
    const int64_t most_rows = 2 * ql_current_kernels()->tile_rows + 2;
    for (int64_t rows = 0; rows <= most_rows; rows++)
        for (int64_t w = 0; w < COUNT(widths); w++)
            compare_product(rows, widths[w], depths[draw() % COUNT(depths)], ANY);
    for (int64_t d = 0; d < COUNT(depths); d++)
        for (enum fill fill = ANY; fill < FILLS; fill++)
            compare_product(1 + draw_below(most_rows), 1 + draw_below(40), depths[d], fill);
    for (int i = 0; i < 60; i++)
        compare_product(draw_below(100), draw_below(100), draw_below(300), draw() % FILLS);
}

/* Of several blocks of rows, and such as threads share: many rows, or a large right operand. */
static void compare_large_products(void) {
    static const int64_t shapes[][3] = {{300, 70, 1100}, {2, 520, 1100}};
    for (int i = 0; i < COUNT(shapes); i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            ql_set_threads(threads);
            compare_product(shapes[i][0], shapes[i][1], shapes[i][2], ANY);
        }
}

/* Sums that need 64 bits on the way, some of which do not fit int32 in the end. */
static void compare_long_products(void) {
    static const int64_t depths[] = {32767, 33027, 65537, 65794, 66000, 131073, 140001};
    for (int64_t d = 0; d < COUNT(depths); d++)
        for (int i = 0; i < 12; i++)
            compare_product(1 + draw_below(3), 1 + draw_below(3), depths[d],
                            i < 4 ? i % 2 : LEAST + i % 2);
    compare_product(ql_current_kernels()->tile_rows + 1, 35, 33027, ENDS);
}

/* --- products of reals ---------------------------------------------------------------------- */

/* Scale and zero point for the widest of `count` rows. */
static void expect_range(const float *a, int64_t count, int64_t depth, int64_t stride, float *scale,
                         int32_t *zero_point) {
    float lo = 0, hi = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < depth; k++) {
            lo = fminf(lo, a[i * stride + k]);
            hi = fmaxf(hi, a[i * stride + k]);
        }
    *scale = lo == hi ? 1 : fmaxf((hi - lo) / 255, 0x1p-126f);
    *zero_point = (int32_t)fminf(nearbyintf(-lo / *scale), 255);
}

static void compare_dynamic_product(int64_t rows, int64_t columns, int64_t depth) {
    const int by_row = draw() % 2, b_signed = draw() % 2, has_b_zero = draw() % 2;
    const int64_t stride = depth + (draw() % 2 ? draw_below(20) : 0);
    describe("product of %lld x %lld reals%s and %s of %lld columns%s", (long long)rows,
             (long long)depth, by_row ? " by row" : "", b_signed ? "int8" : "uint8",
             (long long)columns, has_b_zero ? " with zero points" : "");
    const float *a = draw_floats(rows == 0 ? 0 : (rows - 1) * stride + depth,
                                 draw() % 4 ? -draw_real() : 0, 3 * draw_real());
    const uint8_t *b = codes(depth * columns, b_signed, ANY);
    int32_t *b_zero = draw_codes(columns, b_signed);
    for (int64_t j = 0; j < columns && !has_b_zero; j++)
        b_zero[j] = 0;
    ql_output output = {.type = QL_FLOAT32, .lower_real = -INFINITY, .upper_real = INFINITY};
    output.multiplier = draw_floats(columns, 0.01, 0.1);
    if (draw() % 2)
        output.bias_real = draw_floats(columns, -100, 100);

    const int64_t ranges = by_row ? rows : 1;
    float *scale = allocate(ranges * 4);
    int32_t *zero = allocate(ranges * 4);
    if (ql_dynamic_range(a, rows, depth, stride, by_row, scale, zero) != QL_OK)
        fail("no range");
    for (int64_t i = 0; i < ranges; i++) {
        float expected_scale;
        int32_t expected_zero;
        expect_range(a + i * stride, by_row ? 1 : rows, depth, stride, &expected_scale,
                     &expected_zero);
        if (scale[i] != expected_scale || zero[i] != expected_zero)
            fail("range %lld has scale %.9g and zero point %d, not %.9g and %d", (long long)i,
                 (double)scale[i], (int)zero[i], (double)expected_scale, (int)expected_zero);
    }
    int64_t *exact = calloc((size_t)(rows * columns + 1), sizeof *exact);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < depth; k++) {
            const int64_t at = by_row ? i : 0;
            const float code = nearbyintf(a[i * stride + k] / scale[at]) + (float)zero[at];
            const int64_t steps = (int64_t)fminf(fmaxf(code, 0), 255) - zero[at];
            for (int64_t j = 0; j < columns; j++)
                exact[i * columns + j] +=
                    steps * (value_of(b[k * columns + j], b_signed) - b_zero[j]);
        }

    uint8_t *y = draw_result(&output, rows, columns, columns);
    ql_matrix *packed = ql_matrix_pack(b, depth, columns, columns, 1, b_signed, b_zero);
    if (packed == NULL)
        fail("not packed");
    const int status =
        ql_dynamic_matmul(packed, a, rows, stride, scale, zero, by_row, &output, y, columns);
    output.row_factor = scale;
    output.row_step = by_row;
    compare_result(&output, status, exact, rows, columns, y, columns);
    ql_matrix_free(packed);
    free(exact);
    release_all();
}

static void compare_dynamic_products(void) {
    for (int64_t depth = 0; depth < 70; depth++)
        compare_dynamic_product(draw_below(40), 1 + draw_below(70), depth);
    compare_dynamic_product(5, 20, 2100);
    compare_dynamic_product(300, 70, 1100);
}

/* --- convolutions --------------------------------------------------------------------------- */

static int64_t draw_convolution(ql_conv_shape *s) {
    static const int64_t widths[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 50, 100};
    const int wide = draw() % 24 == 0; /* lines in several parts */
    const int64_t channels = widths[draw() % (wide ? 5 : COUNT(widths))];
    enum { WHOLE, TWO, DEPTHWISE, NARROW };
    const int kind = draw() % 4;
    *s = (ql_conv_shape){.batch = 1 + draw_below(2)};
    s->group = kind == WHOLE ? 1 : kind == TWO ? 2 : kind == NARROW ? 3 + draw_below(8) : channels;
    s->channels = kind == TWO      ? 2 * channels
                  : kind == NARROW ? s->group * (1 + draw_below(6))
                                   : channels;
    const int64_t multiplier = draw() % 4 == 0 ? 1 + draw_below(4) : 1;
    s->out_channels = kind == DEPTHWISE ? channels * multiplier
                      : kind == NARROW  ? s->group * (1 + draw_below(9))
                                        : s->group * (1 + draw_below(20));
    const int pointwise = draw() % 5 == 0, sparse = draw() % 16 == 0;
    for (int axis = 0; axis < 3; axis++) {
        const int one = pointwise || (axis == 0 && draw() % 2);
        s->kernel[axis] = one ? 1 : 1 + draw_below(kind == DEPTHWISE ? 6 : 3);
        s->stride[axis] = one ? 1 : 1 + draw_below(2);
        s->dilation[axis] = one ? 1 : 1 + draw_below(2);
        s->pad[axis] = one ? 0 : draw_below(3);
        s->in[axis] = axis == 0 && one ? 1 : 4 + draw_below(axis == 2 ? 14 : 3);
        if (axis == 2 && wide)
            s->in[axis] = 250 + draw_below(500);
        if (axis == 2 && sparse && !one) { /* few pixels of a line are used */
            s->dilation[axis] = draw() % 2 ? 1 : 20 + draw_below(200);
            s->pad[axis] = s->dilation[axis] * s->kernel[axis];
            s->stride[axis] = 1 + draw_below(150);
        }
        const int64_t reach = (s->kernel[axis] - 1) * s->dilation[axis] + 1;
        s->out[axis] = (s->in[axis] + 2 * s->pad[axis] - reach) / s->stride[axis] + 1;
        if (s->in[axis] + 2 * s->pad[axis] < reach)
            return 0;
    }
    return s->kernel[0] * s->kernel[1] * s->kernel[2];
}

/* The sum at one output position, axis by axis. */
static int64_t convolve_at(const ql_conv_shape *s, const uint8_t *x, int x_signed, int32_t x_zero,
                           const uint8_t *w, int w_signed, const int32_t *w_zero, int64_t image,
                           const int64_t at[3], int64_t o) {
    const int64_t in = s->channels / s->group, out = s->out_channels / s->group;
    int64_t sum = 0, tap = 0;
    const int64_t taps = s->kernel[0] * s->kernel[1] * s->kernel[2];
    for (int64_t td = 0; td < s->kernel[0]; td++)
        for (int64_t th = 0; th < s->kernel[1]; th++)
            for (int64_t tw = 0; tw < s->kernel[2]; tw++, tap++) {
                const int64_t d = at[0] * s->stride[0] - s->pad[0] + td * s->dilation[0];
                const int64_t h = at[1] * s->stride[1] - s->pad[1] + th * s->dilation[1];
                const int64_t v = at[2] * s->stride[2] - s->pad[2] + tw * s->dilation[2];
                if (d < 0 || d >= s->in[0] || h < 0 || h >= s->in[1] || v < 0 || v >= s->in[2])
                    continue;
                const uint8_t *pixel =
                    x + (((image * s->in[0] + d) * s->in[1] + h) * s->in[2] + v) * s->channels;
                for (int64_t c = 0; c < in; c++)
                    sum += (int64_t)(value_of(pixel[o / out * in + c], x_signed) - x_zero) *
                           (value_of(w[(o * in + c) * taps + tap], w_signed) - w_zero[o]);
            }
    return sum;
}

/* Codes to be added to results, one in three times; then rows have no factors. */
static const uint8_t *draw_residual(ql_output *output, int64_t count) {
    if (output->type == QL_INT32 || draw() % 3)
        return NULL;
    output->row_factor = output->row_divisor = NULL;
    output->residual_signed = draw() % 2;
    output->residual_zero_point = draw_code(output->residual_signed);
    output->residual_factor = draw() % 2 ? 0.5f : (float)draw_real();
    return output->residual = codes(count, output->residual_signed, ANY);
}

/* y[n][j][i] = x[n][i][j]. */
static void reorder(const uint8_t *x, uint8_t *y, int64_t batch, int64_t rows, int64_t columns,
                    int64_t size) {
    for (int64_t n = 0; n < batch; n++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                memcpy(y + ((n * columns + j) * rows + i) * size,
                       x + ((n * rows + i) * columns + j) * size, (size_t)size);
}

static void compare_convolution(enum fill fill) {
    ql_conv_shape s;
    const int64_t taps = draw_convolution(&s);
    if (taps == 0)
        return;
    const int x_signed = draw() % 2, w_signed = draw() % 2;
    const int64_t in = s.channels / s.group, pixels = s.out[0] * s.out[1] * s.out[2];
    describe("convolution of %lld channels to %lld in %lld groups, kernel %lld %lld %lld, width "
             "%lld, stride %lld, pad %lld, dilation %lld (x %s, w %s, fill %d)",
             (long long)s.channels, (long long)s.out_channels, (long long)s.group,
             (long long)s.kernel[0], (long long)s.kernel[1], (long long)s.kernel[2],
             (long long)s.in[2], (long long)s.stride[2], (long long)s.pad[2],
             (long long)s.dilation[2], x_signed ? "int8" : "uint8", w_signed ? "int8" : "uint8",
             fill);
    const uint8_t *x = codes(s.batch * s.in[0] * s.in[1] * s.in[2] * s.channels, x_signed, fill);
    const uint8_t *w = codes(s.out_channels * in * taps, w_signed, fill);
    const int32_t x_zero = draw() % 2 ? draw_zero_point(x_signed, fill) : 0;
    const int32_t *w_zero = draw_zero_points(s.out_channels, w_signed, fill);
    const int64_t rows = s.batch * pixels;
    ql_output output = draw_output(rows, s.out_channels, in * taps, 0);
    output.row_step = 0;
    const uint8_t *residual = draw_residual(&output, rows * s.out_channels);

    int64_t *exact = malloc((size_t)(rows * s.out_channels) * sizeof *exact), *next = exact;
    for (int64_t image = 0; image < s.batch; image++)
        for (int64_t d = 0; d < s.out[0]; d++)
            for (int64_t h = 0; h < s.out[1]; h++)
                for (int64_t v = 0; v < s.out[2]; v++)
                    for (int64_t o = 0; o < s.out_channels; o++)
                        *next++ = convolve_at(&s, x, x_signed, x_zero, w, w_signed, w_zero, image,
                                              (int64_t[]){d, h, v}, o) +
                                  (output.bias == NULL ? 0 : output.bias[o]);

    ql_filter *filter = ql_filter_pack(w, w_signed, w_zero, &s, 1);
    if (filter == NULL)
        fail("not packed");
    uint8_t *unpacked = allocate(s.out_channels * in * taps);
    if (ql_filter_unpack(filter, unpacked, w_signed) != QL_OK ||
        memcmp(unpacked, w, (size_t)(s.out_channels * in * taps)) != 0)
        fail("weights were not unpacked");
    uint8_t *y = draw_result(&output, rows, s.out_channels, s.out_channels);
    int status = ql_conv(filter, x, x_signed, x_zero, &s, 0, &output, residual, y);
    compare_result(&output, status, exact, rows, s.out_channels, y, s.out_channels);
    const int64_t in_pixels = s.in[0] * s.in[1] * s.in[2], size = bytes_of(output.type);
    uint8_t *x_first = allocate(s.batch * in_pixels * s.channels);
    reorder(x, x_first, s.batch, in_pixels, s.channels, 1);
    uint8_t *first_residual = residual == NULL ? NULL : allocate(rows * s.out_channels);
    if (residual != NULL)
        reorder(residual, first_residual, s.batch, pixels, s.out_channels, 1);
    uint8_t *y_first = allocate(s.batch * pixels * s.out_channels * size);
    status = ql_conv(filter, x_first, x_signed, x_zero, &s, 1, &output, first_residual, y_first);
    reorder(y_first, y, s.batch, s.out_channels, pixels, size);
    compare_result(&output, status, exact, rows, s.out_channels, y, s.out_channels);
    ql_filter_free(filter);
    free(exact);
    release_all();
}

static void compare_convolutions(void) {
    for (int i = 0; i < 150; i++)
        compare_convolution(i % 2 ? ANY : draw() % FILLS);
}

/* --- reals and codes ------------------------------------------------------------------------ */

/* Data of shape (outer, length, inner), and the parameters that lie over it. */
typedef struct {
    int kind, real_type, code_type;
    int64_t outer, length, inner, block, count, parameters;
    char *scale;
    int32_t *zero_point;
    int32_t qmin, qmax;
} affine;

static double real_at(const void *array, int type, int64_t i) {
    return type == QL_FLOAT32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void put_real(void *array, int type, int64_t i, double value) {
    if (type == QL_FLOAT32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

static int64_t code_at(const void *array, int type, int64_t i) {
    switch (type) {
    case QL_INT8:
        return ((const int8_t *)array)[i];
    case QL_UINT8:
        return ((const uint8_t *)array)[i];
    case QL_INT16:
        return ((const int16_t *)array)[i];
    case QL_UINT16:
        return ((const uint16_t *)array)[i];
    default:
        return ((const int32_t *)array)[i];
    }
}

static int64_t parameter_of(const affine *p, int64_t i) {
    const int64_t l = i / p->inner % p->length, o = i / p->inner / p->length;
    if (p->kind == QL_PER_TENSOR)
        return 0;
    if (p->kind == QL_PER_CHANNEL)
        return l;
    return (o * ((p->length + p->block - 1) / p->block) + l / p->block) * p->inner + i % p->inner;
}

static affine draw_affine(int code_type) {
    static const int64_t extents[] = {1, 1, 2, 3, 5, 8, 17, 33, 70};
    static const int32_t least[] = {[QL_INT8] = -128, [QL_INT16] = -32768, [QL_UINT16] = 0};
    affine p = {.kind = draw() % 3, .real_type = draw() % 2 ? QL_FLOAT32 : QL_FLOAT64};
    p.code_type = code_type;
    p.outer = extents[draw() % COUNT(extents)];
    p.length = extents[draw() % COUNT(extents)];
    p.inner = extents[draw() % COUNT(extents)];
    p.block = 1 + draw_below(p.length);
    if (p.kind == QL_BLOCKED && draw() % 2) { /* such blocks have code of their own */
        p.inner = 1;
        p.length = 100 + draw_below(100);
        p.block = 16 << draw_below(3);
    }
    p.count = p.outer * p.length * p.inner;
    const int64_t blocks = (p.length + p.block - 1) / p.block;
    p.parameters = p.kind == QL_PER_TENSOR    ? 1
                   : p.kind == QL_PER_CHANNEL ? p.length
                                              : p.outer * blocks * p.inner;
    const int integer = code_type == QL_INT32;
    p.qmin = integer ? 0 : least[code_type];
    p.qmax = p.qmin + (bytes_of(code_type) == 1 ? 255 : 65535);
    if (draw() % 3 == 0) { /* a narrower range, as of fewer bits */
        p.qmin = p.qmin / 2;
        p.qmax = p.qmin + (p.qmax - p.qmin) / 3;
    }
    p.scale = allocate(p.parameters * bytes_of(p.real_type));
    p.zero_point = allocate(p.parameters * 4);
    for (int64_t i = 0; i < p.parameters; i++) {
        /* A power of two makes ties of the data below exact. */
        static const double rare[] = {1e-30, 1e30, 1e-10, 1e10};
        put_real(p.scale, p.real_type, i,
                 draw() % 2          ? 0.25
                 : draw() % 100 == 0 ? rare[draw() % COUNT(rare)]
                                     : 0.001 + draw_real());
        p.zero_point[i] = integer ? 0 : p.qmin + (int32_t)draw_below((int64_t)p.qmax - p.qmin + 1);
    }
    describe("%d reals and codes (real type %d, code type %d, kind %d, shape %lld %lld %lld, block "
             "%lld)",
             (int)p.count, p.real_type, code_type, p.kind, (long long)p.outer, (long long)p.length,
             (long long)p.inner, (long long)p.block);
    return p;
}

/* Numbers within and without the range, ties, and what is no number. */
static void *draw_reals(const affine *p, int specials) {
    static const double special[] = {INFINITY, -INFINITY, NAN,  0.0, -0.0, 1e30,    -1e30,
                                     1e-42,    2e9,       -2e9, 4e9, -4e9, 8388609, 0.125};
    char *x = allocate(p->count * bytes_of(p->real_type));
    for (int64_t i = 0; i < p->count; i++) {
        const double scale = real_at(p->scale, p->real_type, parameter_of(p, i));
        double value = (draw_real() - 0.5) * 700 * scale;
        if (draw() % 3 == 0)
            value = ((double)draw_below(600) - 300.5) * scale;
        if (specials && draw() % 8 == 0)
            value = special[draw() % COUNT(special)];
        put_real(x, p->real_type, i, value);
    }
    return x;
}

/* rint(x / scale) in the real type, saturated about the zero point; NaN is no step. */
static double steps_at(const affine *p, const void *x, int64_t i) {
    const int64_t at = parameter_of(p, i);
    double steps;
    if (p->real_type == QL_FLOAT32)
        steps = (double)nearbyintf(((const float *)x)[i] / ((const float *)(void *)p->scale)[at]);
    else
        steps = nearbyint(((const double *)x)[i] / ((const double *)(void *)p->scale)[at]);
    const double low = (double)p->qmin - p->zero_point[at];
    const double high = (double)p->qmax - p->zero_point[at];
    return isnan(steps) ? fmin(fmax(0, low), high) : fmin(fmax(steps, low), high);
}

static void compare_quantize(int code_type) {
    const affine p = draw_affine(code_type);
    const void *x = draw_reals(&p, 1);
    void *y = allocate(p.count * bytes_of(code_type));
    ql_quantize(x, p.real_type, y, code_type, p.scale, p.zero_point, p.qmin, p.qmax, p.kind,
                p.outer, p.length, p.inner, p.block);
    for (int64_t i = 0; i < p.count; i++) {
        const int64_t expected = (int64_t)steps_at(&p, x, i) + p.zero_point[parameter_of(&p, i)];
        if (code_at(y, code_type, i) != expected)
            fail("%.9g becomes code %d, not %d", real_at(x, p.real_type, i),
                 (int)code_at(y, code_type, i), (int)expected);
    }
    release_all();
}

static void compare_reals(const affine *p, const void *actual, const void *expected) {
    const int64_t size = bytes_of(p->real_type);
    for (int64_t i = 0; i < p->count; i++)
        if (memcmp((const char *)actual + i * size, (const char *)expected + i * size,
                   (size_t)size) != 0)
            fail("entry %lld is %.17g, not %.17g", (long long)i, real_at(actual, p->real_type, i),
                 real_at(expected, p->real_type, i));
}

static void compare_fake_quantize(void) {
    const affine p = draw_affine(draw() % 2 ? QL_INT8 : QL_UINT16);
    const void *x = draw_reals(&p, 1);
    void *y = allocate(p.count * bytes_of(p.real_type));
    void *expected = allocate(p.count * bytes_of(p.real_type));
    ql_fake_quantize(x, p.real_type, y, p.scale, p.zero_point, p.qmin, p.qmax, p.kind, p.outer,
                     p.length, p.inner, p.block);
    for (int64_t i = 0; i < p.count; i++) {
        const double steps = steps_at(&p, x, i) + 0.0; /* no -0: steps are integers */
        const int64_t at = parameter_of(&p, i);
        if (p.real_type == QL_FLOAT32)
            ((float *)expected)[i] = ((float *)(void *)p.scale)[at] * (float)steps;
        else
            ((double *)expected)[i] = ((double *)(void *)p.scale)[at] * steps;
    }
    compare_reals(&p, y, expected);
    release_all();
}

static void compare_dequantize(int code_type) {
    const affine p = draw_affine(code_type);
    uint8_t *bytes = codes(p.count * bytes_of(code_type), 0, draw() % FILLS);
    void *y = allocate(p.count * bytes_of(p.real_type));
    void *expected = allocate(p.count * bytes_of(p.real_type));
    ql_dequantize(bytes, code_type, y, p.real_type, p.scale, p.zero_point, p.kind, p.outer,
                  p.length, p.inner, p.block);
    for (int64_t i = 0; i < p.count; i++) {
        const int64_t at = parameter_of(&p, i);
        const int32_t steps = (int32_t)(code_at(bytes, code_type, i) - p.zero_point[at]);
        if (p.real_type == QL_FLOAT32)
            ((float *)expected)[i] = (float)steps * ((float *)(void *)p.scale)[at];
        else
            ((double *)expected)[i] = (double)steps * ((double *)(void *)p.scale)[at];
    }
    compare_reals(&p, y, expected);
    release_all();
}

static void compare_min_max(int specials) {
    affine p = draw_affine(QL_INT8);
    const void *x = draw_reals(&p, specials);
    const int64_t size = bytes_of(p.real_type), count = p.count;
    p.count = p.parameters; /* of each a lowest and a highest */
    void *ends[2] = {allocate(p.count * size), allocate(p.count * size)};
    void *expected[2] = {allocate(p.count * size), allocate(p.count * size)};
    for (int64_t i = 0; i < p.count; i++) {
        put_real(expected[0], p.real_type, i, INFINITY);
        put_real(expected[1], p.real_type, i, -INFINITY);
    }
    for (int64_t i = 0; i < count; i++)
        for (int end = 0; end < 2; end++) {
            const int64_t at = parameter_of(&p, i);
            const double value = real_at(x, p.real_type, i) + 0.0; /* -0 counts as 0 */
            const double found = real_at(expected[end], p.real_type, at);
            const int further = end ? value > found : value < found;
            if (!isnan(found) && (isnan(value) || further))
                put_real(expected[end], p.real_type, at, isnan(value) ? (double)NAN : value);
        }
    ql_min_max(x, p.real_type, ends[0], ends[1], p.kind, p.outer, p.length, p.inner, p.block);
    compare_reals(&p, ends[0], expected[0]);
    compare_reals(&p, ends[1], expected[1]);
    release_all();
}

static void compare_requantize(void) {
    affine p = draw_affine(draw() % 2 ? QL_INT8 : QL_UINT8);
    p.kind = p.kind == QL_BLOCKED ? QL_PER_TENSOR : p.kind;
    int32_t *sums = allocate(p.count * 4);
    float *multiplier = allocate((p.kind == QL_PER_TENSOR ? 1 : p.length) * 4);
    uint8_t *y = allocate(p.count);
    for (int64_t i = 0; i < p.count; i++)
        sums[i] = draw() % 8 == 0 ? (int32_t)draw() : (int32_t)draw_below(100001) - 50000;
    for (int64_t i = 0; i < (p.kind == QL_PER_TENSOR ? 1 : p.length); i++)
        multiplier[i] = draw() % 8 == 0 ? (float)(draw_real() * 1e30) /* steps beyond int32 */
                        : draw() % 2    ? 0.00390625f
                                        : (float)(draw_real() * 0.01);
    const int32_t zero_point = p.zero_point[0];
    ql_requantize(sums, y, multiplier, zero_point, p.qmin, p.qmax, p.kind, p.outer, p.length,
                  p.inner);
    for (int64_t i = 0; i < p.count; i++) {
        const float real = (float)sums[i] * multiplier[parameter_of(&p, i)];
        const double code = fmin(fmax((double)nearbyintf(real) + zero_point, p.qmin), p.qmax);
        if (code_at(y, p.code_type, i) != (int64_t)code)
            fail("sum %d times %.9g becomes %d, not %d", (int)sums[i],
                 (double)multiplier[parameter_of(&p, i)], (int)code_at(y, p.code_type, i),
                 (int)code);
    }
    release_all();
}

static void compare_affine(void) {
    for (int i = 0; i < 60; i++) {
        for (int type = QL_INT8; type <= QL_UINT16; type++)
            compare_quantize(type);
        for (int type = QL_INT8; type <= QL_INT32; type++)
            compare_dequantize(type);
        compare_fake_quantize();
        compare_min_max(i % 2);
        compare_requantize();
    }
}

/* --- layouts -------------------------------------------------------------------------------- */

static void compare_transposes(void) {
    for (int i = 0; i < 60; i++) {
        const int64_t size = draw() % 2 ? 1 : 4, batch = 1 + draw_below(3);
        const int64_t rows = 1 + draw_below(i % 2 ? 70 : 6), columns = 1 + draw_below(70);
        describe("transposition of %lld x %lld x %lld", (long long)batch, (long long)rows,
                 (long long)columns);
        const uint8_t *x = codes(batch * rows * columns * size, 0, ANY);
        uint8_t *y = allocate(batch * rows * columns * size);
        ql_transpose(x, y, batch, rows, columns, size);
        for (int64_t n = 0; n < batch; n++)
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < columns; c++)
                    if (memcmp(y + ((n * columns + c) * rows + r) * size,
                               x + ((n * rows + r) * columns + c) * size, (size_t)size) != 0)
                        fail("row %lld, column %lld", (long long)r, (long long)c);
        release_all();
    }
}

/* --- layers between products ------------------------------------------------------------------ */

static void expect_byte(const uint8_t *y, int64_t i, uint8_t expected) {
    if (y[i] != expected)
        fail("element %lld is %d instead of %d", (long long)i, y[i], expected);
}

/* Steps from a zero point as a code: rounded half to even, kept between two codes. */
static uint8_t code_of(float steps, int32_t zero, int32_t lower, int32_t upper) {
    const double code = rint((double)steps) + zero;
    return (uint8_t)(int32_t)(code < lower ? lower : code > upper ? upper : code);
}

/* A sum or a product, of which the second operand has one code for each row one time in three. */
static void compare_blend(enum fill fill) {
    const int is_product = draw() % 2, repeated = draw() % 3 == 0;
    const int64_t rows = 1 + draw_below(3), columns = 1 + draw_below(200);
    ql_blending g = {.a_signed = draw() % 2, .b_signed = draw() % 2, .y_signed = draw() % 2};
    const float worth = draw() % 8 ? 1.0f : 1e20f; /* so much that everything saturates */
    g.a_factor = worth * (float)(draw_real() * (is_product ? 0.01 : 0.9));
    g.b_factor = is_product ? g.a_factor : (float)(draw_real() * 0.9);
    g.a_zero = draw_zero_point(g.a_signed, fill);
    g.b_zero = draw_zero_point(g.b_signed, fill);
    g.y_zero = draw_code(g.y_signed);
    g.lower = draw() % 2 ? g.y_zero : g.y_signed ? -128 : 0;
    g.upper = g.y_signed ? 127 : 255;
    describe("%s of %lld x %lld codes", is_product ? "product" : "sum", (long long)rows,
             (long long)columns);
    const int64_t extents[] = {rows, columns}, steps[] = {columns, 1}, of_rows[] = {1, 0};
    const ql_walk walk = {2, extents, steps, repeated ? of_rows : steps};
    const uint8_t *a = codes(rows * columns, g.a_signed, fill);
    const uint8_t *b = codes(repeated ? rows : rows * columns, g.b_signed, fill);
    uint8_t *y = allocate(rows * columns);
    (is_product ? ql_multiply : ql_add)(&g, &walk, a, b, y);
    for (int64_t i = 0; i < rows * columns; i++) {
        const float left = (float)(value_of(a[i], g.a_signed) - g.a_zero);
        const float right = (float)(value_of(b[repeated ? i / columns : i], g.b_signed) - g.b_zero);
        const float first = left * g.a_factor, second = right * g.b_factor;
        const float sum = first + second, product = left * right * g.a_factor;
        expect_byte(y, i, code_of(is_product ? product : sum, g.y_zero, g.lower, g.upper));
    }
    release_all();
}

static void compare_table(void) {
    const int64_t rows = 1 + draw_below(3), columns = 1 + draw_below(200), stride = columns + 3;
    describe("a table for %lld x %lld codes", (long long)rows, (long long)columns);
    const uint8_t *x = codes(rows * columns, 0, ANY), *table = codes(256, 0, ANY);
    uint8_t *y = allocate(rows * stride - 3);
    memset(y, CANARY, (size_t)(rows * stride - 3));
    ql_look_up(x, table, y, rows, columns, stride);
    for (int64_t i = 0; i < rows * stride - 3; i++) {
        const int64_t row = i / stride, column = i % stride;
        expect_byte(y, i, column < columns ? table[x[row * columns + column]] : CANARY);
    }
    release_all();
}

static ql_pool_shape draw_pool(void) {
    ql_pool_shape s = {.batch = 1 + draw_below(2), .inner = draw() % 2 ? 1 : 1 + draw_below(70)};
    for (int axis = 0; axis < 3; axis++) {
        const int is_plain = axis == 0 && draw() % 2;
        const int is_long = axis == 1 && draw() % 8 == 0; /* more than 16 bits can sum */
        s.kernel[axis] = is_plain ? 1 : is_long ? 257 + draw_below(300) : 1 + draw_below(4);
        s.stride[axis] = 1 + draw_below(3);
        s.dilation[axis] = 1 + draw_below(2);
        s.pad[axis] = is_plain ? 0 : draw_below(3);
        s.pad_end[axis] = is_plain ? 0 : draw_below(3);
        const int64_t reach = (s.kernel[axis] - 1) * s.dilation[axis] + 1;
        const int64_t padding = s.pad[axis] + s.pad_end[axis];
        s.in[axis] = (reach > padding + 1 ? reach - padding : 1) + draw_below(axis == 2 ? 40 : 5);
        s.out[axis] = (s.in[axis] + padding - reach) / s.stride[axis] + 1;
    }
    return s;
}

/* The largest and the average of one window. */
static void expect_window(const ql_pool_shape *s, const uint8_t *x, int is_signed, int32_t zero,
                          const int64_t *at, int32_t *largest, int32_t *sum, int32_t *count) {
    *largest = is_signed ? -128 : 0;
    *sum = *count = 0;
    for (int64_t tap = 0; tap < s->kernel[0] * s->kernel[1] * s->kernel[2]; tap++) {
        const int64_t taps[] = {tap / s->kernel[2] / s->kernel[1],
                                tap / s->kernel[2] % s->kernel[1], tap % s->kernel[2]};
        int64_t pixel = at[0], inside = 1;
        for (int axis = 0; axis < 3; axis++) {
            const int64_t place =
                at[axis + 1] * s->stride[axis] + taps[axis] * s->dilation[axis] - s->pad[axis];
            inside = inside && place >= 0 && place < s->in[axis];
            pixel = pixel * s->in[axis] + place;
        }
        if (!inside)
            continue;
        const int32_t code = value_of(x[pixel * s->inner + at[4]], is_signed);
        *largest = code > *largest ? code : *largest;
        *sum += code - zero;
        *count += 1;
    }
}

static void compare_pools(enum fill fill) {
    const ql_pool_shape s = draw_pool();
    const int is_signed = draw() % 2, y_signed = draw() % 2;
    const int32_t zero = draw_zero_point(is_signed, fill), y_zero = draw_code(y_signed);
    const float x_scale = 0.02f, y_scale = (float)(0.01 + draw_real() * 0.03);
    const int64_t pixels = s.batch * s.out[0] * s.out[1] * s.out[2];
    describe("pooling of %lld x %lld x %lld x %lld x %lld", (long long)s.batch, (long long)s.in[0],
             (long long)s.in[1], (long long)s.in[2], (long long)s.inner);
    const uint8_t *x = codes(s.batch * s.in[0] * s.in[1] * s.in[2] * s.inner, is_signed, fill);
    uint8_t *max = allocate(pixels * s.inner), *average = allocate(pixels * s.inner);
    if (ql_max_pool(x, is_signed, &s, max) != QL_OK ||
        ql_average_pool(x, is_signed, zero, x_scale, &s, 0, average, y_signed, y_zero, y_scale) !=
            QL_OK)
        fail("no memory");
    for (int64_t i = 0; i < pixels * s.inner; i++) {
        const int64_t p = i / s.inner;
        const int64_t at[] = {p / s.out[2] / s.out[1] / s.out[0],
                              p / s.out[2] / s.out[1] % s.out[0], p / s.out[2] % s.out[1],
                              p % s.out[2], i % s.inner};
        int32_t largest, sum, count;
        expect_window(&s, x, is_signed, zero, at, &largest, &sum, &count);
        const float factor = x_scale / (y_scale * (float)(count ? count : 1));
        expect_byte(max, i, (uint8_t)largest);
        expect_byte(
            average, i,
            code_of((float)sum * factor, y_zero, y_signed ? -128 : 0, y_signed ? 127 : 255));
    }
    release_all();
}

/* Nearest codes: doubled along the last two axes, one or both, or taken from anywhere. */
static void compare_resizes(void) {
    ql_resize_shape s = {.outer = 1 + draw_below(3), .inner = draw() % 3 ? 1 : 1 + draw_below(70)};
    const int is_doubled = draw() % 3 > 0;
    for (int axis = 0; axis < 3; axis++) {
        const int times = axis == 0 ? 1 : 1 + (int)(draw() % 2);
        s.in[axis] = 1 + draw_below(axis == 2 ? 70 : 4);
        s.out[axis] = is_doubled ? times * s.in[axis] : 1 + draw_below(axis == 2 ? 70 : 9);
        int64_t *places = allocate(8 * s.out[axis]);
        for (int64_t i = 0; i < s.out[axis]; i++)
            places[i] = is_doubled ? i / times : draw_below(s.in[axis]);
        s.first[axis] = s.second[axis] = places;
    }
    describe("resizing of %lld x %lld x %lld x %lld", (long long)s.outer, (long long)s.in[1],
             (long long)s.in[2], (long long)s.inner);
    const uint8_t *x = codes(s.outer * s.in[0] * s.in[1] * s.in[2] * s.inner, 0, ANY);
    const int64_t count = s.outer * s.out[0] * s.out[1] * s.out[2] * s.inner;
    uint8_t *y = allocate(count);
    if (ql_resize_nearest(x, &s, y) != QL_OK)
        fail("no memory");
    for (int64_t i = 0; i < count; i++) {
        const int64_t w = i / s.inner, h = w / s.out[2], d = h / s.out[1];
        int64_t pixel = d / s.out[0];
        pixel = pixel * s.in[0] + s.first[0][d % s.out[0]];
        pixel = pixel * s.in[1] + s.first[1][h % s.out[1]];
        pixel = pixel * s.in[2] + s.first[2][w % s.out[2]];
        expect_byte(y, i, x[pixel * s.inner + i % s.inner]);
    }
    release_all();
}

static void compare_layers(void) {
    for (int i = 0; i < 100; i++) {
        compare_blend((enum fill)(i % FILLS));
        compare_table();
        compare_pools((enum fill)(i % FILLS));
        compare_resizes();
    }
}

/* -------------------------------------------------------------------------------------------- */

static void compare_set(int set) {
    ql_isa_select(set);
    code_count = inner_count = 0;
    state = 20180615;  /* the same cases for each */
    ql_set_threads(1); /* few of the others are large enough to be shared */
    compare_products();
    compare_large_products();
    for (int threads = 1; threads <= 3; threads += 2) {
        ql_set_threads(threads);
        compare_dynamic_products();
        compare_convolutions();
    }
    compare_long_products();
    compare_affine();
    compare_transposes();
    compare_layers();
    describe("all cases together");
    if (inner_count < code_count / 3)
        fail("%lld of %lld codes are saturated, which proves little",
             (long long)(code_count - inner_count), (long long)code_count);
    printf("%s: no difference\n", ql_isa_name(set));
}

/* Whether a set was asked for: by name, or by being there where none was. */
static int is_wanted(int set, int count, char **names) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], ql_isa_name(set)) == 0)
            return 1;
    return count == 0 && ql_isa_available(set);
}

int main(int count, char **arguments) {
    signal(SIGSEGV, on_bad_access);
    signal(SIGBUS, on_bad_access);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int compared = 0;
    for (int set = 0; set < ql_isa_count(); set++) {
        if (!is_wanted(set, count - 1, arguments + 1))
            continue;
        if (!ql_isa_available(set)) {
            printf("%s: not on this processor\n", ql_isa_name(set));
            return 1;
        }
        compare_set(set);
        compared++;
    }
    if (compared < count - 1)
        printf("this build has not all of these sets\n");
    return compared < count - 1;
}
