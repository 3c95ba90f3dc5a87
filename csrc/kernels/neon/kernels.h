/* The kernels for NEON, which every AArch64 processor has. */
#ifndef QL_NEON_KERNELS_H
#define QL_NEON_KERNELS_H

#include "../../core.h"
#include "../target.h"

ql_tile ql_neon_tile_1, ql_neon_tile_2, ql_neon_tile_3, ql_neon_tile_4, ql_neon_tile_5,
    ql_neon_tile_6;
ql_load ql_neon_load;
/* ql_neon_pack_<dot> */
ql_pack_groups ql_neon_pack_1, ql_neon_pack_4, ql_neon_pack_8;

#endif
