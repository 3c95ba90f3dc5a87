/* The product that everything else is made of: rows of codes, wherever they come from, times a
 * packed matrix, finished into any output.
 *
 * With numbers a in 0..255 (int8 codes plus 128), codes b in int8, and zero points za, zb likewise,
 *
 *     sum (a - za)(b - zb) = sum a*b - za * (colsum(b) - K*zb) - zb * rowsum(a)
 *
 * (docs/quantization.md derives it). The middle term belongs to the column when all rows share za:
 * it starts the sums, together with the bias. The last one is needed only where zb is not 0. All
 * of it may wrap modulo 2**32 on the way, because the exact accumulator is known to fit; where it
 * might not, the sums are collected in 64 bits and checked.
 *
 * Order: blocks of rows, as many as loaded fit QL_BLOCK_BYTES; in a block pairs of strips; for a
 * pair, tiles down the rows. A pair of strips is read from memory once for each block of rows, and
 * stays in L1 while the tiles use it. Only where most of the time goes into storing wide rows of
 * results, tiles go along the rows.
 *
 * product_plan.c decides all that, and cuts products for the threads; product_operand.c has the
 * other operand packed just in time; tiles.c makes the sums of tiles, and what becomes of them. */
#include "product.h"

enum { ROWS_ALONG = 32 /* whose results are written side by side */ };

/* Strips end in zeros. */
void ql_set_columns(const ql_multiplication *p) {
    const ql_matrix *b = p->b;
    const uint32_t za = p->rows->zero_point_step ? 0 : (uint32_t)p->rows->zero_point[0];
    for (int64_t j = 0; j < b->n; j++) {
        const uint32_t term = (uint32_t)b->sums[j] - (uint32_t)b->k * (uint32_t)b->zero_point[j];
        p->column_terms[j] = (int32_t)term;
        p->init[j] = (int32_t)((uint32_t)ql_bias_of(p, j) - za * term);
    }
    const size_t rest = (size_t)(ql_whole_strips(b->n) - b->n) * 4;
    memset(p->column_terms + b->n, 0, rest);
    memset(p->init + b->n, 0, rest);
}

/* Loads rows into the panel and, if b has zero points, sums each. */
static void load_block(const ql_multiplication *p, int64_t first, int64_t count) {
    const int64_t padded = p->b->groups * p->kernels->dot, size = p->kernels->element_size;
    p->rows->load(p->rows, p->kernels, first, count, p->panel, p->panel_stride, p->scratch);
    for (int64_t i = 0; i < count; i++) {
        char *row = p->panel + i * p->panel_stride;
        if (p->direct && padded > p->b->k) /* packed operands have zeros there */
            memset(row + p->b->k * size, 0, (size_t)((padded - p->b->k) * size));
        if (p->b->has_zero_point)
            p->row_sums[i] = p->kernels->sum_row(row, p->b->k);
    }
}

/* The last two tiles share their rows evenly: 13 are 7 + 6, not 12 + 1, where one may have 12. */
int64_t ql_rows_of_tile(const ql_kernels *kernels, int64_t left) {
    const int64_t most = kernels->tile_rows, step = kernels->row_step;
    if (left <= most)
        return left;
    return left < 2 * most ? ql_ceil_div(left, 2 * step) * step : most;
}

/* How many tiles of one height follow one another from there on. */
static int64_t tiles_alike(const ql_kernels *kernels, int64_t left) {
    const int64_t most = kernels->tile_rows;
    return left < 2 * most ? 1 : left % most == 0 ? left / most : left / most - 1;
}

/* One block of rows by some columns: the tiles of each height in turn, pair of strips by pair of
 * strips. */
static int multiply_columns(const ql_multiplication *p, const ql_block *rows, int64_t column,
                            int64_t last_column) {
    const int64_t width = (int64_t)p->kernels->tile_strips * QL_STRIP;
    int status = QL_OK;
    for (int64_t i = 0, last; i < rows->count && status == QL_OK; i = last) {
        const int64_t height = ql_rows_of_tile(p->kernels, rows->count - i);
        last = i + height * tiles_alike(p->kernels, rows->count - i);
        for (int64_t at = column; at < last_column && status == QL_OK; at += width)
            status = ql_multiply_tiles(p, rows, i, last, height, at);
    }
    return status;
}

/* One block of rows, a few of them at a time by all columns. */
static int multiply_along_rows(const ql_multiplication *p, const ql_block *rows, int64_t column,
                               int64_t last_column) {
    const int64_t step = ROWS_ALONG / p->kernels->tile_rows * p->kernels->tile_rows;
    int status = QL_OK;
    for (int64_t i = 0; i < rows->count && status == QL_OK; i += step) {
        const ql_block part = {rows->first + i, ql_min(step, rows->count - i),
                               rows->a + i * rows->stride, rows->stride, rows->spare};
        ql_multiplication few = *p;
        few.row_sums = p->row_sums + i;
        status = multiply_columns(&few, &part, column, last_column);
        ql_complete_held(&few);
    }
    return status;
}

/* Where the strips are too many to stay in the second cache until the tiles of
 * another height read them, all tiles take each pair in turn; so the processor is readied more
 * often, which costs 0.2 us each time. */
int ql_multiply_block(const ql_multiplication *p, const ql_block *rows, int64_t column,
                      int64_t last_column) {
    const int64_t width = (int64_t)p->kernels->tile_strips * QL_STRIP;
    const int is_small = p->b->k * (last_column - column) <= QL_BLOCK_BYTES;
    if (is_small && p->along_rows)
        return multiply_along_rows(p, rows, column, last_column);
    const int64_t step = is_small ? last_column - column : width;
    int status = QL_OK;
    for (; column < last_column && status == QL_OK; column += step)
        status = multiply_columns(p, rows, column, ql_min(column + step, last_column));
    ql_complete_held(p);
    return status;
}

/* Rows by all columns, of which there are few. */
static int multiply_narrow(const ql_multiplication *p, int64_t first, int64_t last) {
    const ql_narrow_product narrow = {.b = p->b,
                                      .rows = p->rows,
                                      .init = p->init,
                                      .column_terms = p->column_terms,
                                      .output = p->output,
                                      .y = p->to.y,
                                      .y_stride = p->to.y_stride,
                                      .wide = p->wide};
    return ql_narrow_multiply(&narrow, first, last - first);
}

/* The next block of rows, in place or loaded. */
static ql_block next_block(const ql_multiplication *p, int64_t first, int64_t last) {
    const int64_t in_place = ql_min(last, p->in_place) - first;
    if (in_place > 0)
        return (ql_block){first, ql_min(p->block_rows, in_place),
                          (const char *)p->rows->bytes + first * p->rows->stride, p->rows->stride,
                          0};
    const int64_t alike = ql_rows_alike(&p->rows->lines, first);
    const ql_block rows = {first, ql_min(ql_min(p->block_rows, last - first), alike), p->panel,
                           p->panel_stride, 1};
    load_block(p, first, rows.count);
    return rows;
}

int ql_multiply_part(const ql_multiplication *p, int64_t first, int64_t last, int64_t column,
                     int64_t last_column) {
    if (p->narrow)
        return multiply_narrow(p, first, last);
    int status = QL_OK;
    while (first < last && status == QL_OK) {
        ql_block rows = next_block(p, first, last);
        const int64_t next = first + rows.count;
        rows.count = ql_last_useful_row(&p->rows->lines, next) - first;
        if (p->operand == NULL)
            status = ql_multiply_block(p, &rows, column, last_column);
        else
            status = ql_multiply_operand(p, &rows, column, last_column);
        first = next;
    }
    return status;
}
