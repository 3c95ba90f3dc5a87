/* The kernels for AVX-512 with VNNI. */
#ifndef QL_AVX512VNNI_KERNELS_H
#define QL_AVX512VNNI_KERNELS_H

#include "../../core.h"
#include "../real.h"
#include "../target.h"

ql_multiply_run ql_avx512vnni_quantize_int8, ql_avx512vnni_quantize_uint8,
    ql_avx512vnni_fake_quantize;
ql_dequantize_run ql_avx512vnni_dequantize_int8_float, ql_avx512vnni_dequantize_uint8_float,
    ql_avx512vnni_stream_dequantize_int8_float, ql_avx512vnni_stream_dequantize_uint8_float;
ql_min_max_run ql_avx512vnni_min_max_float;
ql_tally_run ql_avx512vnni_tally_float, ql_avx512vnni_tally_double;
/* ql_avx512vnni_tile_<rows>x<strips> */
ql_tile ql_avx512vnni_tile_1x1, ql_avx512vnni_tile_2x1, ql_avx512vnni_tile_3x1,
    ql_avx512vnni_tile_4x1, ql_avx512vnni_tile_5x1, ql_avx512vnni_tile_6x1, ql_avx512vnni_tile_7x1,
    ql_avx512vnni_tile_8x1, ql_avx512vnni_tile_9x1, ql_avx512vnni_tile_10x1,
    ql_avx512vnni_tile_11x1, ql_avx512vnni_tile_12x1, ql_avx512vnni_tile_1x2,
    ql_avx512vnni_tile_2x2, ql_avx512vnni_tile_3x2, ql_avx512vnni_tile_4x2, ql_avx512vnni_tile_5x2,
    ql_avx512vnni_tile_6x2, ql_avx512vnni_tile_7x2, ql_avx512vnni_tile_8x2, ql_avx512vnni_tile_9x2,
    ql_avx512vnni_tile_10x2, ql_avx512vnni_tile_11x2, ql_avx512vnni_tile_12x2;
ql_load ql_avx512vnni_load;
ql_pack_groups ql_avx512vnni_pack_groups;
ql_direct ql_avx512vnni_direct;
ql_narrow ql_avx512vnni_narrow;
ql_sum_row ql_avx512vnni_sum_row;
ql_correct_tile ql_avx512vnni_correct;
ql_pack_columns ql_avx512vnni_pack_columns;
ql_requantize_tile ql_avx512vnni_requantize;
ql_requantize_sum_tile ql_avx512vnni_requantize_sum;
ql_rescale_tile ql_avx512vnni_rescale;
ql_copy_tile ql_avx512vnni_copy;
ql_copy_runs ql_avx512vnni_copy_runs;
ql_transpose_bytes ql_avx512vnni_transpose_bytes;
ql_transpose_block ql_avx512vnni_transpose_block;
ql_collect_pixels ql_avx512vnni_collect_pixels;
ql_interleave ql_avx512vnni_interleave;
ql_depthwise ql_avx512vnni_depthwise;
ql_depthwise_codes ql_avx512vnni_depthwise_codes;
ql_depthwise_square ql_avx512vnni_depthwise_square;
ql_channel_sums ql_avx512vnni_channel_sums;
ql_channel_codes ql_avx512vnni_channel_codes;
ql_plane_tile ql_avx512vnni_plane_tile;
ql_interleave_planes ql_avx512vnni_interleave_planes;
ql_plane_codes ql_avx512vnni_plane_codes;
ql_spread ql_avx512vnni_spread;
ql_grouped ql_avx512vnni_grouped;
ql_blend_run ql_avx512vnni_add, ql_avx512vnni_multiply;
ql_look_up_run ql_avx512vnni_look_up;
ql_max_run ql_avx512vnni_max_uint8, ql_avx512vnni_max_int8;
ql_sum_run ql_avx512vnni_sum;
ql_total ql_avx512vnni_total;
ql_average_run ql_avx512vnni_average;
ql_double_rows ql_avx512vnni_double_rows;
QL_DECLARE_REAL(avx512vnni);

#endif
