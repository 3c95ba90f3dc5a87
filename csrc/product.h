/* What the files of a product share: product_plan.c, where it begins, product.c, product_operand.c
 * and tiles.c. */
#ifndef QL_PRODUCT_H
#define QL_PRODUCT_H

#include "core.h"

enum {
    /* Of rows that are loaded together: half of a second cache of 2 MiB, so that they stay in it.
     */
    QL_BLOCK_BYTES = 1 << 20,
    /* Of an operand that is packed just in time, at least: a cache line of its rows. */
    QL_PANEL_COLUMNS = 64
};

typedef struct ql_held ql_held;

/* One call of ql_product. */
typedef struct {
    const ql_matrix *b;
    const ql_operand *operand; /* what b is packed from just in time, or NULL */
    const ql_kernels *kernels;
    const ql_rows *rows;
    const ql_output *output;
    ql_target to;
    int64_t block_rows;
    int64_t panel_stride;
    char *panel;           /* the loaded rows of a block */
    char *scratch;         /* what loading them needs besides */
    int64_t *row_sums;     /* of the block; only if b has zero points */
    ql_matrix *packed;     /* columns of the operand */
    int32_t *init;         /* what the sums of each column start from */
    int32_t *column_terms; /* what the rows' zero points are multiplied by */
    int64_t piece;         /* groups of K that tiles take together, if not all */
    int sliced;            /* whether the operand is packed slice by slice of K */
    int32_t *begun;        /* the sums of a column of tiles, of all if it is sliced, or NULL */
    ql_held *held;         /* the tile that the processor holds, and what it is ready for */
    int along_rows;        /* whether storing takes longer where tiles go down the rows */
    int past_caches;       /* whether results may be written past the caches */
    int is_signed;         /* whether tiles take rows of int8 as they are */
    int wide;              /* whether sums need 64 bits */
    int direct;            /* whether the operand is multiplied as it lies */
    int narrow;            /* whether rows are multiplied as they lie by whole columns */
    int64_t in_place;      /* how many rows, from the first on, tiles read where they are */
} ql_multiplication;

/* The rows that are multiplied together, loaded or in place. */
typedef struct {
    int64_t first, count;
    const char *a;
    int64_t stride;
    int spare; /* whether tiles may read some rows more, as far as makes them whole */
} ql_block;

/* A column of tiles of one height: rows `first` to `last` of a block by one or two strips. */
typedef struct {
    const ql_multiplication *whole;
    const ql_block *block;
    int64_t first, last, rows;
    int64_t column, columns;
    ql_tile *tile;              /* which stores its sums, or: */
    ql_multiply_held *multiply; /* which stores those of the tile before, and */
    ql_store_held *store;
    int64_t begun; /* the groups of K whose sums were begun before, if any */
    ql_target to;
} ql_tiles;

/* The tile whose sums the processor holds, if there is one, and where those are going. */
struct ql_held {
    int64_t ready; /* the rows of a tile that the processor is ready for, or 0 */
    int is_held;
    ql_tiles of; /* its column */
    int64_t row; /* of the block, the first one */
    ql_sums_place to;
    int is_pending; /* whether the next tile finishes it */
    ql_pending pending;
    char unused[QL_TILE_COLUMNS * sizeof(int32_t)]; /* where rows without a result are written */
    int32_t sums[QL_TILE_ROWS * QL_TILE_COLUMNS] __attribute__((aligned(QL_ALIGNMENT)));
};

/* Sets what belongs to columns: their terms, colsum(b) - K * zb modulo 2**32, and what sums start
 * from, bias - za * term, or only the bias where rows have zero points of their own. */
void ql_set_columns(const ql_multiplication *p);
/* How many of the rows that are left the next tile takes. */
int64_t ql_rows_of_tile(const ql_kernels *kernels, int64_t left);
/* One block of rows by columns of the packed matrix. */
int ql_multiply_block(const ql_multiplication *p, const ql_block *rows, int64_t column,
                      int64_t last_column);
/* Rows `first` to `last`, columns `column` to `last_column`, block by block. */
int ql_multiply_part(const ql_multiplication *p, int64_t first, int64_t last, int64_t column,
                     int64_t last_column);

/* How many columns of an operand are packed just in time together. */
int64_t ql_columns_of_panel(const ql_multiplication *p, int64_t columns);
/* Whether the operand is packed slice by slice: one that the second cache does not hold, for rows
 * so few that their sums take little of it, by tiles that can go on from sums. */
int ql_is_sliced(const ql_multiplication *p);
/* How much of K: alike slices, whole steps of tiles. */
int64_t ql_depth_of_slice(const ql_multiplication *p);
/* One block of rows by columns of the operand, as it lies or packed now. */
int ql_multiply_operand(const ql_multiplication *p, const ql_block *rows, int64_t column,
                        int64_t last_column);

/* Multiplies a column of tiles: rows `first` to `last` of a block, `rows` each, by one or two
 * strips. The last tile may stay in the processor, until the next one of that call or
 * ql_complete_held. QL_OVERFLOW if an accumulator does not fit. */
int ql_multiply_tiles(const ql_multiplication *p, const ql_block *block, int64_t first,
                      int64_t last, int64_t rows, int64_t column);
/* Of a sliced operand: adds the products of the tile at a row of the block with one slice to its
 * sums, which start from `init` unless it goes on; and, after the last slice, finishes them. */
void ql_add_products(const ql_multiplication *p, const ql_block *block, int64_t row, int64_t rows,
                     int64_t column, int goes_on, int32_t *sums);
void ql_finish_products(const ql_multiplication *p, const ql_block *block, int64_t row,
                        int64_t rows, int64_t column, int32_t *sums);
/* Stores and finishes the tile that the processor holds, if there is one. */
void ql_complete_held(const ql_multiplication *p);

static inline int64_t ql_whole_strips(int64_t columns) {
    return ql_ceil_div(columns, QL_STRIP) * QL_STRIP;
}

/* Whether rows of results of 4 bytes begin at cache lines. */
static inline int ql_are_lines(const ql_target *to) {
    const uintptr_t places = (uintptr_t)to->y | (uintptr_t)to->y_stride * sizeof(int32_t);
    return places % QL_ALIGNMENT == 0;
}

static inline int32_t ql_bias_of(const ql_multiplication *p, int64_t column) {
    return p->output->bias == NULL ? 0 : p->output->bias[column];
}

static inline int32_t ql_row_zero_point(const ql_rows *rows, int64_t row) {
    return rows->zero_point[row * rows->zero_point_step];
}

#endif
