/* What values add to a summary (../summary.h), compiled for AVX2. */
#include "kernels.h"

#if QL_BUILDS_AVX2

#include "../summary.h"

QL_TARGET_BEGIN_AVX2

QL_DEFINE_FLOAT_TALLY(ql_avx2_tally_float)
QL_DEFINE_DOUBLE_TALLY(ql_avx2_tally_double)

QL_TARGET_END

#endif
