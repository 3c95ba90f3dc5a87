/* 8-bit codes to float32 reals for AVX2, scale * (code - zero_point), thirty-two at a time; fewer
 * go through a buffer. What bounds it is storing: a result is four times as long as its code. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

enum { WIDTH = 32 };

/* What does not change along a run. */
typedef struct {
    const float *scale;
    const int32_t *zero_point;
    int step, stream, is_signed;
    __m256 scale_f32x8; /* with step 0 */
    __m256i zero_i32x8;
} dequantizer;

/* WIDTH reals; `i` is the first parameter with step 1. */
QL_INLINE void reals_of(const uint8_t *codes, float *x, int64_t i, const dequantizer *d) {
#pragma GCC unroll 4
    for (int part = 0; part < WIDTH; part += 8) {
        const __m128i codes_u8x8 = _mm_loadl_epi64((const __m128i *)(codes + part));
        const __m256i codes_i32x8 =
            d->is_signed ? _mm256_cvtepi8_epi32(codes_u8x8) : _mm256_cvtepu8_epi32(codes_u8x8);
        __m256 scale_f32x8 = d->scale_f32x8;
        __m256i zero_i32x8 = d->zero_i32x8;
        if (d->step) {
            scale_f32x8 = _mm256_loadu_ps(d->scale + i + part);
            zero_i32x8 = _mm256_loadu_si256((const __m256i *)(d->zero_point + i + part));
        }
        const __m256i steps_i32x8 = _mm256_sub_epi32(codes_i32x8, zero_i32x8);
        const __m256 x_f32x8 = _mm256_mul_ps(_mm256_cvtepi32_ps(steps_i32x8), scale_f32x8);
        if (d->stream)
            _mm256_stream_ps(x + part, x_f32x8);
        else
            _mm256_storeu_ps(x + part, x_f32x8);
    }
}

/* Fewer than WIDTH reals. */
QL_INLINE void few_reals_of(const uint8_t *codes, float *x, int64_t i, int64_t count,
                            const dequantizer *d) {
    uint8_t from[WIDTH] = {0};
    float to[WIDTH], scale[WIDTH] = {0};
    int32_t zero_point[WIDTH] = {0};
    dequantizer buffered = *d;
    buffered.stream = 0;
    memcpy(from, codes, (size_t)count);
    if (d->step) {
        memcpy(scale, d->scale + i, (size_t)count * sizeof *scale);
        memcpy(zero_point, d->zero_point + i, (size_t)count * sizeof *zero_point);
        buffered.scale = scale;
        buffered.zero_point = zero_point;
    }
    reals_of(from, to, 0, &buffered);
    memcpy(x, to, (size_t)count * sizeof *to);
}

QL_INLINE void dequantize(const uint8_t *codes, float *x, int64_t count, const float *scale,
                          const int32_t *zero_point, int step, int stream, int is_signed) {
    const dequantizer d = {scale,
                           zero_point,
                           step,
                           stream,
                           is_signed,
                           _mm256_set1_ps(*scale),
                           _mm256_set1_epi32(*zero_point)};
    int64_t i = 0;
    if (stream) {
        i = ql_min(count, -(intptr_t)x / 4 & 7);
        few_reals_of(codes, x, 0, i, &d);
    }
    for (; i + WIDTH <= count; i += WIDTH)
        reals_of(codes + i, x + i, i, &d);
    dequantizer plain = d;
    plain.stream = 0;
    const int64_t last = count - WIDTH;
    if (i < count && last >= 0) /* some for the second time, which is quicker than a buffer */
        reals_of(codes + last, x + last, last, &plain);
    else if (i < count)
        few_reals_of(codes + i, x + i, i, count - i, &plain);
    if (stream)
        _mm_sfence();
}

#define DEFINE_DEQUANTIZE(name, code, stream, is_signed)                                           \
    void ql_avx2_##name##_##code##_float(const void *codes, void *x, int64_t count,                \
                                         const void *scale, const int32_t *zero_point, int step) { \
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
