/* Layers of float32 (../real.h), compiled for AVX2. */
#include "kernels.h"

#if QL_BUILDS_AVX2

QL_TARGET_BEGIN_AVX2

QL_DEFINE_REAL(avx2)

QL_TARGET_END

#endif
