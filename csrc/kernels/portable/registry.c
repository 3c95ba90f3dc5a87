/* The portable table: one line for each kernel. */
#include "../registry.h"
#include "kernels.h"

void ql_fill_portable(ql_kernels *kernels) {
    *kernels = (ql_kernels){
        .quantize[QL_FLOAT32] = {ql_portable_quantize_float_int8, ql_portable_quantize_float_uint8,
                                 ql_portable_quantize_float_int16,
                                 ql_portable_quantize_float_uint16},
        .quantize[QL_FLOAT64] = {ql_portable_quantize_double_int8,
                                 ql_portable_quantize_double_uint8,
                                 ql_portable_quantize_double_int16,
                                 ql_portable_quantize_double_uint16},
        .dequantize[QL_FLOAT32] = {ql_portable_dequantize_int8_float,
                                   ql_portable_dequantize_uint8_float,
                                   ql_portable_dequantize_int16_float,
                                   ql_portable_dequantize_uint16_float,
                                   ql_portable_dequantize_int32_float},
        .dequantize[QL_FLOAT64] = {ql_portable_dequantize_int8_double,
                                   ql_portable_dequantize_uint8_double,
                                   ql_portable_dequantize_int16_double,
                                   ql_portable_dequantize_uint16_double,
                                   ql_portable_dequantize_int32_double},
        .fake_quantize = {ql_portable_fake_quantize_float, ql_portable_fake_quantize_double},
        .min_max = {ql_portable_min_max_float, ql_portable_min_max_double},
        .histogram = {ql_portable_histogram_float, ql_portable_histogram_double},
        .moments = ql_portable_moments,

        .dot = 2,
        .group_step = 1,
        .element_size = 2,
        .small = 1 << 20,
        .tile_rows = 4,
        .tile_strips = 1,
        .row_step = 1,
        .tile = {{ql_portable_tile_1},
                 {ql_portable_tile_2},
                 {ql_portable_tile_3},
                 {ql_portable_tile_4}},
        .load = ql_portable_load,
        .pack_groups = ql_portable_pack_groups,
        .sum_row = ql_portable_sum_row,
        .correct = ql_portable_correct,
        .requantize = ql_portable_requantize,
        .rescale = ql_portable_rescale,
        .copy = ql_portable_copy,
        .transpose_bytes = ql_portable_transpose_bytes,
        .depthwise = ql_portable_depthwise,

        .add = ql_portable_add,
        .multiply = ql_portable_multiply,
        .look_up = ql_portable_look_up,
    };
}
