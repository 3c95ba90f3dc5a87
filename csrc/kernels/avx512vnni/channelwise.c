/* Depthwise convolution with channels first for AVX-512 with VNNI: see csrc/channelwise.c.
 *
 *     sums[i] = start + sum over windows, j = 0..3 of x[offset + step * i + j] * w[j]
 *
 * 64 outputs have four vectors of sums. With a step of 1, the vector read n bytes further has the
 * windows of outputs n, n + 4, n + 8 ...; with a step of 2, that at 2 * n those of n, n + 2, n + 4
 * ..., 32 outputs for 64 bytes. Packing the codes leaves the same places of all four vectors side
 * by side in a lane, which one vpshufb (and with a step of 2, one vpermq) puts in order.
 *
 * A kernel of 3 x 3 costs 12 vpdpbusd and 18 instructions for the codes, for 64 outputs: two can
 * start in a cycle. Most of the 12 loads touch two cache lines, and take as long as two. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "codes.h"

enum { OUTPUTS = 64, FEW = 3 };

/* Adds the products of one window of 64 outputs. */
QL_INLINE void add_window(const int step, const char *x, __m512i w_i8x64, __m512i sum_i32x16[4]) {
    const int64_t further[2][4] = {{0, 1, 2, 3}, {0, 2, 64, 66}};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        sum_i32x16[i] = _mm512_dpbusd_epi32(sum_i32x16[i],
                                            _mm512_loadu_si512(x + further[step - 1][i]), w_i8x64);
}

/* 64 outputs from x on, whose windows are FEW, with their weights in registers; or any number. */
QL_INLINE void sum_few(const int step, const ql_channel *c, const char *x,
                       const __m512i w_i8x64[FEW], __m512i sum_i32x16[4]) {
    const int64_t second = c->offsets[1], third = c->offsets[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        sum_i32x16[i] = _mm512_set1_epi32(c->start);
    add_window(step, x + c->offsets[0], w_i8x64[0], sum_i32x16);
    add_window(step, x + second, w_i8x64[1], sum_i32x16);
    add_window(step, x + third, w_i8x64[2], sum_i32x16);
}

QL_INLINE void sum_many(const int step, const ql_channel *c, const char *x, __m512i sum_i32x16[4]) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        sum_i32x16[i] = _mm512_set1_epi32(c->start);
    for (int64_t window = 0; window < c->windows; window++)
        add_window(step, x + c->offsets[window], _mm512_set1_epi32((int32_t)c->weights[window]),
                   sum_i32x16);
}

/* In the order of outputs. */
QL_INLINE void store_sums(const int step, int32_t *sums, const __m512i sum_i32x16[4]) {
    const __m512i a = _mm512_unpacklo_epi32(sum_i32x16[0], sum_i32x16[1]);
    const __m512i b = _mm512_unpackhi_epi32(sum_i32x16[0], sum_i32x16[1]);
    const __m512i c = _mm512_unpacklo_epi32(sum_i32x16[2], sum_i32x16[3]);
    const __m512i d = _mm512_unpackhi_epi32(sum_i32x16[2], sum_i32x16[3]);
    if (step == 1) {
        store_lanes(_mm512_unpacklo_epi64(a, c), sums, sums + 16, sums + 32, sums + 48);
        store_lanes(_mm512_unpackhi_epi64(a, c), sums + 4, sums + 20, sums + 36, sums + 52);
        store_lanes(_mm512_unpacklo_epi64(b, d), sums + 8, sums + 24, sums + 40, sums + 56);
        store_lanes(_mm512_unpackhi_epi64(b, d), sums + 12, sums + 28, sums + 44, sums + 60);
    } else {
        store_lanes(a, sums, sums + 8, sums + 16, sums + 24);
        store_lanes(b, sums + 4, sums + 12, sums + 20, sums + 28);
        store_lanes(c, sums + 32, sums + 40, sums + 48, sums + 56);
        store_lanes(d, sums + 36, sums + 44, sums + 52, sums + 60);
    }
}

QL_INLINE __m512i in_order(const int step, __m512i codes_u8x64) {
    if (step == 1)
        return _mm512_shuffle_epi8(codes_u8x64,
                                   _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2,
                                                                        6, 10, 14, 3, 7, 11, 15)));
    codes_u8x64 = _mm512_shuffle_epi8(
        codes_u8x64, _mm512_broadcast_i32x4(
                         _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15)));
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), codes_u8x64);
}

QL_INLINE void sum_channel(const int step, const ql_channel *c, int32_t *sums) {
    for (int64_t i = 0; i < c->count; i += OUTPUTS) {
        __m512i sum_i32x16[4];
        sum_many(step, c, c->x + step * i, sum_i32x16);
        store_sums(step, sums + i, sum_i32x16);
    }
}

void ql_avx512vnni_channel_sums(const ql_channel *channel, int32_t *sums) {
    if (channel->step == 1)
        sum_channel(1, channel, sums);
    else
        sum_channel(2, channel, sums);
}

QL_INLINE void convolve_channel(const int plain, const int few, const int step, const ql_channel *c,
                                const ql_codes *codes, uint8_t *y) {
    const stage s = stage_of(codes);
    const __m512 same_f32x16 = _mm512_set1_ps(*codes->multiplier);
    const __m512 multiplier_f32x16[4] = {same_f32x16, same_f32x16, same_f32x16, same_f32x16};
    __m512i w_i8x64[FEW];
#pragma GCC unroll 4
    for (int i = 0; few && i < FEW; i++)
        w_i8x64[i] = _mm512_set1_epi32((int32_t)c->weights[i]);
    for (int64_t i = 0; i < c->count; i += OUTPUTS) {
        __m512i sum_i32x16[4];
        if (few)
            sum_few(step, c, c->x + step * i, w_i8x64, sum_i32x16);
        else
            sum_many(step, c, c->x + step * i, sum_i32x16);
        _mm512_storeu_si512(y + i,
                            in_order(step, codes_of(plain, &s, sum_i32x16, multiplier_f32x16)));
    }
}

QL_INLINE void convolve(const int plain, const ql_channel *c, const ql_codes *codes, uint8_t *y) {
    if (c->windows == FEW && c->step == 1)
        convolve_channel(plain, 1, 1, c, codes, y);
    else if (c->windows == FEW)
        convolve_channel(plain, 1, 2, c, codes, y);
    else if (c->step == 1)
        convolve_channel(plain, 0, 1, c, codes, y);
    else
        convolve_channel(plain, 0, 2, c, codes, y);
}

void ql_avx512vnni_channel_codes(const ql_channel *channel, const ql_codes *codes, uint8_t *y) {
    if (is_plain(codes))
        convolve(1, channel, codes, y);
    else
        convolve(0, channel, codes, y);
}

QL_TARGET_END

#endif
