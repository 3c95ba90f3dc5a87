/* Transpositions of bytes for AVX-512.
 *
 * Of 16 rows as in kernels/transpose.h. Of up to 64 rows by 16 columns at a time: lane l of
 * register i is row 16 l + i, so that four steps of the perfect shuffle within lanes leave one
 * column in each register, a cache line of the result. That is 64 shuffles for 1024 bytes. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "../transpose.h"
#include "lanes.h"

void ql_avx512vnni_transpose_bytes(const uint8_t *const *x, int64_t columns, uint8_t *y,
                                   int64_t y_stride) {
    transpose_bytes(x, columns, y, y_stride);
}

enum { ROWS = 64, COLUMNS = 16 };

/* Up to 16 bytes of row number `row`, or of the last one. */
QL_INLINE __m128i load_row(const uint8_t *x, int64_t x_stride, int64_t row, int64_t rows,
                           const int whole, __mmask16 mask) {
    const uint8_t *from = x + (whole ? row : ql_min(row, rows - 1)) * x_stride;
    return whole ? _mm_loadu_si128((const __m128i *)from) : _mm_maskz_loadu_epi8(mask, from);
}

/* One step of the shuffle in four lanes. */
QL_INLINE void interleave_rows(const __m512i from[16], __m512i to[16]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        to[2 * i] = _mm512_unpacklo_epi8(from[i], from[i + 8]);
        to[2 * i + 1] = _mm512_unpackhi_epi8(from[i], from[i + 8]);
    }
}

/* The columns of up to 64 rows of up to 16 bytes, or of `whole` numbers of both. */
QL_INLINE void transpose_64(const uint8_t *x, int64_t x_stride, int64_t rows, int64_t columns,
                            const int whole, __m512i columns_u8x64[16]) {
    const __mmask16 mask = first(columns);
    __m512i rows_u8x64[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        rows_u8x64[i] = _mm512_castsi128_si512(load_row(x, x_stride, i, rows, whole, mask));
#pragma GCC unroll 3
        for (int l = 1; l < 4; l++)
            rows_u8x64[i] =
                _mm512_mask_broadcast_i32x4(rows_u8x64[i], (__mmask16)(0xF << 4 * l),
                                            load_row(x, x_stride, 16 * l + i, rows, whole, mask));
    }
    interleave_rows(rows_u8x64, columns_u8x64);
    interleave_rows(columns_u8x64, rows_u8x64);
    interleave_rows(rows_u8x64, columns_u8x64);
    interleave_rows(columns_u8x64, rows_u8x64);
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++)
        columns_u8x64[j] = rows_u8x64[j];
}

void ql_avx512vnni_transpose_block(const uint8_t *x, int64_t x_stride, int64_t rows,
                                   int64_t columns, uint8_t *y, int64_t y_stride) {
    for (int64_t row = 0; row < rows; row += ROWS)
        for (int64_t j = 0; j < columns; j += COLUMNS) {
            /* The last columns overlap those before. */
            const int64_t column = ql_max(ql_min(j, columns - COLUMNS), 0);
            const uint8_t *from = x + row * x_stride + column;
            uint8_t *to = y + column * y_stride + row;
            __m512i columns_u8x64[COLUMNS];
            if (columns >= COLUMNS && rows - row >= ROWS) {
                transpose_64(from, x_stride, ROWS, COLUMNS, 1, columns_u8x64);
#pragma GCC unroll 16
                for (int i = 0; i < COLUMNS; i++, to += y_stride)
                    _mm512_storeu_si512(to, columns_u8x64[i]);
            } else {
                const __mmask64 mask = first_bytes(rows - row);
                transpose_64(from, x_stride, rows - row, columns, 0, columns_u8x64);
#pragma GCC unroll 16
                for (int i = 0; i < COLUMNS; i++, to += y_stride)
                    if (i < columns)
                        _mm512_mask_storeu_epi8(to, mask, columns_u8x64[i]);
            }
        }
}

/* Up to 16 pixels of up to 64 channels. */
QL_INLINE void collect(const int whole, const uint8_t *x, int64_t plane, int64_t channels,
                       int64_t count, __m512i flip_u8x64, const int32_t *places, uint8_t *to) {
    __m512i pixels_u8x64[COLUMNS];
    transpose_64(x, plane, channels, count, whole, pixels_u8x64);
#pragma GCC unroll 16
    for (int i = 0; i < COLUMNS; i++)
        if (whole || i < count)
            _mm512_store_si512(to + places[i], _mm512_xor_si512(pixels_u8x64[i], flip_u8x64));
}

void ql_avx512vnni_collect_pixels(const uint8_t *x, int64_t plane, int64_t channels, int64_t count,
                                  uint8_t flip, const int32_t *places, uint8_t *to,
                                  int64_t to_step) {
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    for (int64_t c = 0; c < channels; c += ROWS, to += to_step)
        for (int64_t i = 0; i < count; i += COLUMNS) {
            const int64_t pixel = ql_max(ql_min(i, count - COLUMNS), 0);
            const uint8_t *from = x + c * plane + pixel;
            if (count >= COLUMNS && channels - c >= ROWS)
                collect(1, from, plane, ROWS, COLUMNS, flip_u8x64, places + pixel, to);
            else
                collect(0, from, plane, channels - c, count, flip_u8x64, places + pixel, to);
        }
}

QL_TARGET_END

#endif
