/* The loops of a summary (../summary.h), compiled for plain C. */
#include "kernels.h"

#include "../summary.h"

QL_DEFINE_HISTOGRAM(ql_portable_histogram_float, float, fabsf)
QL_DEFINE_HISTOGRAM(ql_portable_histogram_double, double, fabs)
QL_DEFINE_MOMENTS(ql_portable_moments)
