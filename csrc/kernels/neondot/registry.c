/* The table for NEON with dot products: one line for each kernel, on top of NEON. */
#include "../registry.h"

#if QL_BUILDS_NEONDOT

#include "../neon/kernels.h"
#include "kernels.h"

void ql_fill_neondot(ql_kernels *kernels) {
    kernels->dot = 4;
    kernels->group_step = 1;
    kernels->element_size = 1;
    kernels->left_signed = 1;
    kernels->small = 4 << 20;
    kernels->small_depthwise = 512 << 10;
    kernels->tile[0][0] = ql_neondot_tile_1;
    kernels->tile[1][0] = ql_neondot_tile_2;
    kernels->tile[2][0] = ql_neondot_tile_3;
    kernels->tile[3][0] = ql_neondot_tile_4;
    kernels->tile[4][0] = ql_neondot_tile_5;
    kernels->tile[5][0] = ql_neondot_tile_6;
    kernels->load = ql_neondot_load;
    kernels->sum_row = ql_neondot_sum_row;
    kernels->narrow = ql_neondot_narrow;
    kernels->narrow_columns = 4;
    kernels->direct = ql_neondot_direct;
    kernels->direct_rows = 4;
    kernels->pack_groups = ql_neon_pack_4;
    kernels->pack_columns = ql_neon_pack_columns_4;

    kernels->depthwise_rows = 4;
    kernels->depthwise_signed = 1;
    kernels->interleave = ql_neondot_interleave;
    kernels->depthwise = ql_neondot_depthwise;
    kernels->depthwise_codes = ql_neondot_depthwise_codes;
    kernels->depthwise_square = ql_neondot_depthwise_square;
    kernels->channel_sums = ql_neondot_channel_sums;
    kernels->channel_codes = ql_neondot_channel_codes;
    kernels->channel_windows = 0;
    kernels->spread = ql_neondot_spread;
    kernels->grouped = ql_neondot_grouped;
}

#endif
