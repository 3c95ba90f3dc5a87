/* The loops of a summary (../summary.h), compiled for AVX-512. */
#include "kernels.h"

#if QL_BUILDS_AVX512VNNI

#include "../summary.h"

QL_TARGET_BEGIN_AVX512VNNI

QL_DEFINE_HISTOGRAM(ql_avx512vnni_histogram_float, float, fabsf)
QL_DEFINE_HISTOGRAM(ql_avx512vnni_histogram_double, double, fabs)
QL_DEFINE_MOMENTS(ql_avx512vnni_moments)

QL_TARGET_END

#endif
