/* Channels first to channels last and back, in square blocks: of 16 x 16 by a kernel where elements
 * are bytes, element by element at the edges and for elements of four bytes. */
#include "core.h"

enum { BLOCK = 16 };

#define DEFINE_TRANSPOSE(type)                                                                     \
    /* Rows and columns from `row`, `column` up to `last_row`, `last_column`. */                   \
    static void transpose_##type(const type *restrict x, type *restrict y, int64_t rows,           \
                                 int64_t columns, int64_t row, int64_t last_row, int64_t column,   \
                                 int64_t last_column) {                                            \
        for (int64_t j = column; j < last_column; j++)                                             \
            for (int64_t i = row; i < last_row; i++)                                               \
                y[j * rows + i] = x[i * columns + j];                                              \
    }

DEFINE_TRANSPOSE(uint8_t)
DEFINE_TRANSPOSE(uint32_t)

static void transpose_bytes(const ql_kernels *kernels, const uint8_t *x, uint8_t *y, int64_t rows,
                            int64_t columns) {
    for (int64_t row = 0; row < rows; row += BLOCK)
        for (int64_t column = 0; column < columns; column += BLOCK) {
            const int64_t last_row = ql_min(rows, row + BLOCK);
            const int64_t last_column = ql_min(columns, column + BLOCK);
            if (last_row - row == BLOCK && last_column - column == BLOCK)
                kernels->transpose_bytes(x + row * columns + column, columns,
                                         y + column * rows + row, rows);
            else
                transpose_uint8_t(x, y, rows, columns, row, last_row, column, last_column);
        }
}

static void transpose_words(const uint32_t *x, uint32_t *y, int64_t rows, int64_t columns) {
    for (int64_t row = 0; row < rows; row += BLOCK)
        for (int64_t column = 0; column < columns; column += BLOCK)
            transpose_uint32_t(x, y, rows, columns, row, ql_min(rows, row + BLOCK), column,
                               ql_min(columns, column + BLOCK));
}

void ql_transpose(const void *x, void *y, int64_t batch, int64_t rows, int64_t columns,
                  int64_t element_size) {
    const ql_kernels *kernels = ql_current_kernels();
    for (int64_t n = 0; n < batch; n++) {
        const int64_t at = n * rows * columns;
        if (element_size == 1)
            transpose_bytes(kernels, (const uint8_t *)x + at, (uint8_t *)y + at, rows, columns);
        else
            transpose_words((const uint32_t *)x + at, (uint32_t *)y + at, rows, columns);
    }
}
