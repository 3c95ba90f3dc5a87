/* The AMX table, on top of AVX-512 VNNI, whose tiles of one and two rows it keeps: packed strips
 * are the same, and for so few rows they are read no faster into tiles than into vectors. */
#include "../registry.h"

#if QL_BUILDS_AMX

#include "kernels.h"

#define TILE(rows) {ql_amx_tile_##rows##x1, ql_amx_tile_##rows##x2}

void ql_fill_amx(ql_kernels *kernels) {
    static ql_tile *const tiles[30][QL_TILE_STRIPS] = {
        TILE(3),  TILE(4),  TILE(5),  TILE(6),  TILE(7),  TILE(8),  TILE(9),  TILE(10),
        TILE(11), TILE(12), TILE(13), TILE(14), TILE(15), TILE(16), TILE(17), TILE(18),
        TILE(19), TILE(20), TILE(21), TILE(22), TILE(23), TILE(24), TILE(25), TILE(26),
        TILE(27), TILE(28), TILE(29), TILE(30), TILE(31), TILE(32),
    };
    kernels->group_step = 16;
    kernels->small = 64 << 20;
    kernels->tile_rows = 32;
    kernels->row_step = 16;
    memcpy(kernels->tile + 2, tiles, sizeof tiles);
    kernels->release = ql_amx_release;
}

#endif
