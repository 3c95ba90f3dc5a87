/* Products with an operand that is given with the call.
 *
 * Few rows beside it have it packed panel by panel, each used while it is in the cache: a packed
 * copy of all of it would cost more than the product. Where K is deep and the sums of all rows stay
 * in the cache, panels are slices of K besides: then the operand is read nearly from its first byte
 * to its last, not in columns. Very few rows multiply it as it lies (direct.c). */
#include "product.h"

enum {
    PANEL_BYTES = 128 * 1024, /* of the operand that are packed just in time */
    PAGE_BYTES = 4096,        /* where its rows are so far apart, two lines of each */
    SLICE = 1024              /* of K, of an operand that is packed slice by slice */
};

int64_t ql_columns_of_panel(const ql_multiplication *p, int64_t columns) {
    const int64_t depth = p->sliced ? SLICE : ql_max(p->b->groups * p->kernels->dot, 1);
    const int64_t least =
        p->operand->k_stride < PAGE_BYTES ? QL_PANEL_COLUMNS : 2 * QL_PANEL_COLUMNS;
    const int64_t most = PANEL_BYTES / depth / QL_PANEL_COLUMNS * QL_PANEL_COLUMNS;
    return ql_min(columns, ql_max(most, least));
}

int ql_is_sliced(const ql_multiplication *p) {
    enum { MOST_ROWS = 64, MOST_SUMS = 32 * 1024 };
    const int64_t count = p->rows->count, rest = count % p->kernels->tile_rows;
    return p->operand != NULL && p->operand->n_stride == 1 && !p->direct && !p->wide &&
           p->kernels->multiply_held[0][0][0] != NULL && count <= MOST_ROWS &&
           p->b->n <= MOST_SUMS / count && (rest == 0 || rest > p->kernels->few_rows) &&
           p->b->k > SLICE && p->b->k * p->b->n > QL_BLOCK_BYTES;
}

int64_t ql_depth_of_slice(const ql_multiplication *p) {
    const int64_t step = (int64_t)p->kernels->dot * p->kernels->group_step, k = p->b->k;
    return ql_ceil_div(ql_ceil_div(k, ql_ceil_div(k, SLICE)), step) * step;
}

/* One block of few rows by columns of the operand as it lies. */
static int multiply_directly(const ql_multiplication *p, const ql_block *rows, int64_t column,
                             int64_t last_column) {
    const ql_operand part = ql_operand_from(p->operand, column, last_column - column);
    const ql_output output = ql_output_from(p->output, column);
    int32_t row_sums[QL_DIRECT_ROWS] = {0};
    for (int64_t i = 0; p->b->has_zero_point && i < rows->count; i++)
        row_sums[i] = (int32_t)p->row_sums[i];
    return ql_multiply_directly(p->kernels, &part, p->rows, (const uint8_t *)rows->a, rows->stride,
                                row_sums, &output,
                                p->to.y + column * ql_size_of_result(output.type), p->to.y_stride);
}

/* One block of rows by columns that are packed now, panel by panel. */
static int multiply_panels(const ql_multiplication *p, const ql_block *rows, int64_t column,
                           int64_t last_column) {
    const int64_t step = ql_columns_of_panel(p, last_column - column);
    int status = QL_OK;
    for (; column < last_column && status == QL_OK; column += step) {
        const int64_t columns = ql_min(step, last_column - column);
        ql_matrix_fill(p->packed, p->operand, column, columns);
        const ql_output output = ql_output_from(p->output, column);
        ql_multiplication panel = *p;
        panel.b = p->packed;
        panel.output = &output;
        panel.to.y += column * ql_size_of_result(output.type);
        ql_set_columns(&panel);
        status = ql_multiply_block(&panel, rows, 0, columns);
    }
    return status;
}

/* The sums of a tile: of rows from `row` of the block on, of columns from `column` of the chunk on.
 */
static int32_t *sliced_sums(const ql_multiplication *p, const ql_block *rows, int64_t row,
                            int64_t column) {
    const int64_t room = rows->count + QL_TILE_ROWS;
    return p->begun + (column / QL_TILE_COLUMNS * room + row) * QL_TILE_COLUMNS;
}

/* Adds the products with a packed slice of K, of columns that begin at `column`; after the last
 * one, finishes the sums. */
static void add_slice(const ql_multiplication *slice, const ql_block *rows, int64_t k,
                      int64_t column, int is_last) {
    ql_block part = *rows;
    part.a += k * slice->kernels->element_size;
    for (int64_t i = 0, height; i < rows->count; i += height) {
        height = ql_rows_of_tile(slice->kernels, rows->count - i);
        for (int64_t at = 0; at < slice->b->n; at += QL_TILE_COLUMNS) {
            int32_t *sums = sliced_sums(slice, rows, i, column + at);
            ql_add_products(slice, &part, i, height, at, k > 0, sums);
            if (is_last)
                ql_finish_products(slice, rows, i, height, at, sums);
        }
    }
}

static int32_t zero_point_of(const ql_operand *b, int64_t column) {
    return b->zero_points[column] - (b->is_signed ? 0 : 128);
}

/* What sums of columns start from, the bias, and their terms, to which each slice adds. */
static void start_columns(const ql_multiplication *p, int64_t column, int64_t columns) {
    const size_t size = (size_t)ql_whole_strips(columns) * 4;
    memset(p->init, 0, size);
    memset(p->column_terms, 0, size);
    for (int64_t j = 0; j < columns; j++) {
        p->init[j] = ql_bias_of(p, column + j);
        p->column_terms[j] =
            (int32_t)(0 - (uint32_t)p->b->k * (uint32_t)zero_point_of(p->operand, column + j));
    }
}

/* Packs a slice of the operand: `depth` of K from `k` on, of these columns. */
static void pack_slice(const ql_multiplication *p, int64_t k, int64_t depth, int64_t column,
                       int64_t columns) {
    const int64_t step = p->kernels->group_step;
    ql_operand slice = *p->operand;
    slice.bytes += k * slice.k_stride;
    slice.k = depth;
    p->packed->groups = ql_ceil_div(depth, p->kernels->dot * step) * step;
    ql_matrix_fill(p->packed, &slice, column, columns);
}

static void add_sums(int32_t *terms, const ql_matrix *slice) {
    for (int64_t j = 0; j < slice->n; j++)
        terms[j] = (int32_t)((uint32_t)terms[j] + (uint32_t)slice->sums[j]);
}

/* One block of few rows by columns of a deep operand, slice by slice of K, panel by panel. */
static int multiply_slices(const ql_multiplication *p, const ql_block *rows, int64_t column,
                           int64_t last_column) {
    const int64_t columns = last_column - column, step = ql_columns_of_panel(p, columns);
    const int64_t depth = ql_depth_of_slice(p), k = p->b->k;
    start_columns(p, column, columns);
    for (int64_t first = 0; first < k; first += depth)
        for (int64_t at = 0; at < columns; at += step) {
            const ql_output output = ql_output_from(p->output, column + at);
            pack_slice(p, first, ql_min(depth, k - first), column + at, ql_min(step, columns - at));
            ql_multiplication slice = *p;
            slice.b = p->packed;
            slice.output = &output;
            slice.init += at;
            slice.column_terms += at;
            slice.to.y += (column + at) * ql_size_of_result(output.type);
            add_sums(slice.column_terms, slice.b);
            add_slice(&slice, rows, first, at, first + depth >= k);
        }
    return QL_OK;
}

int ql_multiply_operand(const ql_multiplication *p, const ql_block *rows, int64_t column,
                        int64_t last_column) {
    if (p->direct)
        return multiply_directly(p, rows, column, last_column);
    if (p->sliced)
        return multiply_slices(p, rows, column, last_column);
    return multiply_panels(p, rows, column, last_column);
}
