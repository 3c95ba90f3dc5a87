/* Every instruction set that quantlib has kernels for: one line each here, one line for each kernel
 * in its registry.c. */
#ifndef QL_REGISTRY_H
#define QL_REGISTRY_H

#include "../core.h"
#include "target.h"

void ql_fill_portable(ql_kernels *kernels);
#if QL_BUILDS_AVX2
void ql_fill_avx2(ql_kernels *kernels);
#endif
#if QL_BUILDS_AVXVNNI
void ql_fill_avxvnni(ql_kernels *kernels);
#endif
#if QL_BUILDS_AVX512VNNI
void ql_fill_avx512vnni(ql_kernels *kernels);
#endif
#if QL_BUILDS_AMX
void ql_fill_amx(ql_kernels *kernels);
#endif
#if QL_BUILDS_NEON
void ql_fill_neon(ql_kernels *kernels);
#endif
#if QL_BUILDS_NEONDOT
void ql_fill_neondot(ql_kernels *kernels);
#endif
#if QL_BUILDS_NEONI8MM
void ql_fill_neoni8mm(ql_kernels *kernels);
#endif

#endif
