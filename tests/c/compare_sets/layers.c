/* Transposition, and the layers between products. */
#include "compare.h"

/* --- layouts -------------------------------------------------------------------------------- */

void compare_transposes(void) {
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

void compare_layers(void) {
    for (int i = 0; i < 100; i++) {
        compare_blend((enum fill)(i % FILLS));
        compare_table();
        compare_pools((enum fill)(i % FILLS));
        compare_resizes();
    }
}
