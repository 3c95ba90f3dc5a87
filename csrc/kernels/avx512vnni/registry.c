/* The AVX-512 VNNI table: one line for each kernel, on top of AVX2. */
#include "../registry.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

#define TILE(rows) {ql_avx512vnni_tile_##rows##x1, ql_avx512vnni_tile_##rows##x2}

void ql_fill_avx512vnni(ql_kernels *kernels) {
    static ql_tile *const tiles[12][QL_TILE_STRIPS] = {
        TILE(1), TILE(2), TILE(3), TILE(4),  TILE(5),  TILE(6),
        TILE(7), TILE(8), TILE(9), TILE(10), TILE(11), TILE(12),
    };
    kernels->multiply_quantize[0] = ql_avx512vnni_quantize_int8;
    kernels->multiply_quantize[1] = ql_avx512vnni_quantize_uint8;
    kernels->multiply_fake_quantize = ql_avx512vnni_fake_quantize;
    kernels->dequantize[QL_FLOAT32][0] = ql_avx512vnni_dequantize_int8_float;
    kernels->dequantize[QL_FLOAT32][1] = ql_avx512vnni_dequantize_uint8_float;
    kernels->stream_dequantize[0] = ql_avx512vnni_stream_dequantize_int8_float;
    kernels->stream_dequantize[1] = ql_avx512vnni_stream_dequantize_uint8_float;
    kernels->min_max[QL_FLOAT32] = ql_avx512vnni_min_max_float;
    kernels->tally[QL_FLOAT32] = ql_avx512vnni_tally_float;
    kernels->tally[QL_FLOAT64] = ql_avx512vnni_tally_double;

    kernels->dot = 4;
    kernels->element_size = 1;
    kernels->small = 4 << 20;
    kernels->small_depthwise = 256 << 10;
    kernels->tile_rows = 12;
    kernels->tile_strips = 2;
    memcpy(kernels->tile, tiles, sizeof tiles);
    kernels->load = ql_avx512vnni_load;
    kernels->pack_groups = ql_avx512vnni_pack_groups;
    kernels->direct = ql_avx512vnni_direct;
    kernels->direct_rows = QL_DIRECT_ROWS;
    kernels->narrow = ql_avx512vnni_narrow;
    kernels->sum_row = ql_avx512vnni_sum_row;
    kernels->correct = ql_avx512vnni_correct;
    kernels->pack_columns = ql_avx512vnni_pack_columns;
    kernels->requantize = ql_avx512vnni_requantize;
    kernels->requantize_sum = ql_avx512vnni_requantize_sum;
    kernels->rescale = ql_avx512vnni_rescale;
    kernels->copy = ql_avx512vnni_copy;
    kernels->copy_runs = ql_avx512vnni_copy_runs;
    kernels->transpose_bytes = ql_avx512vnni_transpose_bytes;
    kernels->transpose_block = ql_avx512vnni_transpose_block;
    kernels->collect_pixels = ql_avx512vnni_collect_pixels;

    kernels->fuses = 1;
    kernels->depthwise_rows = 4;
    kernels->depthwise_lanes = 4;
    kernels->interleave = ql_avx512vnni_interleave;
    kernels->depthwise = ql_avx512vnni_depthwise;
    kernels->depthwise_codes = ql_avx512vnni_depthwise_codes;
    kernels->depthwise_square = ql_avx512vnni_depthwise_square;
    kernels->square_blocks = 1;
    kernels->channel_sums = ql_avx512vnni_channel_sums;
    kernels->channel_codes = ql_avx512vnni_channel_codes;
    kernels->channel_results = 16;
    kernels->channel_windows = 9;
    kernels->windows_together = 10;
    kernels->channels_in_place = 1;
    kernels->spread = ql_avx512vnni_spread;
    kernels->grouped = ql_avx512vnni_grouped;

    kernels->plane_tile = ql_avx512vnni_plane_tile;
    kernels->plane_depth = 0;
    kernels->interleave_planes = ql_avx512vnni_interleave_planes;
    kernels->plane_codes = ql_avx512vnni_plane_codes;

    kernels->add = ql_avx512vnni_add;
    kernels->multiply = ql_avx512vnni_multiply;
    kernels->look_up = ql_avx512vnni_look_up;
    kernels->max[0] = ql_avx512vnni_max_uint8;
    kernels->max[1] = ql_avx512vnni_max_int8;
    kernels->sum = ql_avx512vnni_sum;
    kernels->total = ql_avx512vnni_total;
    kernels->average = ql_avx512vnni_average;
    kernels->double_rows = ql_avx512vnni_double_rows;
    QL_REGISTER_REAL(kernels, avx512vnni);
}

#endif
