/* Four vectors of numbers to one of bytes. */
#ifndef QL_NEON_LANES_H
#define QL_NEON_LANES_H

#include "../target.h"

/* The low bytes of 16 numbers. */
QL_INLINE uint8x16_t low_bytes(const int32x4_t numbers_i32x4[4]) {
    const uint16x8_t low_u16x8 = vuzp1q_u16(vreinterpretq_u16_s32(numbers_i32x4[0]),
                                            vreinterpretq_u16_s32(numbers_i32x4[1]));
    const uint16x8_t high_u16x8 = vuzp1q_u16(vreinterpretq_u16_s32(numbers_i32x4[2]),
                                             vreinterpretq_u16_s32(numbers_i32x4[3]));
    return vuzp1q_u8(vreinterpretq_u8_u16(low_u16x8), vreinterpretq_u8_u16(high_u16x8));
}

#endif
