/* Products of weights with interleaved planes for AMX: see csrc/planes.c.
 *
 * tdpbsud multiplies 16 rows of signed weights, of up to 64 bytes, by up to 16 groups of four
 * planes at 16 places, which are read where they lie: a tile register loads rows that are any
 * distance apart, from any byte on.
 *
 * Tile registers: 4 of sums, of two blocks of rows at two times 16 places, or of one block at four;
 * the others for operands. For a part of K that is 4 tdpbsud of 16 cycles with 4 or 5 loads of 8 to
 * 16 cycles beside them: 16 where rows of places lie across cache lines. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "configuration.h"

/* Registers 0 to 3 are sums, 4 holds weights, and so does 5 in the case of two blocks; the rest are
 * of places, whose register 5 is where there is one block. The weights of a part are laid out in
 * whole cache lines, of which `groups` times four bytes are read. */
void ql_amx_prepare_planes(int64_t groups) {
    const uint8_t rows = (uint8_t)groups;
    const uint16_t bytes = (uint16_t)(4 * groups);
    const ql_amx_configuration shape = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, bytes, bytes, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, rows, rows},
    };
    ql_amx_configure(&shape);
}

enum { SUMS_STRIDE = QL_PLACES * sizeof(int32_t), START = QL_STRIP * QL_STRIP };

/* Two blocks of rows at 32 places, or 16. */
QL_INLINE void two_blocks(const int wide, const ql_plane_product *p, const int8_t *w,
                          const uint8_t *x, const int32_t *start, int32_t *sums) {
    const int8_t *lower = w + p->block_step;
    _tile_loadd(0, start, 64);
    _tile_loadd(2, start + START, 64);
    if (wide) {
        _tile_loadd(1, start, 64);
        _tile_loadd(3, start + START, 64);
    }
    for (int64_t i = 0; i < p->parts; i++, w += 1024, lower += 1024) {
        const uint8_t *places = x + p->part[i];
        _tile_loadd(4, w, 64);
        _tile_loadd(6, places, p->group_step);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(5, lower, 64);
        _tile_dpbsud(2, 5, 6);
        if (wide) {
            _tile_loadd(7, places + 64, p->group_step);
            _tile_dpbsud(1, 4, 7);
            _tile_dpbsud(3, 5, 7);
        }
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    if (wide)
        _tile_stored(1, sums + 16, SUMS_STRIDE);
    _tile_stored(2, sums + QL_STRIP * QL_PLACES, SUMS_STRIDE);
    if (wide)
        _tile_stored(3, sums + QL_STRIP * QL_PLACES + 16, SUMS_STRIDE);
}

/* One block of rows at up to 64 places. */
QL_INLINE void one_block(const int strips, const ql_plane_product *p, const int8_t *w,
                         const uint8_t *x, const int32_t *start, int32_t *sums) {
    _tile_loadd(0, start, 64);
    if (strips > 1)
        _tile_loadd(1, start, 64);
    if (strips > 2) {
        _tile_loadd(2, start, 64);
        _tile_loadd(3, start, 64);
    }
    for (int64_t i = 0; i < p->parts; i++, w += 1024) {
        const uint8_t *places = x + p->part[i];
        _tile_loadd(4, w, 64);
        _tile_loadd(6, places, p->group_step);
        _tile_dpbsud(0, 4, 6);
        if (strips > 1) {
            _tile_loadd(7, places + 64, p->group_step);
            _tile_dpbsud(1, 4, 7);
        }
        if (strips > 2) {
            _tile_loadd(6, places + 128, p->group_step);
            _tile_dpbsud(2, 4, 6);
            _tile_loadd(7, places + 192, p->group_step);
            _tile_dpbsud(3, 4, 7);
        }
    }
    _tile_stored(0, sums, SUMS_STRIDE);
    if (strips > 1)
        _tile_stored(1, sums + 16, SUMS_STRIDE);
    if (strips > 2) {
        _tile_stored(2, sums + 32, SUMS_STRIDE);
        _tile_stored(3, sums + 48, SUMS_STRIDE);
    }
}

/* Whether 64 places of all groups stay in the first cache while weights go by, and begin at cache
 * lines, so that reading them for each block of rows costs less than reading weights twice. */
QL_INLINE int stays_in_first_cache(const ql_plane_product *p) {
    enum { MOST_GROUPS = 128 };
    return p->group_step % (4 * QL_PLACES) == 0 && p->parts * p->groups <= MOST_GROUPS;
}

void ql_amx_plane_tile(const ql_plane_product *product, const int8_t *w, const uint8_t *x,
                       int64_t rows, int64_t places, const int32_t *start, int32_t *sums) {
    if (rows <= QL_STRIP) {
        if (places > 32)
            one_block(4, product, w, x, start, sums);
        else if (places > 16)
            one_block(2, product, w, x, start, sums);
        else
            one_block(1, product, w, x, start, sums);
        return;
    }
    if (places > 32 && stays_in_first_cache(product)) {
        one_block(4, product, w, x, start, sums);
        one_block(4, product, w + product->block_step, x, start + START,
                  sums + QL_STRIP * QL_PLACES);
        return;
    }
    for (int64_t place = 0; place < places; place += 32)
        if (places - place > 16)
            two_blocks(1, product, w, x + 4 * place, start, sums + place);
        else
            two_blocks(0, product, w, x + 4 * place, start, sums + place);
}

QL_TARGET_END

#endif
