/* What defines the functions of a set for tiles of one strip: `tile` of whoever includes this,
 * expanded for each number of rows. */
#ifndef QL_TILE_H
#define QL_TILE_H

#define QL_DEFINE_TILE(set, rows)                                                                  \
    void ql_##set##_tile_##rows(int64_t groups, const void *a, int64_t a_stride, const int8_t *b,  \
                                int64_t b_stride, const int32_t *init, int32_t *c) {               \
        (void)b_stride;                                                                            \
        tile(rows, groups, a, a_stride, b, init, c);                                               \
    }

#endif
