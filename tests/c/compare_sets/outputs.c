/* Output stages of products, and what becomes of exact sums. */
#include "compare.h"

float *draw_floats(int64_t count, double least, double most) {
    float *array = allocate(count * 4);
    for (int64_t i = 0; i < count; i++)
        array[i] = (float)(least + draw_real() * (most - least));
    return array;
}

ql_output draw_output(int64_t rows, int64_t columns, int64_t depth, int by_row) {
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

void count_codes(void) {
    code_count = inner_count = 0;
}

void require_free_codes(void) {
    describe("all cases together");
    if (inner_count < code_count / 3)
        fail("%lld of %lld codes are saturated, which proves little",
             (long long)(code_count - inner_count), (long long)code_count);
}

/* One entry of a result: from an exact accumulator, as the definition says. `at_entry` counts the
 * entries of the result, which a residual has as many of. */
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

void compare_result(const ql_output *output, int status, const int64_t *exact, int64_t rows,
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

uint8_t *draw_result(const ql_output *output, int64_t rows, int64_t columns, int64_t stride) {
    const int64_t size = rows == 0 ? 0 : ((rows - 1) * stride + columns) * bytes_of(output->type);
    uint8_t *y = allocate(size);
    memset(y, CANARY, (size_t)size);
    return y;
}
