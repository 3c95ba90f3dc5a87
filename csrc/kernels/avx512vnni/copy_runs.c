/* Copies of short runs, such as the channels of pixels, for AVX-512: a masked load and store each,
 * of no more bytes than it takes, because one that crosses a cache line costs twice. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

void ql_avx512vnni_copy_runs(char *to, int64_t to_step, const char *from, int64_t from_step,
                             int64_t runs, int64_t bytes) {
    const int64_t whole = bytes & -64;
    const __mmask64 rest = first_bytes(bytes - whole);
    if (bytes <= 16)
        for (; runs > 0; runs--, to += to_step, from += from_step)
            _mm_mask_storeu_epi8(to, (__mmask16)rest, _mm_maskz_loadu_epi8((__mmask16)rest, from));
    else if (bytes <= 32)
        for (; runs > 0; runs--, to += to_step, from += from_step)
            _mm256_mask_storeu_epi8(to, (__mmask32)rest,
                                    _mm256_maskz_loadu_epi8((__mmask32)rest, from));
    else if (bytes == 64)
        for (; runs > 0; runs--, to += to_step, from += from_step)
            _mm512_storeu_si512(to, _mm512_loadu_si512(from));
    else
        for (; runs > 0; runs--, to += to_step, from += from_step) {
            for (int64_t at = 0; at < whole; at += 64)
                _mm512_storeu_si512(to + at, _mm512_loadu_si512(from + at));
            if (rest)
                _mm512_mask_storeu_epi8(to + whole, rest,
                                        _mm512_maskz_loadu_epi8(rest, from + whole));
        }
}

QL_TARGET_END

#endif
