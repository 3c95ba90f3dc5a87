/* A block of a transposition in plain C: see csrc/transpose.c. */
#include "kernels.h"

void ql_portable_transpose_bytes(const uint8_t *x, int64_t x_stride, uint8_t *y, int64_t y_stride) {
    for (int j = 0; j < 16; j++)
        for (int i = 0; i < 16; i++)
            y[j * y_stride + i] = x[i * x_stride + j];
}
