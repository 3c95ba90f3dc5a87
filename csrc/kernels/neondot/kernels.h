/* The kernels for NEON with dot products (sdot). */
#ifndef QL_NEONDOT_KERNELS_H
#define QL_NEONDOT_KERNELS_H

#include "../../core.h"
#include "../target.h"

ql_tile ql_neondot_tile_1, ql_neondot_tile_2, ql_neondot_tile_3, ql_neondot_tile_4,
    ql_neondot_tile_5, ql_neondot_tile_6;
ql_load ql_neondot_load;
ql_sum_row ql_neondot_sum_row;
ql_narrow ql_neondot_narrow;
ql_interleave ql_neondot_interleave;
ql_depthwise ql_neondot_depthwise;
ql_depthwise_codes ql_neondot_depthwise_codes;
ql_depthwise_square ql_neondot_depthwise_square;
ql_channel_sums ql_neondot_channel_sums;
ql_channel_codes ql_neondot_channel_codes;
ql_spread ql_neondot_spread;
ql_grouped ql_neondot_grouped;
ql_direct ql_neondot_direct;

#endif
