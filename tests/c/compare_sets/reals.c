/* Reals and codes. */
#include "compare.h"

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

void compare_affine(void) {
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
