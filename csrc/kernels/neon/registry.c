/* The NEON table: one line for each kernel, on top of the portable ones. */
#include "../registry.h"

#if QL_BUILDS_NEON

#include "kernels.h"

void ql_fill_neon(ql_kernels *kernels) {
    kernels->multiply_quantize[0] = ql_neon_quantize;
    kernels->multiply_quantize[1] = ql_neon_quantize;
    kernels->multiply_fake_quantize = ql_neon_fake_quantize;
    kernels->dequantize[QL_FLOAT32][0] = ql_neon_dequantize_int8_float;
    kernels->dequantize[QL_FLOAT32][1] = ql_neon_dequantize_uint8_float;
    kernels->min_max[QL_FLOAT32] = ql_neon_min_max_float;

    kernels->group_step = 2;
    kernels->element_size = 2;
    kernels->small = 2 << 20;
    kernels->small_depthwise = 256 << 10;
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
    kernels->pack_columns = ql_neon_pack_columns_1;
    kernels->requantize = ql_neon_requantize;
    kernels->requantize_sum = ql_neon_requantize_sum;
    kernels->rescale = ql_neon_rescale;
    kernels->transpose_bytes = ql_neon_transpose_bytes;

    kernels->interleave = ql_neon_interleave;
    kernels->depthwise = ql_neon_depthwise;
    kernels->depthwise_codes = ql_neon_depthwise_codes;
    kernels->depthwise_square = ql_neon_depthwise_square;
    kernels->channel_sums = ql_neon_channel_sums;
    kernels->channel_codes = ql_neon_channel_codes;
    kernels->channel_results = 64;
    kernels->channel_windows = 6;
    kernels->spread = ql_neon_spread;
    kernels->grouped = ql_neon_grouped;

    kernels->add = ql_neon_add;
    kernels->multiply = ql_neon_multiply;
    kernels->look_up = ql_neon_look_up;
    kernels->max[0] = ql_neon_max_uint8;
    kernels->max[1] = ql_neon_max_int8;
    kernels->sum = ql_neon_sum;
    kernels->total = ql_neon_total;
    kernels->average = ql_neon_average;
    kernels->double_rows = ql_neon_double_rows;
}

#endif
