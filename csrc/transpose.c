/* Channels first to channels last and back, in square blocks that stay in L1. */
#include "core.h"

enum { BLOCK = 32 };

#define DEFINE_TRANSPOSE(type)                                                                     \
    static void transpose_##type(const type *restrict x, type *restrict y, int64_t rows,           \
                                 int64_t columns) {                                                \
        for (int64_t row = 0; row < rows; row += BLOCK)                                            \
            for (int64_t column = 0; column < columns; column += BLOCK) {                          \
                const int64_t last_row = ql_min(rows, row + BLOCK);                                \
                const int64_t last_column = ql_min(columns, column + BLOCK);                       \
                for (int64_t j = column; j < last_column; j++)                                     \
                    for (int64_t i = row; i < last_row; i++)                                       \
                        y[j * rows + i] = x[i * columns + j];                                      \
            }                                                                                      \
    }

DEFINE_TRANSPOSE(uint8_t)
DEFINE_TRANSPOSE(uint32_t)

void ql_transpose(const void *x, void *y, int64_t batch, int64_t rows, int64_t columns,
                  int64_t element_size) {
    for (int64_t n = 0; n < batch; n++) {
        const int64_t at = n * rows * columns;
        if (element_size == 1)
            transpose_uint8_t((const uint8_t *)x + at, (uint8_t *)y + at, rows, columns);
        else
            transpose_uint32_t((const uint32_t *)x + at, (uint32_t *)y + at, rows, columns);
    }
}
