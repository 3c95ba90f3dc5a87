/* Up to four rows times a right operand as it lies, row by row, in vectors of 8 sums: see
 * csrc/direct.c. To be included inside a target region, after
 *
 *     pair_of_halves, load_group  a group of a strip, columns 0 to 7 and 8 to 15
 *     add_products                the products of a group of a row, of four bytes, with one half
 *     DOT, ONES                   the rows of a group; a group of a row that sums columns
 *
 * Registers: two sums for each row, two for the sums of columns, the group, a group of a row. For
 * more rows there are none left, and packing costs no more than making the groups again. */

QL_INLINE int32_t group_of_row(const uint8_t *group) {
    int32_t bits;
    memcpy(&bits, group, sizeof bits);
    return bits;
}

QL_INLINE void load_sums(const int32_t *sums, __m256i sum_i32x8[2]) {
    sum_i32x8[0] = _mm256_loadu_si256((const __m256i *)sums);
    sum_i32x8[1] = _mm256_loadu_si256((const __m256i *)(sums + 8));
}

QL_INLINE void store_sums(int32_t *sums, const __m256i sum_i32x8[2]) {
    _mm256_storeu_si256((__m256i *)sums, sum_i32x8[0]);
    _mm256_storeu_si256((__m256i *)(sums + 8), sum_i32x8[1]);
}

QL_INLINE void add_group(__m256i sum_i32x8[2], int32_t group_of_a, pair_of_halves group) {
    const __m256i a = _mm256_set1_epi32(group_of_a);
    sum_i32x8[0] = add_products(sum_i32x8[0], a, group.half[0]);
    sum_i32x8[1] = add_products(sum_i32x8[1], a, group.half[1]);
}

/* One whole strip. */
QL_INLINE void strip(const int rows, const uint8_t *a, int64_t a_stride, int64_t groups,
                     const uint8_t *b, int64_t b_stride, __m128i flip_u8x16, int32_t *sums,
                     int64_t sums_stride, int32_t *column_sums) {
    __m256i sum_i32x8[4][2], column_i32x8[2];
    load_sums(column_sums, column_i32x8);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        load_sums(sums + i * sums_stride, sum_i32x8[i]);
    for (int64_t group = 0; group < groups; group++, b += DOT * b_stride) {
        const pair_of_halves codes = load_group(b, b_stride, flip_u8x16);
        add_group(column_i32x8, ONES, codes);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
            add_group(sum_i32x8[i], group_of_row(a + i * a_stride + 4 * group), codes);
    }
    store_sums(column_sums, column_i32x8);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        store_sums(sums + i * sums_stride, sum_i32x8[i]);
}

/* All strips of a known number of rows. A last one that is not whole is copied, with any bytes for
 * the columns that it has not got. */
#define DEFINE_ROWS(rows)                                                                          \
    static void rows_##rows(const uint8_t *a, int64_t a_stride, int64_t groups, const uint8_t *b,  \
                            int64_t b_stride, int64_t columns, __m128i flip_u8x16, int32_t *sums,  \
                            int64_t sums_stride, int32_t *column_sums) {                           \
        const int64_t whole = columns & -QL_STRIP;                                                 \
        for (int64_t j = 0; j < whole; j += QL_STRIP)                                              \
            strip(rows, a, a_stride, groups, b + j, b_stride, flip_u8x16, sums + j, sums_stride,   \
                  column_sums + j);                                                                \
        for (int64_t group = 0; group < groups && whole < columns; group++) {                      \
            uint8_t last[DOT * QL_STRIP] = {0};                                                    \
            for (int64_t k = 0; k < DOT; k++)                                                      \
                memcpy(last + k * QL_STRIP, b + (DOT * group + k) * b_stride + whole,              \
                       (size_t)(columns - whole));                                                 \
            strip(rows, a + 4 * group, a_stride, 1, last, QL_STRIP, flip_u8x16, sums + whole,      \
                  sums_stride, column_sums + whole);                                               \
        }                                                                                          \
    }

DEFINE_ROWS(1)
DEFINE_ROWS(2)
DEFINE_ROWS(3)
DEFINE_ROWS(4)

QL_INLINE void direct(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t groups,
                      const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t b_flip,
                      int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)b_flip);
    switch (rows) {
    case 1:
        rows_1(a, a_stride, groups, b, b_stride, columns, flip_u8x16, sums, sums_stride,
               column_sums);
        break;
    case 2:
        rows_2(a, a_stride, groups, b, b_stride, columns, flip_u8x16, sums, sums_stride,
               column_sums);
        break;
    case 3:
        rows_3(a, a_stride, groups, b, b_stride, columns, flip_u8x16, sums, sums_stride,
               column_sums);
        break;
    default:
        rows_4(a, a_stride, groups, b, b_stride, columns, flip_u8x16, sums, sums_stride,
               column_sums);
    }
}
