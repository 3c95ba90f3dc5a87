/* A few rows times a right operand as it lies, for NEON with products of int8 matrices: those of
 * NEON with dot products, which take half a group at a time. Making groups of eight rows would take
 * one more level of zip, and memory sets the pace. */
#include "../target.h"

#if QL_BUILDS_NEONI8MM

#include "../neondot/kernels.h"
#include "kernels.h"

void ql_neoni8mm_direct(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t groups,
                        const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t b_flip,
                        int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    ql_neondot_direct(a, a_stride, rows, 2 * groups, b, b_stride, columns, b_flip, sums,
                      sums_stride, column_sums);
}

#endif
