/* A transposition of 16 rows of bytes for AVX-512: see kernels/transpose.h. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "../transpose.h"

void ql_avx512vnni_transpose_bytes(const uint8_t *const *x, int64_t columns, uint8_t *y,
                                   int64_t y_stride) {
    transpose_bytes(x, columns, y, y_stride);
}

QL_TARGET_END

#endif
