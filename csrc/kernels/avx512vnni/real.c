/* Layers of float32 (../real.h), compiled for AVX-512. */
#include "kernels.h"

#if QL_BUILDS_AVX512VNNI

QL_TARGET_BEGIN_AVX512VNNI

QL_DEFINE_REAL(avx512vnni)

QL_TARGET_END

#endif
