/* Rows as they lie times one or two columns, in vectors of 32 bytes: see csrc/narrow.c. To be
 * included inside a target region, after `column_part`, what products need of 32 bytes of a column,
 * `part_of`, which makes it, and `add_products`.
 *
 *     sums[j][i] = start[j] + sum over k of (a[i][k] ^ flip) * b[j][k]
 *
 * Rows are read along K, four at a time, and no byte beyond them. What is left after whole vectors
 * is read as the last 32 bytes of a row or, of shorter ones, as two pieces of 16, 8 or 4 that
 * overlap, or as three bytes; the column has zeros where a byte was read before. */

enum {
    AHEAD = 8192, /* bytes to fetch ahead: several rows that end in other pages */
    BYTES = 1     /* the size of pieces of rows shorter than 4 */
};

QL_INLINE int64_t load_bytes(const uint8_t *from, const int size) {
    int64_t bytes = 0;
    memcpy(&bytes, from, (size_t)size);
    return bytes;
}

/* The end of a row of k bytes, in pieces of a size. */
QL_INLINE __m256i load_end(const int size, const uint8_t *row, int64_t k) {
    if (size == 32)
        return _mm256_loadu_si256((const __m256i *)(row + k - 32));
    if (size == 16)
        return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(row + k - 16)),
                                _mm_loadu_si128((const __m128i *)row));
    if (size == BYTES)
        return _mm256_zextsi128_si256(
            _mm_cvtsi32_si128(row[0] | row[k / 2] << 8 | row[k - 1] << 16));
    const __m128i first = _mm_cvtsi64_si128(load_bytes(row, size));
    const __m128i last = _mm_cvtsi64_si128(load_bytes(row + k - size, size));
    return _mm256_zextsi128_si256(size == 8 ? _mm_unpacklo_epi64(first, last)
                                            : _mm_unpacklo_epi32(first, last));
}

static int size_of_pieces(int64_t k) {
    return k >= 32 ? 32 : k >= 16 ? 16 : k >= 8 ? 8 : k >= 4 ? 4 : BYTES;
}

/* What meets it of a column: zeros where nothing was read, or what a vector or the first piece had.
 */
static column_part end_of_column(const int8_t *column, int64_t k) {
    int8_t end[32] = {0};
    const int64_t size = size_of_pieces(k), rest = k % 32;
    if (size == 32) {
        memcpy(end + 32 - rest, column + k - rest, (size_t)rest);
    } else if (size == BYTES) {
        memcpy(end, column, (size_t)k);
    } else {
        memcpy(end, column, (size_t)size);
        memcpy(end + 3 * size - k, column + size, (size_t)(k - size));
    }
    return part_of(_mm256_loadu_si256((const __m256i *)end));
}

/* The sums across four vectors, one after the other. */
QL_INLINE __m128i sums_across(const __m256i of[4]) {
    const __m256i lanes =
        _mm256_hadd_epi32(_mm256_hadd_epi32(of[0], of[1]), _mm256_hadd_epi32(of[2], of[3]));
    return _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
}

/* The sums of up to 4 rows; the last one counts for those that are missing. */
QL_INLINE void four_rows(const int columns, const int size, const uint8_t *a, int64_t a_stride,
                         int64_t rows, int64_t k, __m256i flip_u8x32, const int8_t *b,
                         int64_t b_stride, const column_part *end, const int32_t *start,
                         int32_t *sums, int64_t sums_stride) {
    const uint8_t *row[4];
    __m256i sum_i32x8[2][4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        row[i] = a + ql_min(i, rows - 1) * a_stride;
#pragma GCC unroll 2
        for (int j = 0; j < columns; j++)
            sum_i32x8[j][i] = _mm256_setzero_si256();
    }
    for (int64_t at = 0; size == 32 && at + 32 <= k; at += 32) {
        column_part part[2];
#pragma GCC unroll 2
        for (int j = 0; j < columns; j++)
            part[j] = part_of(_mm256_loadu_si256((const __m256i *)(b + j * b_stride + at)));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            _mm_prefetch((const char *)(row[i] + at + AHEAD), _MM_HINT_T0);
            const __m256i a_u8x32 =
                _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(row[i] + at)), flip_u8x32);
#pragma GCC unroll 2
            for (int j = 0; j < columns; j++)
                sum_i32x8[j][i] = add_products(sum_i32x8[j][i], a_u8x32, part[j]);
        }
    }
    if (k % 32 != 0)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __m256i a_u8x32 = _mm256_xor_si256(load_end(size, row[i], k), flip_u8x32);
#pragma GCC unroll 2
            for (int j = 0; j < columns; j++)
                sum_i32x8[j][i] = add_products(sum_i32x8[j][i], a_u8x32, end[j]);
        }
#pragma GCC unroll 2
    for (int j = 0; j < columns; j++) {
        int32_t four[4];
        const __m128i sum_i32x4 =
            _mm_add_epi32(_mm_set1_epi32(start[j]), sums_across(sum_i32x8[j]));
        _mm_storeu_si128((__m128i *)(rows < 4 ? four : sums + j * sums_stride), sum_i32x4);
        if (rows < 4)
            memcpy(sums + j * sums_stride, four, (size_t)rows * 4);
    }
}

#define DEFINE_COLUMNS(columns, size)                                                              \
    static void columns_##columns##_of_##size(                                                     \
        const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, __m256i flip_u8x32,           \
        const int8_t *b, int64_t b_stride, const column_part *end, const int32_t *start,           \
        int32_t *sums, int64_t sums_stride) {                                                      \
        for (int64_t i = 0; i < rows; i += 4)                                                      \
            four_rows(columns, size, a + i * a_stride, a_stride, ql_min(4, rows - i), k,           \
                      flip_u8x32, b, b_stride, end, start, sums + i, sums_stride);                 \
    }
#define DEFINE_SIZE(size) DEFINE_COLUMNS(1, size) DEFINE_COLUMNS(2, size)

DEFINE_SIZE(32)
DEFINE_SIZE(16)
DEFINE_SIZE(8)
DEFINE_SIZE(4)
DEFINE_SIZE(1)

typedef void few_columns(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k,
                         __m256i flip_u8x32, const int8_t *b, int64_t b_stride,
                         const column_part *end, const int32_t *start, int32_t *sums,
                         int64_t sums_stride);

/* For one column or two. */
static few_columns *columns_of(int64_t columns, int64_t k) {
    switch (size_of_pieces(k)) {
    case 32:
        return columns == 1 ? columns_1_of_32 : columns_2_of_32;
    case 16:
        return columns == 1 ? columns_1_of_16 : columns_2_of_16;
    case 8:
        return columns == 1 ? columns_1_of_8 : columns_2_of_8;
    case 4:
        return columns == 1 ? columns_1_of_4 : columns_2_of_4;
    default:
        return columns == 1 ? columns_1_of_1 : columns_2_of_1;
    }
}

QL_INLINE void narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                      const int8_t *b, int64_t b_stride, int64_t columns, const int32_t *start,
                      int32_t *sums, int64_t sums_stride) {
    for (int64_t j = 0; j < columns; j += 2) {
        const int64_t count = ql_min(2, columns - j);
        const int8_t *first = b + j * b_stride;
        column_part end[2];
        for (int64_t i = 0; i < count; i++)
            end[i] = end_of_column(first + i * b_stride, k);
        columns_of(count, k)(a, a_stride, rows, k, _mm256_set1_epi8((char)flip), first, b_stride,
                             end, start + j, sums + j * sums_stride, sums_stride);
    }
}
