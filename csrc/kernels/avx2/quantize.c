/* Float32 reals to 8-bit codes for AVX2 with FMA, thirty-two at a time; fewer go through a buffer.
 *
 *     steps = rint(x * reciprocal + x * rest)        x kept between low and high
 *     code  = steps + zero_point                     or x = scale * steps
 *
 * The bits are those of a division: csrc/affine.c says why. Bounds come first in the comparisons,
 * so that NaN passes, and converts to INT32_MIN, which no other x becomes; it is found again after
 * packing, where one comparison does for 16 of them. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

enum { WIDTH = 32, AHEAD = 512 }; /* elements at once, and how far ahead to fetch them */

typedef struct {
    __m256 reciprocal_f32x8, rest_f32x8, low_f32x8, high_f32x8;
} divisor;

QL_INLINE divisor one_divisor(const ql_reciprocals *r) {
    return (divisor){_mm256_set1_ps(*r->reciprocal), _mm256_set1_ps(*r->rest),
                     _mm256_set1_ps(*r->low), _mm256_set1_ps(*r->high)};
}

QL_INLINE divisor divisors_at(const ql_reciprocals *r, int64_t i) {
    return (divisor){_mm256_loadu_ps(r->reciprocal + i), _mm256_loadu_ps(r->rest + i),
                     _mm256_loadu_ps(r->low + i), _mm256_loadu_ps(r->high + i)};
}

/* x / scale, rounded to the nearest float where that decides how it rounds to an integer. */
QL_INLINE __m256 divide(__m256 x_f32x8, const divisor *by) {
    x_f32x8 = _mm256_min_ps(by->high_f32x8, _mm256_max_ps(by->low_f32x8, x_f32x8));
    return _mm256_fmadd_ps(x_f32x8, by->reciprocal_f32x8, _mm256_mul_ps(x_f32x8, by->rest_f32x8));
}

QL_INLINE __m256i load_i32x8(const int32_t *from) {
    return _mm256_loadu_si256((const __m256i *)from);
}

QL_INLINE void fetch(const float *x) {
    _mm_prefetch((const char *)x, _MM_HINT_T0);
    _mm_prefetch((const char *)(x + 16), _MM_HINT_T0);
}

/* The bytes of 32 steps, each moved by its zero point; `zero_i16x16` in the order of packing. */
QL_INLINE __m256i bytes_of(const __m256i steps_i32x8[4], const __m256i zero_i16x16[2],
                           int is_signed) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i nan_i16x16 = _mm256_set1_epi16(INT16_MIN);
    __m256i codes_i16x16[2];
    for (int half = 0; half < 2; half++) {
        const __m256i steps_i16x16 =
            _mm256_packs_epi32(steps_i32x8[2 * half], steps_i32x8[2 * half + 1]);
        const __m256i no_number = _mm256_cmpeq_epi16(steps_i16x16, nan_i16x16);
        codes_i16x16[half] =
            _mm256_add_epi16(_mm256_andnot_si256(no_number, steps_i16x16), zero_i16x16[half]);
    }
    return _mm256_permutevar8x32_epi32(is_signed
                                           ? _mm256_packs_epi16(codes_i16x16[0], codes_i16x16[1])
                                           : _mm256_packus_epi16(codes_i16x16[0], codes_i16x16[1]),
                                       order);
}

/* What does not change along a run. */
typedef struct {
    const ql_reciprocals *r;
    int step, is_signed;
    divisor one; /* with step 0 */
    __m256i zero_i16x16;
} quantizer;

/* The codes of WIDTH elements; `i` is the first parameter with step 1. */
QL_INLINE __m256i codes_of(const float *x, int64_t i, const quantizer *q) {
    __m256i steps_i32x8[4], zero_i16x16[2] = {q->zero_i16x16, q->zero_i16x16};
#pragma GCC unroll 4
    for (int part = 0; part < 4; part++) {
        const divisor by = q->step ? divisors_at(q->r, i + 8 * part) : q->one;
        steps_i32x8[part] = _mm256_cvtps_epi32(divide(_mm256_loadu_ps(x + 8 * part), &by));
    }
    if (q->step)
        for (int half = 0; half < 2; half++) {
            const int32_t *zero_point = q->r->zero_point + i + 16 * half;
            zero_i16x16[half] =
                _mm256_packs_epi32(load_i32x8(zero_point), load_i32x8(zero_point + 8));
        }
    return bytes_of(steps_i32x8, zero_i16x16, q->is_signed);
}

QL_INLINE __m256 nearest_of(const float *x, int64_t i, const quantizer *q) {
    const divisor by = q->step ? divisors_at(q->r, i) : q->one;
    const __m256 scale_f32x8 =
        q->step ? _mm256_loadu_ps(q->r->scale + i) : _mm256_set1_ps(*q->r->scale);
    __m256 steps_f32x8 = divide(_mm256_loadu_ps(x), &by);
    steps_f32x8 = _mm256_and_ps(steps_f32x8, _mm256_cmp_ps(steps_f32x8, steps_f32x8, _CMP_ORD_Q));
    return _mm256_mul_ps(scale_f32x8, _mm256_cvtepi32_ps(_mm256_cvtps_epi32(steps_f32x8)));
}

/* Room for the edge of a run: fewer than WIDTH elements, and their parameters with step 1. */
typedef struct {
    float x[WIDTH], reciprocal[WIDTH], rest[WIDTH], low[WIDTH], high[WIDTH], scale[WIDTH];
    int32_t zero_point[WIDTH];
    ql_reciprocals r;
} edge;

QL_INLINE quantizer at_edge(edge *e, const float *x, int64_t i, int64_t count, const quantizer *q) {
    const size_t size = (size_t)count * sizeof(float);
    quantizer buffered = *q;
    memset(e, 0, sizeof *e);
    memcpy(e->x, x, size);
    if (q->step) {
        memcpy(e->reciprocal, q->r->reciprocal + i, size);
        memcpy(e->rest, q->r->rest + i, size);
        memcpy(e->low, q->r->low + i, size);
        memcpy(e->high, q->r->high + i, size);
        memcpy(e->scale, q->r->scale + i, size);
        memcpy(e->zero_point, q->r->zero_point + i, size);
        e->r = (ql_reciprocals){e->reciprocal, e->rest, e->low, e->high, e->scale, e->zero_point};
        buffered.r = &e->r;
    }
    return buffered;
}

QL_INLINE void quantize_edge(const float *x, uint8_t *codes, int64_t i, int64_t count,
                             const quantizer *q) {
    edge e;
    uint8_t to[WIDTH];
    const quantizer buffered = at_edge(&e, x + i, i, count, q);
    _mm256_storeu_si256((__m256i *)to, codes_of(e.x, 0, &buffered));
    memcpy(codes + i, to, (size_t)count);
}

QL_INLINE void quantize(const float *x, uint8_t *codes, int64_t count, const ql_reciprocals *r,
                        int step, int stream, int is_signed) {
    const quantizer q = {r, step, is_signed, one_divisor(r),
                         _mm256_set1_epi16((int16_t)*r->zero_point)};
    int64_t i = 0;
    if (stream) {
        i = ql_min(count, -(intptr_t)codes & (WIDTH - 1));
        quantize_edge(x, codes, 0, i, &q);
    }
    for (; i + WIDTH <= count; i += WIDTH) {
        const __m256i codes_u8x32 = codes_of(x + i, i, &q);
        if (stream) {
            fetch(x + i + AHEAD);
            _mm256_stream_si256((__m256i *)(codes + i), codes_u8x32);
        } else {
            _mm256_storeu_si256((__m256i *)(codes + i), codes_u8x32);
        }
    }
    if (i < count)
        quantize_edge(x, codes, i, count - i, &q);
    if (stream)
        _mm_sfence();
}

#define DEFINE_QUANTIZE(code, is_signed)                                                           \
    void ql_avx2_quantize_##code(const float *x, void *codes, int64_t count,                       \
                                 const ql_reciprocals *r, int step, int stream) {                  \
        if (step)                                                                                  \
            quantize(x, codes, count, r, 1, stream, is_signed);                                    \
        else                                                                                       \
            quantize(x, codes, count, r, 0, stream, is_signed);                                    \
    }

DEFINE_QUANTIZE(int8, 1)
DEFINE_QUANTIZE(uint8, 0)

QL_INLINE void fake_quantize_edge(const float *x, float *y, int64_t i, int64_t count,
                                  const quantizer *q) {
    edge e;
    float to[WIDTH];
    const quantizer buffered = at_edge(&e, x + i, i, count, q);
    for (int part = 0; part < WIDTH; part += 8)
        _mm256_storeu_ps(to + part, nearest_of(e.x + part, part, &buffered));
    memcpy(y + i, to, (size_t)count * sizeof *to);
}

QL_INLINE void fake_quantize(const float *x, float *y, int64_t count, const ql_reciprocals *r,
                             int step, int stream) {
    const quantizer q = {.r = r, .step = step, .one = one_divisor(r)};
    int64_t i = 0;
    if (stream) {
        i = ql_min(count, -(intptr_t)y / 4 & 7);
        fake_quantize_edge(x, y, 0, i, &q);
    }
    for (; i + WIDTH <= count; i += WIDTH) {
        if (stream)
            fetch(x + i + AHEAD);
#pragma GCC unroll 4
        for (int part = 0; part < WIDTH; part += 8) {
            const __m256 y_f32x8 = nearest_of(x + i + part, i + part, &q);
            if (stream)
                _mm256_stream_ps(y + i + part, y_f32x8);
            else
                _mm256_storeu_ps(y + i + part, y_f32x8);
        }
    }
    if (i < count)
        fake_quantize_edge(x, y, i, count - i, &q);
    if (stream)
        _mm_sfence();
}

void ql_avx2_fake_quantize(const float *x, void *y, int64_t count, const ql_reciprocals *r,
                           int step, int stream) {
    if (step)
        fake_quantize(x, y, count, r, 1, stream);
    else
        fake_quantize(x, y, count, r, 0, stream);
}

QL_TARGET_END

#endif
