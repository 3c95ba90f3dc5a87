/* The AVX2 table: one line for each kernel, on top of the portable ones. */
#include "../registry.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

void ql_fill_avx2(ql_kernels *kernels) {
    kernels->multiply_quantize[0] = ql_avx2_quantize_int8;
    kernels->multiply_quantize[1] = ql_avx2_quantize_uint8;
    kernels->multiply_fake_quantize = ql_avx2_fake_quantize;
    kernels->dequantize[QL_FLOAT32][0] = ql_avx2_dequantize_int8_float;
    kernels->dequantize[QL_FLOAT32][1] = ql_avx2_dequantize_uint8_float;
    kernels->stream_dequantize[0] = ql_avx2_stream_dequantize_int8_float;
    kernels->stream_dequantize[1] = ql_avx2_stream_dequantize_uint8_float;
    kernels->min_max[QL_FLOAT32] = ql_avx2_min_max_float;
    kernels->tally[QL_FLOAT32] = ql_avx2_tally_float;
    kernels->tally[QL_FLOAT64] = ql_avx2_tally_double;

    kernels->dot = 2;
    kernels->element_size = 2;
    kernels->small = 1 << 20;
    kernels->small_depthwise = 128 << 10;
    kernels->tile_rows = 6;
    kernels->tile_strips = 1;
    kernels->tile[0][0] = ql_avx2_tile_1;
    kernels->tile[1][0] = ql_avx2_tile_2;
    kernels->tile[2][0] = ql_avx2_tile_3;
    kernels->tile[3][0] = ql_avx2_tile_4;
    kernels->tile[4][0] = ql_avx2_tile_5;
    kernels->tile[5][0] = ql_avx2_tile_6;
    kernels->load = ql_avx2_load;
    kernels->pack_groups = ql_avx2_pack_groups;
    kernels->sum_row = ql_avx2_sum_row;
    kernels->correct = ql_avx2_correct;
    kernels->narrow = ql_avx2_narrow;
    kernels->narrow_columns = 4;
    kernels->direct = ql_avx2_direct;
    kernels->direct_rows = 4;
    kernels->pack_columns = ql_avx2_pack_columns;
    kernels->requantize = ql_avx2_requantize;
    kernels->requantize_sum = ql_avx2_requantize_sum;
    kernels->rescale = ql_avx2_rescale;
    kernels->transpose_bytes = ql_avx2_transpose_bytes;
    kernels->weave_bytes = ql_avx2_weave_bytes;

    kernels->depthwise_lanes = 2;
    kernels->interleave = ql_avx2_interleave;
    kernels->depthwise = ql_avx2_depthwise;
    kernels->depthwise_codes = ql_avx2_depthwise_codes;
    kernels->depthwise_square = ql_avx2_depthwise_square;
    kernels->channel_sums = ql_avx2_channel_sums;
    kernels->channel_codes = ql_avx2_channel_codes;
    kernels->channel_results = 64;
    kernels->channel_windows = 6;
    kernels->spread = ql_avx2_spread;
    kernels->grouped = ql_avx2_grouped;

    kernels->plane_tile = ql_avx2_plane_tile;
    kernels->plane_depth = 192;
    kernels->interleave_planes = ql_avx2_interleave_planes;
    kernels->plane_codes = ql_avx2_plane_codes;

    kernels->add = ql_avx2_add;
    kernels->multiply = ql_avx2_multiply;
    kernels->look_up = ql_avx2_look_up;
    kernels->max[0] = ql_avx2_max_uint8;
    kernels->max[1] = ql_avx2_max_int8;
    kernels->sum = ql_avx2_sum;
    kernels->total = ql_avx2_total;
    kernels->average = ql_avx2_average;
    kernels->double_rows = ql_avx2_double_rows;
    QL_REGISTER_REAL(kernels, avx2);
}

#endif
