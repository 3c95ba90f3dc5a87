/* Doubled rows of bytes, in plain C. */
#include "kernels.h"

void ql_portable_double_rows(const uint8_t *restrict x, int64_t rows, int64_t count, int64_t lines,
                             uint8_t *restrict y) {
    for (int64_t row = 0; row < rows; row++, x += count)
        for (int64_t line = 0; line < lines; line++, y += 2 * count)
            for (int64_t i = 0; i < count; i++)
                y[2 * i] = y[2 * i + 1] = x[i];
}
