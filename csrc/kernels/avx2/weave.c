/* Transpositions of 2 to 4 rows of bytes for AVX2, the colours of an image or groups of channels:
 *
 *     y[column * rows + i] = x[i][column].
 *
 * Of 16 columns of each row, `rows` vectors of the result are shuffled together: every one takes
 * some bytes of each row to their places, by a shuffle that leaves 0 elsewhere. That is rows**2
 * shuffles for 16 * rows bytes. The last 16 columns overlap the ones before. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

enum { COLUMNS = 16, MOST_ROWS = 4 };

/* Which column of row i stands in each byte of vector k, or 0x80. */
static void fill_places(uint8_t places[MOST_ROWS][MOST_ROWS][COLUMNS], int rows) {
    for (int k = 0; k < rows; k++)
        for (int i = 0; i < rows; i++)
            for (int byte = 0; byte < COLUMNS; byte++) {
                const int at = k * COLUMNS + byte;
                places[k][i][byte] = at % rows == i ? (uint8_t)(at / rows) : 0x80;
            }
}

QL_INLINE void weave(const uint8_t *x, int64_t batch, const int rows, int64_t columns, uint8_t *y) {
    uint8_t places[MOST_ROWS][MOST_ROWS][COLUMNS];
    __m128i places_u8x16[MOST_ROWS][MOST_ROWS];
    fill_places(places, rows);
    memcpy(places_u8x16, places, sizeof places);
    for (int64_t n = 0; n < batch; n++, x += rows * columns, y += rows * columns)
        for (int64_t next = 0; next < columns; next += COLUMNS) {
            const int64_t column = ql_min(next, columns - COLUMNS);
            __m128i rows_u8x16[MOST_ROWS];
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++)
                rows_u8x16[i] = _mm_loadu_si128((const __m128i *)(x + i * columns + column));
#pragma GCC unroll 4
            for (int k = 0; k < rows; k++) {
                __m128i woven_u8x16 = _mm_shuffle_epi8(rows_u8x16[0], places_u8x16[k][0]);
#pragma GCC unroll 4
                for (int i = 1; i < rows; i++)
                    woven_u8x16 = _mm_or_si128(woven_u8x16,
                                               _mm_shuffle_epi8(rows_u8x16[i], places_u8x16[k][i]));
                _mm_storeu_si128((__m128i *)(y + column * rows + k * COLUMNS), woven_u8x16);
            }
        }
}

void ql_avx2_weave_bytes(const uint8_t *x, int64_t batch, int64_t rows, int64_t columns,
                         uint8_t *y) {
    if (columns < COLUMNS || rows < 2 || rows > MOST_ROWS)
        ql_portable_weave_bytes(x, batch, rows, columns, y);
    else if (rows == 2)
        weave(x, batch, 2, columns, y);
    else if (rows == 3)
        weave(x, batch, 3, columns, y);
    else
        weave(x, batch, 4, columns, y);
}

QL_TARGET_END

#endif
