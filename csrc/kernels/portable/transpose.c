/* Transpositions of 16 rows of bytes, and of few, in plain C: see csrc/transpose.c. */
#include "kernels.h"

void ql_portable_transpose_bytes(const uint8_t *const *x, int64_t columns, uint8_t *y,
                                 int64_t y_stride) {
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < 16; i++)
            y[j * y_stride + i] = x[i][j];
}

void ql_portable_weave_bytes(const uint8_t *x, int64_t batch, int64_t rows, int64_t columns,
                             uint8_t *y) {
    for (int64_t n = 0; n < batch; n++, x += rows * columns)
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = 0; i < rows; i++)
                *y++ = x[i * columns + j];
}
