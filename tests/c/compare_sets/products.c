/* Matrix products of codes and of reals. */
#include "compare.h"

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

void compare_products(void) {
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

void compare_narrow_products(void) {
    for (int64_t depth = 0; depth < 200; depth++)
        for (enum fill fill = ANY; fill < FILLS; fill++)
            compare_product(1 + draw_below(20), depth < 128 ? 1 : 1 + draw_below(5), depth, fill);
    for (int i = 0; i < 20; i++)
        compare_product(200 + draw_below(400), 1 + i % 4, 128 * (i % 2) + draw_below(70),
                        draw() % FILLS);
}

void compare_large_products(void) {
    static const int64_t shapes[][3] = {
        {300, 70, 1100}, {2, 520, 1100}, {5000, 1, 900}, {1060, 515, 9}};
    for (int i = 0; i < COUNT(shapes); i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            ql_set_threads(threads);
            compare_product(shapes[i][0], shapes[i][1], shapes[i][2], ANY);
        }
}

void compare_long_products(void) {
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

void compare_dynamic_products(void) {
    for (int64_t depth = 0; depth < 70; depth++)
        compare_dynamic_product(draw_below(40), 1 + draw_below(70), depth);
    compare_dynamic_product(5, 20, 2100);
    compare_dynamic_product(300, 70, 1100);
}
