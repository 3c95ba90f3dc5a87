/* Sums and products of quantized operands for AVX-512: the operations of
 * kernels/portable/elementwise.c, 64 elements at a time.
 *
 * A shuffle that puts four bytes of each lane below 0x4B0000 makes the floats 2**23 + n of the
 * numbers n without a conversion; subtracting 2**23 plus the zero point is exact. Both packs bring
 * the bytes of a lane back together and saturate. What is beyond int32 would come out negative, so
 * that such factors keep an upper bound in float32. 42 instructions for 64 sums, on two ports. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

typedef struct {
    __m512 steps_f32x16[4];
} quarters;

QL_INLINE quarters steps_of(__m512i numbers_u8x64, float zero) {
    const __m512 zero_f32x16 = _mm512_set1_ps(8388608.0f + zero);
    const __m512i exponent_u32x16 = _mm512_set1_epi32(0x4B000000);
    const __m512i first_u8x64 = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 1, 2, 3));
    quarters q;
    for (int part = 0; part < 4; part++) {
        const __m512i index_u8x64 =
            _mm512_add_epi8(first_u8x64, _mm512_set1_epi8((char)(4 * part)));
        const __m512i bits_u32x16 = _mm512_mask_shuffle_epi8(exponent_u32x16, 0x1111111111111111,
                                                             numbers_u8x64, index_u8x64);
        q.steps_f32x16[part] = _mm512_sub_ps(_mm512_castsi512_ps(bits_u32x16), zero_f32x16);
    }
    return q;
}

QL_INLINE __m512i codes_of(quarters q, const ql_blend *m) {
    const __m512 high_f32x16 = _mm512_set1_ps((float)(m->upper - m->y_zero));
    __m512i rounded[4];
    if (!m->is_tame)
        for (int part = 0; part < 4; part++)
            q.steps_f32x16[part] = _mm512_min_ps(q.steps_f32x16[part], high_f32x16);
    for (int part = 0; part < 4; part++)
        rounded[part] = _mm512_cvtps_epi32(q.steps_f32x16[part]);
    const __m512i zero_i16x32 = _mm512_set1_epi16((int16_t)m->y_zero);
    const __m512i first_i16x32 = _mm512_packs_epi32(rounded[0], rounded[1]);
    const __m512i second_i16x32 = _mm512_packs_epi32(rounded[2], rounded[3]);
    __m512i codes_u8x64 = _mm512_packus_epi16(_mm512_adds_epi16(first_i16x32, zero_i16x32),
                                              _mm512_adds_epi16(second_i16x32, zero_i16x32));
    codes_u8x64 = _mm512_max_epu8(codes_u8x64, _mm512_set1_epi8((char)m->lower));
    codes_u8x64 = _mm512_min_epu8(codes_u8x64, _mm512_set1_epi8((char)m->upper));
    return _mm512_xor_si512(codes_u8x64, _mm512_set1_epi8((char)m->y_flip));
}

QL_INLINE __m512 sum_of(__m512 a_f32x16, __m512 b_f32x16, const ql_blend *m) {
    return _mm512_add_ps(_mm512_mul_ps(a_f32x16, _mm512_set1_ps(m->a_factor)),
                         _mm512_mul_ps(b_f32x16, _mm512_set1_ps(m->b_factor)));
}

QL_INLINE __m512 product_of(__m512 a_f32x16, __m512 b_f32x16, const ql_blend *m) {
    return _mm512_mul_ps(_mm512_mul_ps(a_f32x16, b_f32x16), _mm512_set1_ps(m->a_factor));
}

QL_INLINE __m512i load(const uint8_t *bytes, __mmask64 mask, uint8_t flip) {
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, bytes), _mm512_set1_epi8((char)flip));
}

#define DEFINE_BLEND(name, of)                                                                     \
    void ql_avx512vnni_##name(const uint8_t *a, const uint8_t *b, int b_step, uint8_t *y,          \
                              int64_t count, const ql_blend *blend) {                              \
        const ql_blend m = *blend;                                                                 \
        quarters right = steps_of(_mm512_set1_epi8((char)(b[0] ^ m.b_flip)), m.b_zero);            \
        for (int64_t i = 0; i < count; i += 64) {                                                  \
            const __mmask64 mask = first_bytes(count - i);                                         \
            quarters left = steps_of(load(a + i, mask, m.a_flip), m.a_zero);                       \
            if (b_step)                                                                            \
                right = steps_of(load(b + i, mask, m.b_flip), m.b_zero);                           \
            for (int part = 0; part < 4; part++)                                                   \
                left.steps_f32x16[part] =                                                          \
                    of(left.steps_f32x16[part], right.steps_f32x16[part], &m);                     \
            _mm512_mask_storeu_epi8(y + i, mask, codes_of(left, &m));                              \
        }                                                                                          \
    }

DEFINE_BLEND(add, sum_of)
DEFINE_BLEND(multiply, product_of)

QL_TARGET_END

#endif
