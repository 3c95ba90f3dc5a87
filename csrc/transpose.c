/* Channels first to channels last and back, and bytes that are set side by side: 16 rows at a time
 * by a kernel where elements are bytes, element by element where they are of four bytes or where
 * there are few. A last 16 rows that are not that many overlap the ones before. */
#include "core.h"

enum { ROWS = 16, MANY_ROWS = 32, LEAST_COLUMNS = 16, BLOCK = 16 };

#define DEFINE_TRANSPOSE(type)                                                                     \
    static void transpose_##type(const type *restrict x, int64_t x_stride, int64_t rows,           \
                                 int64_t columns, type *restrict y, int64_t y_stride) {            \
        for (int64_t j = 0; j < columns; j++)                                                      \
            for (int64_t i = 0; i < rows; i++)                                                     \
                y[j * y_stride + i] = x[i * x_stride + j];                                         \
    }

DEFINE_TRANSPOSE(uint8_t)
DEFINE_TRANSPOSE(uint32_t)

static void transpose_bytes(const ql_kernels *kernels, const uint8_t *x, int64_t x_stride,
                            int64_t rows, int64_t columns, uint8_t *y, int64_t y_stride) {
    if (kernels->transpose_block != NULL && rows > MANY_ROWS) {
        kernels->transpose_block(x, x_stride, rows, columns, y, y_stride);
        return;
    }
    if (rows < ROWS || columns < LEAST_COLUMNS) {
        transpose_uint8_t(x, x_stride, rows, columns, y, y_stride);
        return;
    }
    for (int64_t row = 0; row < rows; row += ROWS) {
        const int64_t first = ql_min(row, rows - ROWS);
        const uint8_t *from[ROWS];
        for (int64_t i = 0; i < ROWS; i++)
            from[i] = x + (first + i) * x_stride;
        kernels->transpose_bytes(from, columns, y + first, y_stride);
    }
}

static void transpose_words(const uint32_t *x, int64_t x_stride, int64_t rows, int64_t columns,
                            uint32_t *y, int64_t y_stride) {
    for (int64_t row = 0; row < rows; row += BLOCK)
        for (int64_t column = 0; column < columns; column += BLOCK)
            transpose_uint32_t(x + row * x_stride + column, x_stride, ql_min(BLOCK, rows - row),
                               ql_min(BLOCK, columns - column), y + column * y_stride + row,
                               y_stride);
}

void ql_transpose_part(const ql_kernels *kernels, const void *x, int64_t x_stride, int64_t rows,
                       int64_t columns, void *y, int64_t y_stride, int64_t element_size) {
    if (element_size == 1)
        transpose_bytes(kernels, x, x_stride, rows, columns, y, y_stride);
    else
        transpose_words(x, x_stride, rows, columns, y, y_stride);
}

/* The last rows first: what is written beyond them is written again, with the rows before. */
void ql_transpose_rows(const ql_kernels *kernels, const uint8_t *const *x, int64_t rows,
                       int64_t columns, uint8_t *y) {
    if (columns < LEAST_COLUMNS) {
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = 0; i < rows; i++)
                *y++ = x[i][j];
        return;
    }
    for (int64_t row = (rows - 1) / ROWS * ROWS; row >= 0; row -= ROWS) {
        const uint8_t *from[ROWS];
        for (int64_t i = 0; i < ROWS; i++)
            from[i] = x[ql_min(row + i, rows - 1)];
        kernels->transpose_bytes(from, columns, y + row, rows);
    }
}

void ql_transpose(const void *x, void *y, int64_t batch, int64_t rows, int64_t columns,
                  int64_t element_size) {
    if (element_size == 1 && rows <= QL_WEFT) {
        ql_current_kernels()->weave_bytes(x, batch, rows, columns, y);
        return;
    }
    const int64_t size = rows * columns * element_size;
    for (int64_t n = 0; n < batch; n++)
        ql_transpose_part(ql_current_kernels(), (const char *)x + n * size, columns, rows, columns,
                          (char *)y + n * size, rows, element_size);
}

void ql_copy_rows(const void *x, int64_t x_stride, void *y, int64_t y_stride, int64_t rows,
                  int64_t bytes) {
    ql_current_kernels()->copy_runs(y, y_stride, x, x_stride, rows, bytes);
}
