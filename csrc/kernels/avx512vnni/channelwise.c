/* Depthwise convolution with channels first for AVX-512 with VNNI: see channelwise.h. Bytes move in
 * steps: one for codes in the order of a line, one more where lines share a vector, and where the
 * step of outputs is 2, one more for each. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "codes.h"
#include "lanes.h"
#include "movers.h"

typedef steps_mover mover;

QL_INLINE mover mover_of_lines(const ql_regrouping *regrouping) {
    return steps_for_lines(regrouping);
}

QL_INLINE mover mover_of_codes(const int step, const ql_regrouping *regrouping) {
    return steps_for_codes(step, regrouping);
}

QL_INLINE __m512i move_lines(const mover *m, __m512i zero_u8x64, __mmask64 kept,
                             __m512i lines_u8x64) {
    return move_lines_in_steps(m, zero_u8x64, kept, lines_u8x64);
}

QL_INLINE __m512i move_codes(const int step, const int gathers, const mover *m,
                             __m512i codes_u8x64) {
    return move_codes_in_steps(step, gathers, m, codes_u8x64);
}

#include "channelwise.h"

void ql_avx512vnni_spread(const ql_spreading *spreading) {
    spread_planes(spreading);
}

void ql_avx512vnni_channel_sums(const ql_channels *channels, int32_t *sums) {
    sum_channels(channels, sums);
}

void ql_avx512vnni_channel_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                                 int64_t y_step) {
    make_codes(channels, codes, y, y_step);
}

QL_TARGET_END

#endif
