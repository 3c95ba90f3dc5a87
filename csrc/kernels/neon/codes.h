/* Sums of 16 outputs to codes; to be included inside a target region. */
QL_INLINE int16x8_t steps_by(int32x4_t low_i32x4, int32x4_t high_i32x4, float32x4_t low_f32x4,
                             float32x4_t high_f32x4) {
    low_f32x4 = vmulq_f32(vcvtq_f32_s32(low_i32x4), low_f32x4);
    high_f32x4 = vmulq_f32(vcvtq_f32_s32(high_i32x4), high_f32x4);
    return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(low_f32x4)),
                        vqmovn_s32(vcvtnq_s32_f32(high_f32x4)));
}

/* Multipliers of four vectors of sums, one after the other `apart` of them. */
QL_INLINE uint8x16_t codes_by(const ql_codes *codes, const int32x4_t sum_i32x4[4],
                              const float *multiplier, const int64_t apart) {
    const int16x8_t zero_i16x8 = vdupq_n_s16((int16_t)codes->zero_point);
    const int16x8_t low_i16x8 =
        steps_by(sum_i32x4[0], sum_i32x4[1], vld1q_f32(multiplier), vld1q_f32(multiplier + apart));
    const int16x8_t high_i16x8 =
        steps_by(sum_i32x4[2], sum_i32x4[3], vld1q_f32(multiplier + 2 * apart),
                 vld1q_f32(multiplier + 3 * apart));
    uint8x16_t codes_u8x16 = vcombine_u8(vqmovun_s16(vqaddq_s16(low_i16x8, zero_i16x8)),
                                         vqmovun_s16(vqaddq_s16(high_i16x8, zero_i16x8)));
    codes_u8x16 = vmaxq_u8(codes_u8x16, vdupq_n_u8((uint8_t)codes->lower));
    codes_u8x16 = vminq_u8(codes_u8x16, vdupq_n_u8((uint8_t)codes->upper));
    return veorq_u8(codes_u8x16, vdupq_n_u8(codes->flip));
}

/* The first `count` of them, up to 16. */
QL_INLINE void store_first(uint8x16_t codes_u8x16, int64_t count, uint8_t *y) {
    if (count >= QL_STRIP) {
        vst1q_u8(y, codes_u8x16);
        return;
    }
    uint8_t rest[QL_STRIP];
    vst1q_u8(rest, codes_u8x16);
    memcpy(y, rest, (size_t)count);
}

/* Sums of a strip of channels. */
QL_INLINE void store_codes(const ql_codes *codes, const int32x4_t sum_i32x4[4],
                           const float *multiplier, int64_t channels, uint8_t *y) {
    store_first(codes_by(codes, sum_i32x4, multiplier, 4), channels, y);
}

/* Four vectors to one: the first of each, then the second of each, and so on. */
QL_INLINE uint8x16_t woven(uint8x16_t codes_u8x16) {
    static const uint8_t places[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return vqtbl1q_u8(codes_u8x16, vld1q_u8(places));
}
