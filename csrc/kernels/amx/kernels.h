/* The kernels for AMX, the tile unit of Intel's server processors. */
#ifndef QL_AMX_KERNELS_H
#define QL_AMX_KERNELS_H

#include "../../core.h"
#include "../target.h"

/* ql_amx_tile_<rows>x<strips> */
ql_tile ql_amx_tile_3x1, ql_amx_tile_3x2, ql_amx_tile_4x1, ql_amx_tile_4x2, ql_amx_tile_5x1,
    ql_amx_tile_5x2, ql_amx_tile_6x1, ql_amx_tile_6x2, ql_amx_tile_7x1, ql_amx_tile_7x2,
    ql_amx_tile_8x1, ql_amx_tile_8x2, ql_amx_tile_9x1, ql_amx_tile_9x2, ql_amx_tile_10x1,
    ql_amx_tile_10x2, ql_amx_tile_11x1, ql_amx_tile_11x2, ql_amx_tile_12x1, ql_amx_tile_12x2,
    ql_amx_tile_13x1, ql_amx_tile_13x2, ql_amx_tile_14x1, ql_amx_tile_14x2, ql_amx_tile_15x1,
    ql_amx_tile_15x2, ql_amx_tile_16x1, ql_amx_tile_16x2, ql_amx_tile_17x1, ql_amx_tile_17x2,
    ql_amx_tile_18x1, ql_amx_tile_18x2, ql_amx_tile_19x1, ql_amx_tile_19x2, ql_amx_tile_20x1,
    ql_amx_tile_20x2, ql_amx_tile_21x1, ql_amx_tile_21x2, ql_amx_tile_22x1, ql_amx_tile_22x2,
    ql_amx_tile_23x1, ql_amx_tile_23x2, ql_amx_tile_24x1, ql_amx_tile_24x2, ql_amx_tile_25x1,
    ql_amx_tile_25x2, ql_amx_tile_26x1, ql_amx_tile_26x2, ql_amx_tile_27x1, ql_amx_tile_27x2,
    ql_amx_tile_28x1, ql_amx_tile_28x2, ql_amx_tile_29x1, ql_amx_tile_29x2, ql_amx_tile_30x1,
    ql_amx_tile_30x2, ql_amx_tile_31x1, ql_amx_tile_31x2, ql_amx_tile_32x1, ql_amx_tile_32x2;
void ql_amx_release(void);

#endif
