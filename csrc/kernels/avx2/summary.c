/* The loops of a summary (../summary.h), compiled for AVX2. */
#include "kernels.h"

#if QL_BUILDS_AVX2

#include "../summary.h"

QL_TARGET_BEGIN_AVX2

QL_DEFINE_HISTOGRAM(ql_avx2_histogram_float, float, fabsf)
QL_DEFINE_HISTOGRAM(ql_avx2_histogram_double, double, fabs)
QL_DEFINE_MOMENTS(ql_avx2_moments)

QL_TARGET_END

#endif
