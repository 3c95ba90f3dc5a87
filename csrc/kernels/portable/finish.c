/* Sums to results in plain C. Every multiplication and addition is one in float32, never fused with
 * what follows: results are the same bits everywhere. See affine.c for the rounding. */
#include "kernels.h"

void ql_portable_requantize(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                            const float *restrict multiplier, int32_t zero_point, int32_t lower,
                            int32_t upper, uint8_t *y, int64_t y_stride) {
    const float low = (float)(lower - zero_point), high = (float)(upper - zero_point);
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *restrict sum = sums + i * sums_stride;
        uint8_t *restrict code = y + i * y_stride;
        for (int64_t j = 0; j < columns; j++) {
            float steps = (float)sum[j] * multiplier[j];
            steps = steps > low ? steps : low;
            steps = steps < high ? steps : high;
            code[j] = (uint8_t)((int32_t)((steps + 12582912.0f) - 12582912.0f) + zero_point);
        }
    }
}

void ql_portable_codes_of_strip(const ql_codes *codes, const int32_t *restrict sums,
                                const float *restrict multiplier, uint8_t *restrict y) {
    const ql_codes c = *codes;
    const float low = (float)(c.lower - c.zero_point), high = (float)(c.upper - c.zero_point);
    for (int i = 0; i < QL_STRIP; i++) {
        float steps = (float)sums[i] * multiplier[i];
        steps = steps > low ? steps : low;
        steps = steps < high ? steps : high;
        const int32_t code = (int32_t)((steps + 12582912.0f) - 12582912.0f) + c.zero_point;
        y[i] = (uint8_t)code ^ c.flip;
    }
}

void ql_portable_requantize_sum(const int32_t *sums, int64_t sums_stride, int64_t rows,
                                int64_t columns, const float *restrict multiplier,
                                const ql_residual *residual, int32_t zero_point, int32_t lower,
                                int32_t upper, uint8_t *y, int64_t y_stride) {
    const float low = (float)(lower - zero_point), high = (float)(upper - zero_point);
    const ql_residual r = *residual;
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *restrict sum = sums + i * sums_stride;
        const uint8_t *restrict added = r.codes + i * r.stride;
        uint8_t *restrict code = y + i * y_stride;
        for (int64_t j = 0; j < columns; j++) {
            const float own = (float)sum[j] * multiplier[j];
            const float term = ((float)(added[j] ^ r.flip) - r.zero) * r.factor;
            float steps = own + term;
            steps = steps > low ? steps : low;
            steps = steps < high ? steps : high;
            code[j] = (uint8_t)((int32_t)((steps + 12582912.0f) - 12582912.0f) + zero_point);
        }
    }
}

void ql_portable_rescale(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                         const float *restrict multiplier, const float *restrict row_factor,
                         int64_t row_step, const float *restrict bias, float lower, float upper,
                         float *y, int64_t y_stride) {
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *restrict sum = sums + i * sums_stride;
        float *restrict real = y + i * y_stride;
        const float factor = row_factor[i * row_step];
        for (int64_t j = 0; j < columns; j++)
            real[j] = (float)sum[j] * (factor * multiplier[j]);
        for (int64_t j = 0; bias != NULL && j < columns; j++)
            real[j] += bias[j];
        for (int64_t j = 0; j < columns; j++) {
            const float value = real[j] > lower ? real[j] : lower;
            real[j] = value < upper ? value : upper;
        }
    }
}

void ql_portable_copy(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                      int32_t *y, int64_t y_stride) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(y + i * y_stride, sums + i * sums_stride, (size_t)columns * sizeof *y);
}
