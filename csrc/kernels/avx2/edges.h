/* Parts of vectors, at edges, and sums in registers. To be included within a target region. */
#ifndef QL_AVX2_EDGES_H
#define QL_AVX2_EDGES_H

#include "../target.h"

/* Two sums are complete before anything else is loaded: GCC would form the products of a whole loop
 * first, and have registers for half of them. */
QL_INLINE void complete_sums(__m256i sum_i32x8[2]) {
    __asm__ volatile("" : "+x"(sum_i32x8[0]), "+x"(sum_i32x8[1]) : : "memory");
}

/* Copies up to 32 bytes, in pieces of one size, of which the last overlaps the one before. */
QL_INLINE void copy_some(uint8_t *to, const uint8_t *from, int64_t bytes) {
    if (bytes >= 16) {
        memcpy(to, from, 16);
        memcpy(to + bytes - 16, from + bytes - 16, 16);
    } else if (bytes >= 8) {
        memcpy(to, from, 8);
        memcpy(to + bytes - 8, from + bytes - 8, 8);
    } else if (bytes >= 4) {
        memcpy(to, from, 4);
        memcpy(to + bytes - 4, from + bytes - 4, 4);
    } else if (bytes > 0) {
        to[0] = from[0];
        to[bytes / 2] = from[bytes / 2];
        to[bytes - 1] = from[bytes - 1];
    }
}

/* The first `bytes` of 16, without a detour through memory; the others are 0. */
QL_INLINE __m128i load_some(const uint8_t *from, int64_t bytes) {
    uint64_t low = 0, high = 0;
    if (bytes >= 8) {
        memcpy(&low, from, 8);
        memcpy(&high, from + bytes - 8, 8);
        high = bytes == 8 ? 0 : high >> 8 * (16 - bytes);
    } else if (bytes >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + bytes - 4, 4);
        low = first | (uint64_t)last << 8 * (bytes - 4);
    } else if (bytes > 0) {
        low = from[0] | (uint64_t)from[bytes / 2] << 8 * (bytes / 2) |
              (uint64_t)from[bytes - 1] << 8 * (bytes - 1);
    }
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

/* The first `count` of eight lanes of four bytes; what stands in the others does not matter. Of
 * four and more, two halves overlap, of which the second moves up. Not by vpmaskmovd: emulators
 * touch what it leaves out. */
QL_INLINE __m256i load_lanes(const void *from, int64_t count) {
    const char *x = from;
    int32_t last;
    if (count >= 8)
        return _mm256_loadu_si256((const __m256i *)from);
    if (count >= 4) {
        const __m256i lane_i32x8 = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i upper_i32x8 = _mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1);
        const __m256i up_i32x8 =
            _mm256_and_si256(upper_i32x8, _mm256_set1_epi32((int32_t)(8 - count)));
        const __m256i both_i32x8 =
            _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(x + 4 * (count - 4))),
                             _mm_loadu_si128((const __m128i *)from));
        return _mm256_permutevar8x32_epi32(both_i32x8, _mm256_add_epi32(lane_i32x8, up_i32x8));
    }
    if (count <= 0)
        return _mm256_setzero_si256();
    memcpy(&last, x + 4 * (count - 1), 4);
    if (count == 1)
        return _mm256_castsi128_si256(_mm_cvtsi32_si128(last));
    const __m128i two_i32x4 = _mm_loadl_epi64((const __m128i *)from);
    return _mm256_castsi128_si256(count == 2 ? two_i32x4 : _mm_insert_epi32(two_i32x4, last, 2));
}

#endif
