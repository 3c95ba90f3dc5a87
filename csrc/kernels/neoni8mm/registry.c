/* The table for NEON with products of int8 matrices: on top of NEON with dot products. */
#include "../registry.h"

#if QL_BUILDS_NEONI8MM

#include "../neon/kernels.h"
#include "kernels.h"

void ql_fill_neoni8mm(ql_kernels *kernels) {
    kernels->dot = 8;
    kernels->small = 8 << 20;
    kernels->row_step = 2;
    kernels->tile[0][0] = ql_neoni8mm_tile_1;
    kernels->tile[1][0] = ql_neoni8mm_tile_2;
    kernels->tile[2][0] = ql_neoni8mm_tile_3;
    kernels->tile[3][0] = ql_neoni8mm_tile_4;
    kernels->tile[4][0] = ql_neoni8mm_tile_5;
    kernels->tile[5][0] = ql_neoni8mm_tile_6;
    kernels->direct = ql_neoni8mm_direct;
    kernels->pack_groups = ql_neon_pack_8;
    kernels->pack_columns = ql_neon_pack_columns_8;
}

#endif
