/* Layers of float32 (../real.h), compiled for plain C. */
#include "kernels.h"

QL_DEFINE_REAL(portable)
