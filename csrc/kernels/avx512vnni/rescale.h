/* Sums to reals, row by row: the operations of kernels/portable/finish.c in the same order. To be
 * included inside a target region, after lanes.h. */

/* Two vectors of columns, as wide as a tile: what belongs to columns stays in registers for all its
 * rows. */
typedef struct {
    __mmask16 mask[2];
    __m512 multiplier_f32x16[2], bias_f32x16[2], lower_f32x16, upper_f32x16;
} rescaler;

QL_INLINE rescaler rescaler_of(const float *multiplier, const float *bias, float lower, float upper,
                               int64_t columns) {
    rescaler r = {.mask = {first(columns), first(columns - 16)},
                  .lower_f32x16 = _mm512_set1_ps(lower),
                  .upper_f32x16 = _mm512_set1_ps(upper)};
    for (int half = 0; half < 2; half++) {
        r.multiplier_f32x16[half] = _mm512_maskz_loadu_ps(r.mask[half], multiplier + 16 * half);
        /* -0 is what changes nothing when it is added, not even the sign of a zero. */
        r.bias_f32x16[half] = bias == NULL ? _mm512_set1_ps(-0.0f)
                                           : _mm512_maskz_loadu_ps(r.mask[half], bias + 16 * half);
    }
    return r;
}

QL_INLINE void rescale_row(const rescaler *r, const __m512i sums_i32x16[2], float factor,
                           int past_caches, float *y) {
    const __m512 factor_f32x16 = _mm512_set1_ps(factor);
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        __m512 value_f32x16 = _mm512_cvtepi32_ps(sums_i32x16[half]);
        value_f32x16 =
            _mm512_mul_ps(value_f32x16, _mm512_mul_ps(factor_f32x16, r->multiplier_f32x16[half]));
        value_f32x16 = _mm512_add_ps(value_f32x16, r->bias_f32x16[half]);
        value_f32x16 = _mm512_min_ps(_mm512_max_ps(value_f32x16, r->lower_f32x16), r->upper_f32x16);
        if (past_caches)
            _mm512_stream_ps(y + 16 * half, value_f32x16);
        else
            _mm512_mask_storeu_ps(y + 16 * half, r->mask[half], value_f32x16);
    }
}
