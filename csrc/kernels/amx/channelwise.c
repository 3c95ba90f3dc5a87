/* Depthwise convolution with channels first for processors that have AMX and with it vpermb: see
 * ../avx512vnni/channelwise.h. One permutation moves bytes anywhere; where to, the steps of
 * AVX-512 VNNI tell, when they move the numbers of bytes. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/codes.h"
#include "../avx512vnni/lanes.h"
#include "../avx512vnni/movers.h"

typedef struct {
    __m512i from_u8x64;
} mover;

QL_INLINE __m512i numbers_of_bytes(void) {
    _Alignas(64) uint8_t number[64];
    for (int i = 0; i < 64; i++)
        number[i] = (uint8_t)i;
    return _mm512_load_si512(number);
}

QL_INLINE mover mover_of_lines(const ql_regrouping *regrouping) {
    const steps_mover steps = steps_for_lines(regrouping);
    return (mover){
        move_lines_in_steps(&steps, _mm512_setzero_si512(), ~(__mmask64)0, numbers_of_bytes())};
}

QL_INLINE mover mover_of_codes(const int step, const ql_regrouping *regrouping) {
    const steps_mover steps = steps_for_codes(step, regrouping);
    return (mover){move_codes_in_steps(step, regrouping != NULL, &steps, numbers_of_bytes())};
}

QL_INLINE __m512i move_lines(const mover *m, __m512i zero_u8x64, __mmask64 kept,
                             __m512i lines_u8x64) {
    return _mm512_mask_permutexvar_epi8(zero_u8x64, kept, m->from_u8x64, lines_u8x64);
}

QL_INLINE __m512i move_codes(const int step, const int gathers, const mover *m,
                             __m512i codes_u8x64) {
    (void)step, (void)gathers;
    return _mm512_permutexvar_epi8(m->from_u8x64, codes_u8x64);
}

#include "../avx512vnni/channelwise.h"

void ql_amx_spread(const ql_spreading *spreading) {
    spread_planes(spreading);
}

void ql_amx_channel_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                          int64_t y_step) {
    make_codes(channels, codes, y, y_step);
}

QL_TARGET_END

#endif
