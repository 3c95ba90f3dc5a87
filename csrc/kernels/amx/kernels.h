/* The kernels for AMX, the tile unit of Intel's server processors. */
#ifndef QL_AMX_KERNELS_H
#define QL_AMX_KERNELS_H

#include "../../core.h"
#include "../target.h"

/* Groups of two strips, 64 bytes each, that stay in a first cache of 48 KiB beside rows. */
enum { QL_AMX_MOST_GROUPS = 288 };

/* Up to 16 rows, and 17 to 32, as ql_amx_prepare was told. */
ql_multiply_held ql_amx_tile_half_x1, ql_amx_tile_half_x2, ql_amx_tile_whole_x1,
    ql_amx_tile_whole_x2;
/* The same for rows of int8. */
ql_multiply_held ql_amx_tile_signed_half_x1, ql_amx_tile_signed_half_x2,
    ql_amx_tile_signed_whole_x1, ql_amx_tile_signed_whole_x2;
ql_store_held ql_amx_store_half_x1, ql_amx_store_half_x2, ql_amx_store_whole_x1,
    ql_amx_store_whole_x2;
void ql_amx_prepare(int64_t rows);
void ql_amx_release(void);
ql_plane_tile ql_amx_plane_tile;
ql_plane_tile_beside ql_amx_plane_tile_beside;
ql_plane_strip_beside ql_amx_plane_strip_beside;
void ql_amx_prepare_planes(int64_t groups);
ql_pixel_tile ql_amx_pixel_tile;
void ql_amx_prepare_pixels(void);
ql_grouped_tiles ql_amx_grouped_tiles;
void ql_amx_prepare_grouped(int64_t rows, int rolls);
ql_spread ql_amx_spread;
ql_channel_codes ql_amx_channel_codes;
ql_gather_codes ql_amx_gather_codes;

#endif
