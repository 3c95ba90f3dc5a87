/* Sums and products of quantized operands for AVX2: see kernels/avx512vnni/elementwise.c, of which
 * this is the half, 32 elements at a time. Without masked shuffles, interleaving bytes with zeros
 * and then with 0x4B00 makes the floats. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

typedef struct {
    __m256 steps_f32x8[4];
} quarters;

QL_INLINE quarters steps_of(__m256i numbers_u8x32, float zero) {
    const __m256 zero_f32x8 = _mm256_set1_ps(8388608.0f + zero);
    const __m256i none = _mm256_setzero_si256(), exponent_u16x16 = _mm256_set1_epi16(0x4B00);
    const __m256i low_u16x16 = _mm256_unpacklo_epi8(numbers_u8x32, none);
    const __m256i high_u16x16 = _mm256_unpackhi_epi8(numbers_u8x32, none);
    const __m256i bits[4] = {_mm256_unpacklo_epi16(low_u16x16, exponent_u16x16),
                             _mm256_unpackhi_epi16(low_u16x16, exponent_u16x16),
                             _mm256_unpacklo_epi16(high_u16x16, exponent_u16x16),
                             _mm256_unpackhi_epi16(high_u16x16, exponent_u16x16)};
    quarters q;
    for (int part = 0; part < 4; part++)
        q.steps_f32x8[part] = _mm256_sub_ps(_mm256_castsi256_ps(bits[part]), zero_f32x8);
    return q;
}

QL_INLINE __m256i codes_of(quarters q, const ql_blend *m) {
    const __m256 high_f32x8 = _mm256_set1_ps((float)(m->upper - m->y_zero));
    __m256i rounded[4];
    if (!m->is_tame)
        for (int part = 0; part < 4; part++)
            q.steps_f32x8[part] = _mm256_min_ps(q.steps_f32x8[part], high_f32x8);
    for (int part = 0; part < 4; part++)
        rounded[part] = _mm256_cvtps_epi32(q.steps_f32x8[part]);
    const __m256i zero_i16x16 = _mm256_set1_epi16((int16_t)m->y_zero);
    const __m256i first_i16x16 = _mm256_packs_epi32(rounded[0], rounded[1]);
    const __m256i second_i16x16 = _mm256_packs_epi32(rounded[2], rounded[3]);
    __m256i codes_u8x32 = _mm256_packus_epi16(_mm256_adds_epi16(first_i16x16, zero_i16x16),
                                              _mm256_adds_epi16(second_i16x16, zero_i16x16));
    codes_u8x32 = _mm256_max_epu8(codes_u8x32, _mm256_set1_epi8((char)m->lower));
    codes_u8x32 = _mm256_min_epu8(codes_u8x32, _mm256_set1_epi8((char)m->upper));
    return _mm256_xor_si256(codes_u8x32, _mm256_set1_epi8((char)m->y_flip));
}

QL_INLINE __m256 sum_of(__m256 a_f32x8, __m256 b_f32x8, const ql_blend *m) {
    return _mm256_add_ps(_mm256_mul_ps(a_f32x8, _mm256_set1_ps(m->a_factor)),
                         _mm256_mul_ps(b_f32x8, _mm256_set1_ps(m->b_factor)));
}

QL_INLINE __m256 product_of(__m256 a_f32x8, __m256 b_f32x8, const ql_blend *m) {
    return _mm256_mul_ps(_mm256_mul_ps(a_f32x8, b_f32x8), _mm256_set1_ps(m->a_factor));
}

QL_INLINE __m256i load(const uint8_t *bytes, uint8_t flip) {
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)bytes),
                            _mm256_set1_epi8((char)flip));
}

#define DEFINE_BLEND(name, of)                                                                     \
    void ql_avx2_##name(const uint8_t *a, const uint8_t *b, int b_step, uint8_t *y, int64_t count, \
                        const ql_blend *blend) {                                                   \
        const ql_blend m = *blend;                                                                 \
        quarters right = steps_of(_mm256_set1_epi8((char)(b[0] ^ m.b_flip)), m.b_zero);            \
        int64_t i = 0;                                                                             \
        for (; i + 32 <= count; i += 32) {                                                         \
            quarters left = steps_of(load(a + i, m.a_flip), m.a_zero);                             \
            if (b_step)                                                                            \
                right = steps_of(load(b + i, m.b_flip), m.b_zero);                                 \
            for (int part = 0; part < 4; part++)                                                   \
                left.steps_f32x8[part] = of(left.steps_f32x8[part], right.steps_f32x8[part], &m);  \
            _mm256_storeu_si256((__m256i *)(y + i), codes_of(left, &m));                           \
        }                                                                                          \
        if (i < count)                                                                             \
            ql_portable_##name(a + i, b + (b_step ? i : 0), b_step, y + i, count - i, blend);      \
    }

DEFINE_BLEND(add, sum_of)
DEFINE_BLEND(multiply, product_of)

QL_TARGET_END

#endif
