/* The NEON table: one line for each kernel, on top of the portable ones. */
#include "../registry.h"

#if QL_BUILDS_NEON

#include "kernels.h"

void ql_fill_neon(ql_kernels *kernels) {
    kernels->dot = 1;
    kernels->group_step = 2;
    kernels->element_size = 2;
    kernels->small = 2 << 20;
    kernels->tile_rows = 6;
    kernels->tile_strips = 1;
    kernels->tile[0][0] = ql_neon_tile_1;
    kernels->tile[1][0] = ql_neon_tile_2;
    kernels->tile[2][0] = ql_neon_tile_3;
    kernels->tile[3][0] = ql_neon_tile_4;
    kernels->tile[4][0] = ql_neon_tile_5;
    kernels->tile[5][0] = ql_neon_tile_6;
    kernels->load = ql_neon_load;
    kernels->pack_groups = ql_neon_pack_1;
}

#endif
