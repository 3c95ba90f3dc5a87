/* Doubled rows of bytes for NEON: two equal vectors stored by turns, 16 bytes at a time; the last
 * ones of a row once more where they are fewer. Rows of fewer than 16 are portable ones. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"

void ql_neon_double_rows(const uint8_t *x, int64_t rows, int64_t count, int64_t lines, uint8_t *y) {
    enum { WIDTH = 16 };
    if (count < WIDTH) {
        ql_portable_double_rows(x, rows, count, lines, y);
        return;
    }
    for (int64_t row = 0; row < rows; row++, x += count, y += 2 * count * lines)
        for (int64_t next = 0; next < count; next += WIDTH) {
            const int64_t i = ql_min(next, count - WIDTH);
            const uint8x16_t x_u8x16 = vld1q_u8(x + i);
            const uint8x16x2_t twice_u8x32 = {{x_u8x16, x_u8x16}};
            for (int64_t line = 0; line < lines; line++)
                vst2q_u8(y + 2 * (line * count + i), twice_u8x32);
        }
}

#endif
