/* The kernels for AVX2. */
#ifndef QL_AVX2_KERNELS_H
#define QL_AVX2_KERNELS_H

#include "../../core.h"
#include "../real.h"
#include "../target.h"

ql_multiply_run ql_avx2_quantize_int8, ql_avx2_quantize_uint8, ql_avx2_fake_quantize;
ql_dequantize_run ql_avx2_dequantize_int8_float, ql_avx2_dequantize_uint8_float,
    ql_avx2_stream_dequantize_int8_float, ql_avx2_stream_dequantize_uint8_float;
ql_min_max_run ql_avx2_min_max_float;
ql_tally_run ql_avx2_tally_float, ql_avx2_tally_double;
ql_tile ql_avx2_tile_1, ql_avx2_tile_2, ql_avx2_tile_3, ql_avx2_tile_4, ql_avx2_tile_5,
    ql_avx2_tile_6;
ql_load ql_avx2_load;
ql_pack_groups ql_avx2_pack_groups;
ql_sum_row ql_avx2_sum_row;
ql_correct_tile ql_avx2_correct;
ql_narrow ql_avx2_narrow;
ql_direct ql_avx2_direct;
ql_pack_columns ql_avx2_pack_columns;
ql_requantize_tile ql_avx2_requantize;
ql_requantize_sum_tile ql_avx2_requantize_sum;
ql_rescale_tile ql_avx2_rescale;
ql_transpose_bytes ql_avx2_transpose_bytes;
ql_weave_bytes ql_avx2_weave_bytes;
ql_interleave ql_avx2_interleave;
ql_depthwise ql_avx2_depthwise;
ql_depthwise_codes ql_avx2_depthwise_codes;
ql_depthwise_square ql_avx2_depthwise_square;
ql_channel_sums ql_avx2_channel_sums;
ql_channel_codes ql_avx2_channel_codes;
ql_spread ql_avx2_spread;
ql_grouped ql_avx2_grouped;
ql_plane_tile ql_avx2_plane_tile;
ql_interleave_planes ql_avx2_interleave_planes;
ql_plane_codes ql_avx2_plane_codes;
ql_blend_run ql_avx2_add, ql_avx2_multiply;
ql_look_up_run ql_avx2_look_up;
ql_max_run ql_avx2_max_uint8, ql_avx2_max_int8;
ql_sum_run ql_avx2_sum;
ql_total ql_avx2_total;
ql_average_run ql_avx2_average;
ql_double_rows ql_avx2_double_rows;
QL_DECLARE_REAL(avx2);

#endif
