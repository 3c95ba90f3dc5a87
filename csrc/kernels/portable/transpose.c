/* A transposition of 16 rows of bytes in plain C: see csrc/transpose.c. */
#include "kernels.h"

void ql_portable_transpose_bytes(const uint8_t *const *x, int64_t columns, uint8_t *y,
                                 int64_t y_stride) {
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < 16; i++)
            y[j * y_stride + i] = x[i][j];
}
