/* 8-bit codes to float32 reals for AVX-512, scale * (code - zero_point), sixty-four at a time,
 * edges masked. What bounds it is storing: a result is four times as long as its code. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

enum { WIDTH = 64 };

/* What does not change along a run. */
typedef struct {
    const uint8_t *codes;
    const float *scale;
    const int32_t *zero_point;
    int step, is_signed;
    __m512 scale_f32x16; /* with step 0 */
    __m512i zero_i32x16;
} dequantizer;

QL_INLINE __m512 reals_of(int64_t i, __mmask16 mask, const dequantizer *d) {
    const __m128i codes_u8x16 = _mm_maskz_loadu_epi8(mask, d->codes + i);
    const __m512i codes_i32x16 =
        d->is_signed ? _mm512_cvtepi8_epi32(codes_u8x16) : _mm512_cvtepu8_epi32(codes_u8x16);
    __m512 scale_f32x16 = d->scale_f32x16;
    __m512i zero_i32x16 = d->zero_i32x16;
    if (d->step) {
        scale_f32x16 = _mm512_maskz_loadu_ps(mask, d->scale + i);
        zero_i32x16 = _mm512_maskz_loadu_epi32(mask, d->zero_point + i);
    }
    const __m512i steps_i32x16 = _mm512_sub_epi32(codes_i32x16, zero_i32x16);
    return _mm512_mul_ps(_mm512_cvtepi32_ps(steps_i32x16), scale_f32x16);
}

QL_INLINE void dequantize(const void *codes, float *x, int64_t count, const float *scale,
                          const int32_t *zero_point, int step, int stream, int is_signed) {
    const dequantizer d = {codes,
                           scale,
                           zero_point,
                           step,
                           is_signed,
                           _mm512_set1_ps(*scale),
                           _mm512_set1_epi32(*zero_point)};
    /* A store that straddles two cache lines costs two. */
    const int64_t unaligned = ql_min(count, -(intptr_t)x / 4 & 15);
    _mm512_mask_storeu_ps(x, first(unaligned), reals_of(0, first(unaligned), &d));
    int64_t i = unaligned;
    for (; i + WIDTH <= count; i += WIDTH)
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const int64_t at = i + 16 * part;
            const __m512 x_f32x16 = reals_of(at, (__mmask16)~0, &d);
            if (stream)
                _mm512_stream_ps(x + at, x_f32x16);
            else
                _mm512_storeu_ps(x + at, x_f32x16);
        }
    for (; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        _mm512_mask_storeu_ps(x + i, mask, reals_of(i, mask, &d));
    }
    if (stream)
        _mm_sfence();
}

#define DEFINE_DEQUANTIZE(name, code, stream, is_signed)                                           \
    void ql_avx512vnni_##name##_##code##_float(const void *codes, void *x, int64_t count,          \
                                               const void *scale, const int32_t *zero_point,       \
                                               int step) {                                         \
        if (step)                                                                                  \
            dequantize(codes, x, count, scale, zero_point, 1, stream, is_signed);                  \
        else                                                                                       \
            dequantize(codes, x, count, scale, zero_point, 0, stream, is_signed);                  \
    }

DEFINE_DEQUANTIZE(dequantize, int8, 0, 1)
DEFINE_DEQUANTIZE(dequantize, uint8, 0, 0)
DEFINE_DEQUANTIZE(stream_dequantize, int8, 1, 1)
DEFINE_DEQUANTIZE(stream_dequantize, uint8, 1, 0)

QL_TARGET_END

#endif
