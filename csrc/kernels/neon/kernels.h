/* The kernels for NEON, which every AArch64 processor has. */
#ifndef QL_NEON_KERNELS_H
#define QL_NEON_KERNELS_H

#include "../../core.h"
#include "../target.h"

ql_multiply_run ql_neon_quantize, ql_neon_fake_quantize;
ql_dequantize_run ql_neon_dequantize_int8_float, ql_neon_dequantize_uint8_float;
ql_min_max_run ql_neon_min_max_float;
ql_tile ql_neon_tile_1, ql_neon_tile_2, ql_neon_tile_3, ql_neon_tile_4, ql_neon_tile_5,
    ql_neon_tile_6;
ql_load ql_neon_load;
/* ql_neon_pack_<dot>, ql_neon_pack_columns_<dot> */
ql_pack_groups ql_neon_pack_1, ql_neon_pack_4, ql_neon_pack_8;
ql_pack_columns ql_neon_pack_columns_1, ql_neon_pack_columns_4, ql_neon_pack_columns_8;
ql_requantize_tile ql_neon_requantize;
ql_requantize_sum_tile ql_neon_requantize_sum;
ql_rescale_tile ql_neon_rescale;
ql_transpose_bytes ql_neon_transpose_bytes;
ql_interleave ql_neon_interleave;
ql_depthwise ql_neon_depthwise;
ql_depthwise_codes ql_neon_depthwise_codes;
ql_depthwise_square ql_neon_depthwise_square;
ql_channel_sums ql_neon_channel_sums;
ql_channel_codes ql_neon_channel_codes;
ql_spread ql_neon_spread;
ql_grouped ql_neon_grouped;
ql_blend_run ql_neon_add, ql_neon_multiply;
ql_look_up_run ql_neon_look_up;
ql_max_run ql_neon_max_uint8, ql_neon_max_int8;
ql_sum_run ql_neon_sum;
ql_total ql_neon_total;
ql_average_run ql_neon_average;
ql_double_rows ql_neon_double_rows;

#endif
