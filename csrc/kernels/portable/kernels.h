/* The kernels in plain C: right on every processor, and written so that compilers vectorize. */
#ifndef QL_PORTABLE_KERNELS_H
#define QL_PORTABLE_KERNELS_H

#include <math.h>

#include "../../core.h"
#include "../real.h"
#include "../target.h"

ql_quantize_run ql_portable_quantize_float_int8, ql_portable_quantize_float_uint8,
    ql_portable_quantize_float_int16, ql_portable_quantize_float_uint16,
    ql_portable_quantize_double_int8, ql_portable_quantize_double_uint8,
    ql_portable_quantize_double_int16, ql_portable_quantize_double_uint16,
    ql_portable_fake_quantize_float, ql_portable_fake_quantize_double;
ql_dequantize_run ql_portable_dequantize_int8_float, ql_portable_dequantize_uint8_float,
    ql_portable_dequantize_int16_float, ql_portable_dequantize_uint16_float,
    ql_portable_dequantize_int32_float, ql_portable_dequantize_int8_double,
    ql_portable_dequantize_uint8_double, ql_portable_dequantize_int16_double,
    ql_portable_dequantize_uint16_double, ql_portable_dequantize_int32_double;
ql_min_max_run ql_portable_min_max_float, ql_portable_min_max_double;
ql_tally_run ql_portable_tally_float, ql_portable_tally_double;
ql_tile ql_portable_tile_1, ql_portable_tile_2, ql_portable_tile_3, ql_portable_tile_4;
ql_load ql_portable_load;
ql_pack_groups ql_portable_pack_groups;
ql_pack_columns ql_portable_pack_columns;
ql_sum_row ql_portable_sum_row;
ql_correct_tile ql_portable_correct;
ql_narrow ql_portable_narrow;
ql_requantize_tile ql_portable_requantize;
ql_requantize_sum_tile ql_portable_requantize_sum;
ql_rescale_tile ql_portable_rescale;
ql_copy_tile ql_portable_copy;
ql_copy_runs ql_portable_copy_runs;
ql_transpose_bytes ql_portable_transpose_bytes;
ql_weave_bytes ql_portable_weave_bytes;
ql_interleave ql_portable_interleave;
ql_depthwise ql_portable_depthwise;
ql_depthwise_codes ql_portable_depthwise_codes;
ql_depthwise_square ql_portable_depthwise_square;
ql_interleave_planes ql_portable_interleave_planes;
ql_collect_pixels ql_portable_collect_pixels;
ql_blend_run ql_portable_add, ql_portable_multiply;
ql_look_up_run ql_portable_look_up;
ql_max_run ql_portable_max_uint8, ql_portable_max_int8;
ql_sum_run ql_portable_sum;
ql_total ql_portable_total;
ql_average_run ql_portable_average;
ql_double_rows ql_portable_double_rows;
QL_DECLARE_REAL(portable);

/* What becomes of the sums of a strip. */
void ql_portable_codes_of_strip(const ql_codes *codes, const int32_t *sums, const float *multiplier,
                                uint8_t *y);

#endif
