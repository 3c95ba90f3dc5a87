/* What values add to a summary (../summary.h), compiled for plain C. */
#include "kernels.h"

#include "../summary.h"

QL_DEFINE_FLOAT_TALLY(ql_portable_tally_float)
QL_DEFINE_DOUBLE_TALLY(ql_portable_tally_double)
