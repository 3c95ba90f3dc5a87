/* The AMX table, on top of AVX-512 VNNI, whose tiles of one and two rows it keeps: packed strips
 * are the same, and for so few rows they are read no faster into tiles than into vectors. */
#include "../registry.h"

#if QL_BUILDS_AMX

#include "kernels.h"

void ql_fill_amx(ql_kernels *kernels) {
    enum { FEW_ROWS = 2, HALF = 16, WHOLE = 32 };
    ql_multiply_held *held[2][2][QL_TILE_STRIPS] = {
        {{ql_amx_tile_half_x1, ql_amx_tile_half_x2}, {ql_amx_tile_whole_x1, ql_amx_tile_whole_x2}},
        {{ql_amx_tile_signed_half_x1, ql_amx_tile_signed_half_x2},
         {ql_amx_tile_signed_whole_x1, ql_amx_tile_signed_whole_x2}},
    };
    memcpy(kernels->multiply_held, held, sizeof held);
    ql_store_held *store[2][QL_TILE_STRIPS] = {
        {ql_amx_store_half_x1, ql_amx_store_half_x2},
        {ql_amx_store_whole_x1, ql_amx_store_whole_x2},
    };
    memcpy(kernels->store_held, store, sizeof store);
    kernels->narrow_columns = 2;
    kernels->group_step = 16;
    kernels->most_groups = QL_AMX_MOST_GROUPS;
    kernels->small = 16 << 20;
    kernels->tile_rows = WHOLE;
    kernels->row_step = HALF;
    kernels->few_rows = FEW_ROWS;
    kernels->row_alignment = QL_ALIGNMENT; /* a tile register loads whole cache lines */
    kernels->prepare = ql_amx_prepare;
    kernels->release = ql_amx_release;
    kernels->plane_tile = ql_amx_plane_tile;
    kernels->plane_tile_beside = ql_amx_plane_tile_beside;
    kernels->plane_strip_beside = ql_amx_plane_strip_beside;
    kernels->prepare_planes = ql_amx_prepare_planes;
    kernels->pixel_tile = ql_amx_pixel_tile;
    kernels->prepare_pixels = ql_amx_prepare_pixels;
    kernels->grouped_tiles = ql_amx_grouped_tiles;
    kernels->prepare_grouped = ql_amx_prepare_grouped;
    kernels->spread = ql_amx_spread;
    kernels->channel_codes = ql_amx_channel_codes;
    kernels->gather_codes = ql_amx_gather_codes;
}

#endif
