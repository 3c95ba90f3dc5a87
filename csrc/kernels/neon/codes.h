/* Sums of a strip to codes, which are stored; to be included inside a target region. */
QL_INLINE int16x8_t steps_of(int32x4_t low_i32x4, int32x4_t high_i32x4, const float *multiplier) {
    const float32x4_t low_f32x4 = vmulq_f32(vcvtq_f32_s32(low_i32x4), vld1q_f32(multiplier));
    const float32x4_t high_f32x4 = vmulq_f32(vcvtq_f32_s32(high_i32x4), vld1q_f32(multiplier + 4));
    return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(low_f32x4)),
                        vqmovn_s32(vcvtnq_s32_f32(high_f32x4)));
}

QL_INLINE void store_codes(const ql_codes *codes, const int32x4_t sum_i32x4[4],
                           const float *multiplier, int64_t channels, uint8_t *y) {
    const int16x8_t zero_i16x8 = vdupq_n_s16((int16_t)codes->zero_point);
    const int16x8_t low_i16x8 = steps_of(sum_i32x4[0], sum_i32x4[1], multiplier);
    const int16x8_t high_i16x8 = steps_of(sum_i32x4[2], sum_i32x4[3], multiplier + 8);
    uint8x16_t codes_u8x16 = vcombine_u8(vqmovun_s16(vqaddq_s16(low_i16x8, zero_i16x8)),
                                         vqmovun_s16(vqaddq_s16(high_i16x8, zero_i16x8)));
    codes_u8x16 = vmaxq_u8(codes_u8x16, vdupq_n_u8((uint8_t)codes->lower));
    codes_u8x16 = vminq_u8(codes_u8x16, vdupq_n_u8((uint8_t)codes->upper));
    codes_u8x16 = veorq_u8(codes_u8x16, vdupq_n_u8(codes->flip));
    if (channels >= QL_STRIP) {
        vst1q_u8(y, codes_u8x16);
        return;
    }
    uint8_t rest[QL_STRIP];
    vst1q_u8(rest, codes_u8x16);
    memcpy(y, rest, (size_t)channels);
}
