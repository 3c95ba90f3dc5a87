/* Tiles of convolutions with channels first for AVX-VNNI: see csrc/planes.c.
 *
 * A tile is of six rows by two vectors of eight places: twelve sums, a broadcast group of weights,
 * two vectors of places. For a group of four channels that is 12 vpdpbusd and 8 loads. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

QL_INLINE __m256i broadcast_group(const int8_t *group) {
    int32_t bits;
    memcpy(&bits, group, sizeof bits);
    return _mm256_set1_epi32(bits);
}

/* A few rows of a block at one or two vectors of places. */
QL_INLINE void tile(const int rows, const int vectors, const ql_plane_product *p, const int8_t *w,
                    const uint8_t *x, const int32_t *start, int32_t *sums) {
    __m256i sum_i32x8[8][2];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum_i32x8[i][v] =
                _mm256_loadu_si256((const __m256i *)(const void *)(start + QL_STRIP * i));
    for (int64_t part = 0; part < p->parts; part++, w += QL_STRIP * QL_PART_BYTES) {
        const uint8_t *places = x + p->part[part];
        for (int64_t group = 0; group < p->groups; group++, places += p->group_step) {
            __m256i place_u8x32[2];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                place_u8x32[v] =
                    _mm256_loadu_si256((const __m256i *)(const void *)(places + 32 * v));
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) {
                const __m256i weights_i8x32 = broadcast_group(w + QL_PART_BYTES * i + 4 * group);
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++)
                    sum_i32x8[i][v] =
                        _mm256_dpbusd_avx_epi32(sum_i32x8[i][v], place_u8x32[v], weights_i8x32);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            _mm256_storeu_si256((__m256i *)(void *)(sums + QL_PLACES * i + 8 * v), sum_i32x8[i][v]);
}

/* So many rows together are enough sums for two vpdpbusd in every cycle, each of which takes five,
 * or nearly; a whole block is of six, five and five, or of eight and eight. */
QL_INLINE int64_t rows_together(const int vectors, int64_t rows) {
    if (vectors == 1)
        return rows >= 8 ? 8 : rows >= 4 ? 4 : 1;
    return rows >= 6 && rows != 10 ? 6 : rows >= 5 ? 5 : rows >= 3 ? 3 : 1;
}

/* Rows of one block. */
QL_INLINE void tiles(const int vectors, const ql_plane_product *p, const int8_t *w,
                     const uint8_t *x, int64_t rows, const int32_t *start, int32_t *sums) {
    int64_t step;
    for (int64_t i = 0; i < rows; i += step) {
        const int8_t *from = w + QL_PART_BYTES * i;
        const int32_t *begin = start + QL_STRIP * i;
        int32_t *to = sums + QL_PLACES * i;
        step = rows_together(vectors, rows - i);
        if (step == (vectors == 1 ? 8 : 6))
            tile(vectors == 1 ? 8 : 6, vectors, p, from, x, begin, to);
        else if (step == (vectors == 1 ? 4 : 5))
            tile(vectors == 1 ? 4 : 5, vectors, p, from, x, begin, to);
        else if (step == 3)
            tile(3, vectors, p, from, x, begin, to);
        else
            tile(1, vectors, p, from, x, begin, to);
    }
}

void ql_avxvnni_plane_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                           int64_t rows, int64_t places, const int32_t *start, int32_t *sums) {
    for (int64_t i = 0; i < rows; i += QL_STRIP) {
        const int64_t some = ql_min(QL_STRIP, rows - i);
        const int8_t *from = w + i / QL_STRIP * product->block_step;
        const int32_t *begin = start + QL_STRIP * i;
        int32_t *to = sums + QL_PLACES * i;
        for (int64_t place = 0; place < places; place += 16)
            if (places - place > 8)
                tiles(2, product, from, x + 4 * place, some, begin, to + place);
            else
                tiles(1, product, from, x + 4 * place, some, begin, to + place);
    }
}

QL_TARGET_END

#endif
