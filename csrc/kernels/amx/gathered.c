/* Depthwise convolutions of 3 x 3 of small planes, for processors that have AMX and with it vpermb:
 * see csrc/gathered.c.
 *
 *     sums[i] = start + sum over lines, j = 0..3 of bytes[place[4 * i + j]] * w[j]
 *
 * For 64 outputs there are 12 vpermb, 12 vpdpbusd and 12 instructions for the codes, and with a
 * mask one load of a plane of fewer than 64 bytes, or eight of a larger one: 19 or 23 cycles. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/codes.h"
#include "../avx512vnni/lanes.h"

enum { VECTORS = 4, SIDE = 3 };

/* What is the same for all planes. */
typedef struct {
    stage codes;
    __m512i code_u8x64, flip_u8x64, place_u8x64[VECTORS][SIDE], order_u8x64;
    int64_t load[VECTORS][2];
} source;

QL_INLINE source source_of(const ql_gathered *g, const ql_codes *codes) {
    source s = {.codes = stage_of(codes)};
    s.code_u8x64 = _mm512_set1_epi8((char)g->code);
    s.flip_u8x64 = _mm512_set1_epi8((char)g->flip);
    s.order_u8x64 = _mm512_loadu_si512(g->gathering->order);
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        s.load[v][0] = g->gathering->load[v][0];
        s.load[v][1] = g->gathering->load[v][1];
#pragma GCC unroll 3
        for (int line = 0; line < SIDE; line++)
            s.place_u8x64[v][line] = _mm512_loadu_si512(g->gathering->place[v][line]);
    }
    return s;
}

/* Bytes, of which the last one is padding, as numbers. */
QL_INLINE __m512i load_bytes(const int flips, const source *s, const uint8_t *x) {
    const __m512i x_u8x64 = _mm512_mask_loadu_epi8(s->code_u8x64, first_bytes(63), x);
    return flips ? _mm512_xor_si512(x_u8x64, s->flip_u8x64) : x_u8x64;
}

/* The codes of a plane, in order. */
QL_INLINE __m512i convolve_plane(const int way, const int whole, const source *s, const uint8_t *x,
                                 const uint32_t *weights, int32_t start, factors same_by) {
    const __m512i w_i8x64[SIDE] = {_mm512_set1_epi32((int32_t)weights[0]),
                                   _mm512_set1_epi32((int32_t)weights[1]),
                                   _mm512_set1_epi32((int32_t)weights[2])};
    const factors by[VECTORS] = {same_by, same_by, same_by, same_by};
    __m512i sum_i32x16[VECTORS];
    const __m512i plane_u8x64 = whole ? load_bytes(way != FUSED_PLAINLY, s, x) : s->code_u8x64;
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        __m512i x_u8x64 =
            whole ? plane_u8x64 : load_bytes(way != FUSED_PLAINLY, s, x + s->load[v][0]);
        sum_i32x16[v] = _mm512_set1_epi32(start);
#pragma GCC unroll 3
        for (int line = 0; line < SIDE; line++) {
            if (line == 2 && !whole)
                x_u8x64 = load_bytes(way != FUSED_PLAINLY, s, x + s->load[v][1]);
            sum_i32x16[v] = _mm512_dpbusd_epi32(
                sum_i32x16[v], _mm512_permutexvar_epi8(s->place_u8x64[v][line], x_u8x64),
                w_i8x64[line]);
        }
    }
    return _mm512_permutexvar_epi8(s->order_u8x64, codes_of(way, &s->codes, sum_i32x16, by));
}

QL_INLINE void convolve_planes(const int way, const int whole, const ql_gathered *gathered,
                               const ql_codes *codes, uint8_t *y) {
    const ql_gathered g = *gathered;
    const source s = source_of(gathered, codes);
    const __mmask64 outputs = first_bytes(g.outputs);
    for (int64_t i = 0; i < g.channels; i++, y += g.outputs)
        _mm512_mask_storeu_epi8(y, outputs,
                                convolve_plane(way, whole, &s, g.x + i * g.plane,
                                               g.weights + SIDE * i, g.start[i],
                                               factors_of(way, codes, i)));
}

QL_INLINE void convolve(const int way, const ql_gathered *gathered, const ql_codes *codes,
                        uint8_t *y) {
    if (gathered->plane < 64)
        convolve_planes(way, 1, gathered, codes, y);
    else
        convolve_planes(way, 0, gathered, codes, y);
}

void ql_amx_gather_codes(const ql_gathered *gathered, const ql_codes *codes, uint8_t *y) {
    ql_gathered some = *gathered;
    for (int64_t channel = 0; channel < gathered->channels; channel += some.channels) {
        const ql_codes from = ql_codes_from(codes, channel);
        const int way = way_of(&from);
        some.x = gathered->x + channel * gathered->plane;
        some.weights = gathered->weights + channel * SIDE;
        some.start = gathered->start + channel;
        some.channels = channels_alike(&from, gathered->channels - channel);
        uint8_t *to = y + channel * gathered->outputs;
        if (way == FUSED_PLAINLY && gathered->flip == 0)
            convolve(FUSED_PLAINLY, &some, &from, to);
        else if (way >= FUSED)
            convolve(FUSED, &some, &from, to);
        else
            convolve(CONVERTED, &some, &from, to);
    }
}

QL_TARGET_END

#endif
