/* The kernels for NEON with products of int8 matrices (smmla). */
#ifndef QL_NEONI8MM_KERNELS_H
#define QL_NEONI8MM_KERNELS_H

#include "../../core.h"
#include "../target.h"

ql_tile ql_neoni8mm_tile_1, ql_neoni8mm_tile_2, ql_neoni8mm_tile_3, ql_neoni8mm_tile_4,
    ql_neoni8mm_tile_5, ql_neoni8mm_tile_6;
ql_direct ql_neoni8mm_direct;

#endif
