/* Depthwise convolutions of 3 x 3 of small planes, for processors that have AMX and with it vpermb:
 * see csrc/gathered.c.
 *
 *     sums[i] = start + sum over lines, j = 0..3 of bytes[place[4 * i + j]] * w[j]
 *
 * For 64 outputs there are 12 vpermb, 12 vpdpbusd and 18 instructions for the codes, and with a
 * mask one load of a plane of fewer than 64 bytes, or eight of a larger one: 22 or 26 cycles. */
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
QL_INLINE __m512i load_bytes(const int plain, const source *s, const uint8_t *x) {
    const __m512i x_u8x64 = _mm512_mask_loadu_epi8(s->code_u8x64, first_bytes(63), x);
    return plain ? x_u8x64 : _mm512_xor_si512(x_u8x64, s->flip_u8x64);
}

/* The codes of a plane, in order. */
QL_INLINE __m512i convolve_plane(const int plain, const int whole, const source *s,
                                 const uint8_t *x, const uint32_t *weights, int32_t start,
                                 float multiplier) {
    const __m512i w_i8x64[SIDE] = {_mm512_set1_epi32((int32_t)weights[0]),
                                   _mm512_set1_epi32((int32_t)weights[1]),
                                   _mm512_set1_epi32((int32_t)weights[2])};
    const __m512 same_f32x16 = _mm512_set1_ps(multiplier);
    const __m512 multiplier_f32x16[VECTORS] = {same_f32x16, same_f32x16, same_f32x16, same_f32x16};
    __m512i sum_i32x16[VECTORS];
    const __m512i plane_u8x64 = whole ? load_bytes(plain, s, x) : s->code_u8x64;
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        __m512i x_u8x64 = whole ? plane_u8x64 : load_bytes(plain, s, x + s->load[v][0]);
        sum_i32x16[v] = _mm512_set1_epi32(start);
#pragma GCC unroll 3
        for (int line = 0; line < SIDE; line++) {
            if (line == 2 && !whole)
                x_u8x64 = load_bytes(plain, s, x + s->load[v][1]);
            sum_i32x16[v] = _mm512_dpbusd_epi32(
                sum_i32x16[v], _mm512_permutexvar_epi8(s->place_u8x64[v][line], x_u8x64),
                w_i8x64[line]);
        }
    }
    return _mm512_permutexvar_epi8(s->order_u8x64,
                                   codes_of(plain, &s->codes, sum_i32x16, multiplier_f32x16));
}

QL_INLINE void convolve_planes(const int plain, const int whole, const ql_gathered *gathered,
                               const ql_codes *codes, uint8_t *y) {
    const ql_gathered g = *gathered;
    const source s = source_of(gathered, codes);
    const float *multiplier = codes->multiplier;
    const __mmask64 outputs = first_bytes(g.outputs);
    for (int64_t i = 0; i < g.channels; i++, y += g.outputs)
        _mm512_mask_storeu_epi8(y, outputs,
                                convolve_plane(plain, whole, &s, g.x + i * g.plane,
                                               g.weights + SIDE * i, g.start[i], multiplier[i]));
}

void ql_amx_gather_codes(const ql_gathered *gathered, const ql_codes *codes, uint8_t *y) {
    const int plain = is_plain(codes) && gathered->flip == 0, whole = gathered->plane < 64;
    if (plain && whole)
        convolve_planes(1, 1, gathered, codes, y);
    else if (plain)
        convolve_planes(1, 0, gathered, codes, y);
    else if (whole)
        convolve_planes(0, 1, gathered, codes, y);
    else
        convolve_planes(0, 0, gathered, codes, y);
}

QL_TARGET_END

#endif
