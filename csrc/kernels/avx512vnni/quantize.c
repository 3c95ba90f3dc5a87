/* Float32 reals to 8-bit codes for AVX-512, sixty-four at a time, edges masked.
 *
 *     steps = rint(x * reciprocal + x * rest)        x kept between low and high
 *     code  = steps + zero_point                     or x = scale * steps
 *
 * The bits are those of a division, which takes one element a cycle where this takes more than
 * four: csrc/affine.c says why. Bounds come first in the comparisons, so that NaN passes, and
 * converts to INT32_MIN, which no other x becomes; it is found again after packing, where one
 * comparison does for 32 of them. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

enum { WIDTH = 64, AHEAD = 2048 }; /* elements at once, and how far ahead to fetch them */

typedef struct {
    __m512 reciprocal_f32x16, rest_f32x16, low_f32x16, high_f32x16;
} divisor;

QL_INLINE divisor one_divisor(const ql_reciprocals *r, int64_t i) {
    return (divisor){_mm512_set1_ps(r->reciprocal[i]), _mm512_set1_ps(r->rest[i]),
                     _mm512_set1_ps(r->low[i]), _mm512_set1_ps(r->high[i])};
}

QL_INLINE divisor divisors_at(const ql_reciprocals *r, int64_t i, __mmask16 mask) {
    return (divisor){
        _mm512_maskz_loadu_ps(mask, r->reciprocal + i), _mm512_maskz_loadu_ps(mask, r->rest + i),
        _mm512_maskz_loadu_ps(mask, r->low + i), _mm512_maskz_loadu_ps(mask, r->high + i)};
}

/* x / scale, rounded to the nearest float where that decides how it rounds to an integer. */
QL_INLINE __m512 divide(__m512 x_f32x16, const divisor *by) {
    x_f32x16 = _mm512_min_ps(by->high_f32x16, _mm512_max_ps(by->low_f32x16, x_f32x16));
    return _mm512_fmadd_ps(x_f32x16, by->reciprocal_f32x16,
                           _mm512_mul_ps(x_f32x16, by->rest_f32x16));
}

QL_INLINE void fetch(const float *x) {
    for (int line = 0; line < WIDTH / 16; line++)
        _mm_prefetch((const char *)(x + 16 * line), _MM_HINT_T0);
}

/* The bytes of 64 steps, each moved by its zero point; `zero_i16x32` in the order of packing. */
QL_INLINE __m512i bytes_of(const __m512i steps_i32x16[4], const __m512i zero_i16x32[2],
                           int is_signed) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i nan_i16x32 = _mm512_set1_epi16(INT16_MIN);
    __m512i codes_i16x32[2];
    for (int half = 0; half < 2; half++) {
        const __m512i steps_i16x32 =
            _mm512_packs_epi32(steps_i32x16[2 * half], steps_i32x16[2 * half + 1]);
        const __mmask32 number = _mm512_cmpneq_epi16_mask(steps_i16x32, nan_i16x32);
        codes_i16x32[half] =
            _mm512_mask_add_epi16(zero_i16x32[half], number, steps_i16x32, zero_i16x32[half]);
    }
    return _mm512_permutexvar_epi32(
        order, is_signed ? _mm512_packs_epi16(codes_i16x32[0], codes_i16x32[1])
                         : _mm512_packus_epi16(codes_i16x32[0], codes_i16x32[1]));
}

/* What does not change along a run. */
typedef struct {
    const ql_reciprocals *r;
    int shift, is_signed;
    divisor one; /* with QL_SAME */
    __m512i zero_i16x32;
} quantizer;

/* The parameters of sixteen elements. */
QL_INLINE divisor divisor_of(const quantizer *q, int64_t i, __mmask16 mask) {
    return q->shift == QL_SAME   ? q->one
           : q->shift == QL_EACH ? divisors_at(q->r, i, mask)
                                 : one_divisor(q->r, i >> q->shift);
}

QL_INLINE __m512i zeros_of(const quantizer *q, int64_t i, __mmask16 mask) {
    return q->shift == QL_EACH ? _mm512_maskz_loadu_epi32(mask, q->r->zero_point + i)
                               : _mm512_set1_epi32(q->r->zero_point[i >> q->shift]);
}

QL_INLINE __m512i codes_of(const float *x, int64_t i, __mmask64 mask, const quantizer *q) {
    __m512i steps_i32x16[4], zero_i32x16[4];
#pragma GCC unroll 4
    for (int part = 0; part < 4; part++) {
        const __mmask16 mine = (__mmask16)(mask >> (16 * part));
        const int64_t at = i + 16 * part;
        const divisor by = divisor_of(q, mine ? at : i, mine);
        if (q->shift != QL_SAME)
            zero_i32x16[part] = zeros_of(q, mine ? at : i, mine);
        const __m512 x_f32x16 = _mm512_maskz_loadu_ps(mine, x + at);
        steps_i32x16[part] = _mm512_cvtps_epi32(divide(x_f32x16, &by));
    }
    __m512i zero_i16x32[2] = {q->zero_i16x32, q->zero_i16x32};
    if (q->shift != QL_SAME)
        for (int half = 0; half < 2; half++)
            zero_i16x32[half] =
                _mm512_packs_epi32(zero_i32x16[2 * half], zero_i32x16[2 * half + 1]);
    return bytes_of(steps_i32x16, zero_i16x32, q->is_signed);
}

QL_INLINE void quantize_edge(const float *x, uint8_t *codes, int64_t i, int64_t count,
                             const quantizer *q) {
    const __mmask64 mask = first_bytes(count);
    _mm512_mask_storeu_epi8(codes + i, mask, codes_of(x, i, mask, q));
}

QL_INLINE void quantize(const float *x, uint8_t *codes, int64_t count, const ql_reciprocals *r,
                        int shift, int stream, int is_signed) {
    const quantizer q = {r, shift, is_signed, one_divisor(r, 0),
                         _mm512_set1_epi16((int16_t)*r->zero_point)};
    int64_t i = 0;
    if (stream) { /* whole cache lines only */
        i = ql_min(count, -(intptr_t)codes & (WIDTH - 1));
        quantize_edge(x, codes, 0, i, &q);
    }
    for (; i + WIDTH <= count; i += WIDTH) {
        const __m512i codes_u8x64 = codes_of(x, i, ~(__mmask64)0, &q);
        if (stream) {
            fetch(x + i + AHEAD);
            _mm512_stream_si512((void *)(codes + i), codes_u8x64);
        } else {
            _mm512_storeu_si512(codes + i, codes_u8x64);
        }
    }
    if (i < count)
        quantize_edge(x, codes, i, count - i, &q);
    if (stream)
        _mm_sfence();
}

#define DEFINE_QUANTIZE(code, is_signed)                                                           \
    void ql_avx512vnni_quantize_##code(const float *x, void *codes, int64_t count,                 \
                                       const ql_reciprocals *r, int shift, int stream) {           \
        if (shift == QL_SAME)                                                                      \
            quantize(x, codes, count, r, QL_SAME, stream, is_signed);                              \
        else if (shift == QL_EACH)                                                                 \
            quantize(x, codes, count, r, QL_EACH, stream, is_signed);                              \
        else                                                                                       \
            quantize(x, codes, count, r, shift, 0, is_signed);                                     \
    }

DEFINE_QUANTIZE(int8, 1)
DEFINE_QUANTIZE(uint8, 0)

QL_INLINE __m512 nearest_of(const float *x, int64_t i, __mmask16 mask, const quantizer *q) {
    const divisor by = divisor_of(q, i, mask);
    const __m512 scale_f32x16 = q->shift == QL_EACH ? _mm512_maskz_loadu_ps(mask, q->r->scale + i)
                                                    : _mm512_set1_ps(q->r->scale[i >> q->shift]);
    const __m512 steps_f32x16 = divide(_mm512_maskz_loadu_ps(mask, x + i), &by);
    const __mmask16 number = _mm512_cmp_ps_mask(steps_f32x16, steps_f32x16, _CMP_ORD_Q);
    const __m512i steps_i32x16 = _mm512_maskz_cvtps_epi32(number, steps_f32x16);
    return _mm512_mul_ps(scale_f32x16, _mm512_cvtepi32_ps(steps_i32x16));
}

QL_INLINE void fake_quantize(const float *x, float *y, int64_t count, const ql_reciprocals *r,
                             int shift, int stream) {
    const quantizer q = {.r = r, .shift = shift, .one = one_divisor(r, 0)};
    const int groups = shift != QL_SAME && shift != QL_EACH; /* which begin with the run */
    const int64_t unaligned = groups ? 0 : ql_min(count, -(intptr_t)y / 4 & 15);
    _mm512_mask_storeu_ps(y, first(unaligned), nearest_of(x, 0, first(unaligned), &q));
    int64_t i = unaligned;
    for (; i + WIDTH <= count; i += WIDTH) {
        if (stream)
            fetch(x + i + AHEAD);
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const int64_t at = i + 16 * part;
            const __m512 y_f32x16 = nearest_of(x, at, (__mmask16)~0, &q);
            if (stream)
                _mm512_stream_ps(y + at, y_f32x16);
            else
                _mm512_storeu_ps(y + at, y_f32x16);
        }
    }
    for (; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        _mm512_mask_storeu_ps(y + i, mask, nearest_of(x, i, mask, &q));
    }
    if (stream)
        _mm_sfence();
}

void ql_avx512vnni_fake_quantize(const float *x, void *y, int64_t count, const ql_reciprocals *r,
                                 int shift, int stream) {
    if (shift == QL_SAME)
        fake_quantize(x, y, count, r, QL_SAME, stream);
    else if (shift == QL_EACH)
        fake_quantize(x, y, count, r, QL_EACH, stream);
    else
        fake_quantize(x, y, count, r, shift, 0);
}

QL_TARGET_END

#endif
