/* A table of 256 bytes for AVX2, in sixteen shuffles of 16 bytes.
 *
 * vpshufb gives 0 for a byte with bit 7, otherwise the entry of its lower four bits. The byte loses
 * 16 after each shuffle, saturating where it is negative, so that it takes part in as many shuffles
 * as there are rows up to its own. Rows hold differences, by exclusive or, to the row before, and
 * what adds up is its own row's entry. Bytes from 128 on go the same way with bit 7 turned over. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

enum { ROWS = 8 }; /* of 16 entries, in each half of the table */

QL_INLINE void load_half(const uint8_t *table, __m256i *rows_u8x32) {
    __m256i before_u8x32 = _mm256_setzero_si256();
    for (int row = 0; row < ROWS; row++) {
        const __m256i row_u8x32 =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(table + 16 * row)));
        rows_u8x32[row] = _mm256_xor_si256(row_u8x32, before_u8x32);
        before_u8x32 = row_u8x32;
    }
}

QL_INLINE __m256i half_of(__m256i x_i8x32, const __m256i *rows_u8x32) {
    const __m256i sixteen_i8x32 = _mm256_set1_epi8(16);
    __m256i entries_u8x32 = _mm256_shuffle_epi8(rows_u8x32[0], x_i8x32);
    for (int row = 1; row < ROWS; row++) {
        x_i8x32 = _mm256_subs_epi8(x_i8x32, sixteen_i8x32);
        entries_u8x32 =
            _mm256_xor_si256(entries_u8x32, _mm256_shuffle_epi8(rows_u8x32[row], x_i8x32));
    }
    return entries_u8x32;
}

void ql_avx2_look_up(const uint8_t *x, const uint8_t *table, uint8_t *y, int64_t count) {
    __m256i lower_u8x32[ROWS], upper_u8x32[ROWS];
    load_half(table, lower_u8x32);
    load_half(table + 128, upper_u8x32);
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m256i x_i8x32 = _mm256_loadu_si256((const __m256i *)(x + i));
        const __m256i turned_i8x32 = _mm256_xor_si256(x_i8x32, _mm256_set1_epi8((char)0x80));
        const __m256i entries_u8x32 =
            _mm256_xor_si256(half_of(x_i8x32, lower_u8x32), half_of(turned_i8x32, upper_u8x32));
        _mm256_storeu_si256((__m256i *)(y + i), entries_u8x32);
    }
    ql_portable_look_up(x + i, table, y + i, count - i);
}

QL_TARGET_END

#endif
