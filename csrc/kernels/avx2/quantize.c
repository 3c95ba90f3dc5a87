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

QL_INLINE divisor one_divisor(const ql_reciprocals *r, int64_t i) {
    return (divisor){_mm256_set1_ps(r->reciprocal[i]), _mm256_set1_ps(r->rest[i]),
                     _mm256_set1_ps(r->low[i]), _mm256_set1_ps(r->high[i])};
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
    int shift, is_signed;
    divisor one; /* with QL_SAME */
    __m256i zero_i16x16;
} quantizer;

/* The parameters of eight elements. */
QL_INLINE divisor divisor_of(const quantizer *q, int64_t i) {
    return q->shift == QL_SAME   ? q->one
           : q->shift == QL_EACH ? divisors_at(q->r, i)
                                 : one_divisor(q->r, i >> q->shift);
}

QL_INLINE __m256i zeros_of(const quantizer *q, int64_t i) {
    return q->shift == QL_EACH ? load_i32x8(q->r->zero_point + i)
                               : _mm256_set1_epi32(q->r->zero_point[i >> q->shift]);
}

/* The codes of WIDTH elements, of which the first is number `i`. */
QL_INLINE __m256i codes_of(const float *x, int64_t i, const quantizer *q) {
    __m256i steps_i32x8[4], zero_i16x16[2] = {q->zero_i16x16, q->zero_i16x16};
#pragma GCC unroll 4
    for (int part = 0; part < 4; part++) {
        const divisor by = divisor_of(q, i + 8 * part);
        steps_i32x8[part] = _mm256_cvtps_epi32(divide(_mm256_loadu_ps(x + 8 * part), &by));
    }
    if (q->shift != QL_SAME)
        for (int half = 0; half < 2; half++)
            zero_i16x16[half] =
                _mm256_packs_epi32(zeros_of(q, i + 16 * half), zeros_of(q, i + 16 * half + 8));
    return bytes_of(steps_i32x8, zero_i16x16, q->is_signed);
}

QL_INLINE __m256 nearest_of(const float *x, int64_t i, const quantizer *q) {
    const divisor by = divisor_of(q, i);
    const __m256 scale_f32x8 = q->shift == QL_EACH ? _mm256_loadu_ps(q->r->scale + i)
                                                   : _mm256_set1_ps(q->r->scale[i >> q->shift]);
    __m256 steps_f32x8 = divide(_mm256_loadu_ps(x), &by);
    steps_f32x8 = _mm256_and_ps(steps_f32x8, _mm256_cmp_ps(steps_f32x8, steps_f32x8, _CMP_ORD_Q));
    return _mm256_mul_ps(scale_f32x8, _mm256_cvtepi32_ps(_mm256_cvtps_epi32(steps_f32x8)));
}

/* Whether the last vectors may compute some elements for the second time, which is quicker than an
 * edge. Those of groups must begin where vectors begin. */
QL_INLINE int overlaps(int64_t count, const quantizer *q) {
    return count >= WIDTH && (q->shift == QL_SAME || q->shift == QL_EACH);
}

/* Room for the edge of a run: fewer than WIDTH elements, and parameters for each of them. */
typedef struct {
    float x[WIDTH], reciprocal[WIDTH], rest[WIDTH], low[WIDTH], high[WIDTH], scale[WIDTH];
    int32_t zero_point[WIDTH];
    ql_reciprocals r;
} edge;

QL_INLINE quantizer at_edge(edge *e, const float *x, int64_t i, int64_t count, const quantizer *q) {
    quantizer buffered = *q;
    memset(e, 0, q->shift == QL_SAME ? sizeof e->x : sizeof *e);
    memcpy(e->x, x, (size_t)count * sizeof *x);
    if (q->shift == QL_SAME)
        return buffered;
    for (int64_t j = 0; j < count; j++) {
        const int64_t number = (i + j) >> q->shift;
        e->reciprocal[j] = q->r->reciprocal[number];
        e->rest[j] = q->r->rest[number];
        e->low[j] = q->r->low[number];
        e->high[j] = q->r->high[number];
        e->scale[j] = q->r->scale[number];
        e->zero_point[j] = q->r->zero_point[number];
    }
    e->r = (ql_reciprocals){e->reciprocal, e->rest, e->low, e->high, e->scale, e->zero_point};
    buffered.r = &e->r;
    buffered.shift = QL_EACH;
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
                        int shift, int stream, int is_signed) {
    const quantizer q = {r, shift, is_signed, one_divisor(r, 0),
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
    const int64_t last = count - WIDTH;
    if (i < count && overlaps(count, &q))
        _mm256_storeu_si256((__m256i *)(codes + last), codes_of(x + last, last, &q));
    else if (i < count)
        quantize_edge(x, codes, i, count - i, &q);
    if (stream)
        _mm_sfence();
}

#define DEFINE_QUANTIZE(code, is_signed)                                                           \
    void ql_avx2_quantize_##code(const float *x, void *codes, int64_t count,                       \
                                 const ql_reciprocals *r, int shift, int stream) {                 \
        if (shift == QL_SAME)                                                                      \
            quantize(x, codes, count, r, QL_SAME, stream, is_signed);                              \
        else if (shift == QL_EACH)                                                                 \
            quantize(x, codes, count, r, QL_EACH, stream, is_signed);                              \
        else                                                                                       \
            quantize(x, codes, count, r, shift, 0, is_signed);                                     \
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
                             int shift, int stream) {
    const quantizer q = {.r = r, .shift = shift, .one = one_divisor(r, 0)};
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
    if (i < count && overlaps(count, &q))
        for (int64_t at = count - WIDTH; at < count; at += 8)
            _mm256_storeu_ps(y + at, nearest_of(x + at, at, &q));
    else if (i < count)
        fake_quantize_edge(x, y, i, count - i, &q);
    if (stream)
        _mm_sfence();
}

void ql_avx2_fake_quantize(const float *x, void *y, int64_t count, const ql_reciprocals *r,
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
