/* A table of 256 bytes for NEON: in 16 registers, of which an instruction looks up in four; bytes
 * that these have no entry for leave what the ones before have found. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"

void ql_neon_look_up(const uint8_t *x, const uint8_t *table, uint8_t *y, int64_t count) {
    const uint8x16_t quarter_u8x16 = vdupq_n_u8(64);
    uint8x16x4_t parts_u8x64[4];
    for (int part = 0; part < 4; part++)
        for (int i = 0; i < 4; i++)
            parts_u8x64[part].val[i] = vld1q_u8(table + 64 * part + 16 * i);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        uint8x16_t index_u8x16 = vld1q_u8(x + i);
        uint8x16_t found_u8x16 = vqtbl4q_u8(parts_u8x64[0], index_u8x16);
        for (int part = 1; part < 4; part++) {
            index_u8x16 = vsubq_u8(index_u8x16, quarter_u8x16);
            found_u8x16 = vqtbx4q_u8(found_u8x16, parts_u8x64[part], index_u8x16);
        }
        vst1q_u8(y + i, found_u8x16);
    }
    if (i < count)
        ql_portable_look_up(x + i, table, y + i, count - i);
}

#endif
