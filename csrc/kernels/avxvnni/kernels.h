/* The kernels for AVX-VNNI: the byte products of AVX-512 VNNI on the registers of AVX2. */
#ifndef QL_AVXVNNI_KERNELS_H
#define QL_AVXVNNI_KERNELS_H

#include "../../core.h"
#include "../target.h"

ql_tile ql_avxvnni_tile_1, ql_avxvnni_tile_2, ql_avxvnni_tile_3, ql_avxvnni_tile_4,
    ql_avxvnni_tile_5, ql_avxvnni_tile_6;
ql_load ql_avxvnni_load;
ql_sum_row ql_avxvnni_sum_row;
ql_narrow ql_avxvnni_narrow;
ql_direct ql_avxvnni_direct;
ql_pack_groups ql_avxvnni_pack_groups;
ql_pack_columns ql_avxvnni_pack_columns;
ql_interleave ql_avxvnni_interleave;
ql_depthwise ql_avxvnni_depthwise;
ql_depthwise_codes ql_avxvnni_depthwise_codes;
ql_depthwise_square ql_avxvnni_depthwise_square;
ql_channel_sums ql_avxvnni_channel_sums;
ql_channel_codes ql_avxvnni_channel_codes;
ql_spread ql_avxvnni_spread;
ql_grouped ql_avxvnni_grouped;
ql_plane_tile ql_avxvnni_plane_tile;

#endif
