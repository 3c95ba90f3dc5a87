/* The AVX-VNNI table: products of bytes, on top of AVX2. */
#include "../registry.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

void ql_fill_avxvnni(ql_kernels *kernels) {
    kernels->dot = 4;
    kernels->element_size = 1;
    kernels->small = 2 << 20;
    kernels->small_depthwise = 256 << 10;
    kernels->tile[0][0] = ql_avxvnni_tile_1;
    kernels->tile[1][0] = ql_avxvnni_tile_2;
    kernels->tile[2][0] = ql_avxvnni_tile_3;
    kernels->tile[3][0] = ql_avxvnni_tile_4;
    kernels->tile[4][0] = ql_avxvnni_tile_5;
    kernels->tile[5][0] = ql_avxvnni_tile_6;
    kernels->load = ql_avxvnni_load;
    kernels->sum_row = ql_avxvnni_sum_row;
    kernels->narrow = ql_avxvnni_narrow;
    kernels->direct = ql_avxvnni_direct;
    kernels->pack_groups = ql_avxvnni_pack_groups;
    kernels->pack_columns = ql_avxvnni_pack_columns;

    kernels->depthwise_rows = 4;
    kernels->interleave = ql_avxvnni_interleave;
    kernels->depthwise = ql_avxvnni_depthwise;
    kernels->depthwise_codes = ql_avxvnni_depthwise_codes;
    kernels->depthwise_square = ql_avxvnni_depthwise_square;
    kernels->channel_sums = ql_avxvnni_channel_sums;
    kernels->channel_codes = ql_avxvnni_channel_codes;
    kernels->channel_windows = 0;
    kernels->spread = ql_avxvnni_spread;
    kernels->grouped = ql_avxvnni_grouped;
    kernels->plane_tile = ql_avxvnni_plane_tile;
    kernels->plane_depth = 576;
}

#endif
