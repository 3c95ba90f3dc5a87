/* Products with a right operand of hardly any columns, such as a matrix times a vector.
 *
 * A tile would use one or two of its 16 columns, and loading rows for it would cost more than the
 * products. Instead rows are read once, where they lie: each is multiplied by whole columns, which
 * lie contiguous, and summed across. The zero points' terms are those of csrc/product.c; the sums
 * of rows, where a column has a zero point, are products with one more column, of ones.
 *
 * Sums come column by column. So a single column is finished like a row: what belongs to its rows
 * takes the place of what belongs to columns. */
#include "core.h"

enum {
    ROWS = 256,    /* whose sums are kept */
    PIECE = 32768, /* 255 * 128 * 32768 < 2**31: the products of a piece of K fit int32 */
    COLUMNS = QL_NARROW + 1
};

/* --- columns -------------------------------------------------------------------------------- */

/* Several sums of a row are put side by side before they are finished, which costs more than tiles
 * do where rows are short. */
int ql_is_narrow(const ql_kernels *kernels, int64_t k, int64_t columns) {
    enum { LEAST_DEPTH = 128 };
    if (k > PTRDIFF_MAX / 64) /* a view that repeats one byte: see ql_matrix_room */
        return 0;
    return columns == 1 || (columns > 1 && columns <= kernels->narrow_columns && k >= LEAST_DEPTH);
}

static int64_t stride_of_columns(int64_t k) {
    return (k + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
}

static void copy_column(const uint8_t *restrict from, int64_t step, uint8_t flip, int64_t count,
                        int8_t *restrict to) {
    if (step == 1)
        for (int64_t k = 0; k < count; k++)
            to[k] = (int8_t)(from[k] ^ flip);
    else
        for (int64_t k = 0; k < count; k++)
            to[k] = (int8_t)(from[k * step] ^ flip);
}

int ql_narrow_pack(ql_matrix *matrix, const ql_operand *b) {
    const int64_t count = b->n + (matrix->has_zero_point != 0);
    if (b->k > PTRDIFF_MAX / QL_ALIGNMENT)
        return QL_NO_MEMORY;
    const int64_t stride = stride_of_columns(b->k);
    int8_t *columns = ql_allocate((size_t)(count * stride));
    if (columns == NULL)
        return QL_NO_MEMORY;
    for (int64_t j = 0; j < b->n; j++)
        copy_column(b->bytes + j * b->n_stride, b->k_stride, ql_flip(b->is_signed, 1), b->k,
                    columns + j * stride);
    if (matrix->has_zero_point)
        memset(columns + b->n * stride, 1, (size_t)b->k);
    for (int64_t j = 0; j < count; j++)
        memset(columns + j * stride + b->k, 0, (size_t)(stride - b->k));
    matrix->columns = columns;
    matrix->size += count * stride;
    return QL_OK;
}

static int64_t sum_of_column(const ql_matrix *matrix, int64_t column) {
    const int8_t *codes = matrix->columns + column * stride_of_columns(matrix->k);
    return matrix->kernels->total((const uint8_t *)codes, matrix->k, 0x80) - 128 * matrix->k;
}

int ql_narrow_describe(ql_matrix *matrix, const ql_operand *b) {
    if (ql_narrow_pack(matrix, b) != QL_OK)
        return QL_NO_MEMORY;
    for (int64_t j = 0; j < b->n; j++) {
        matrix->sums[j] = sum_of_column(matrix, j);
        matrix->zero_point[j] = b->zero_points[j] + ql_shift(b->is_signed, 1);
    }
    return QL_OK;
}

/* --- sums ----------------------------------------------------------------------------------- */

static void multiply(const ql_narrow_product *p, const uint8_t *a, int64_t rows, int64_t first_k,
                     int64_t k, const int32_t *start, int32_t *sums) {
    const ql_matrix *b = p->b;
    b->kernels->narrow(a + first_k, p->rows->stride, rows, k, p->rows->flip, b->columns + first_k,
                       stride_of_columns(b->k), b->n + (b->has_zero_point != 0), start, sums, ROWS);
}

/* Takes off the terms that differ from row to row. */
static void correct(const ql_narrow_product *p, int64_t first, int64_t rows, int32_t *sums) {
    const ql_matrix *b = p->b;
    int32_t row_zero_points[ROWS] = {0};
    for (int64_t i = 0; p->rows->zero_point_step && i < rows; i++)
        row_zero_points[i] = p->rows->zero_point[first + i];
    const int32_t *row_sums = b->has_zero_point ? sums + b->n * ROWS : row_zero_points;
    b->kernels->correct(sums, ROWS, b->n, ql_ceil_div(rows, QL_STRIP) * QL_STRIP, b->zero_point,
                        row_sums, p->column_terms, row_zero_points);
}

static void narrow_sums(const ql_narrow_product *p, const uint8_t *a, int64_t first, int64_t rows,
                        int32_t *sums) {
    int32_t start[COLUMNS] = {0};
    memcpy(start, p->init, (size_t)p->b->n * 4);
    multiply(p, a, rows, 0, p->b->k, start, sums);
    if (p->b->has_zero_point || p->rows->zero_point_step)
        correct(p, first, rows, sums);
}

/* The same piece by piece of K, collected in 64 bits; QL_OVERFLOW if a sum does not fit. */
static int wide_sums(const ql_narrow_product *p, const uint8_t *a, int64_t first, int64_t rows,
                     int32_t *sums) {
    static const int32_t zeros[COLUMNS];
    const ql_matrix *b = p->b;
    int64_t wide[COLUMNS][ROWS] = {{0}};
    for (int64_t k = 0; k < b->k; k += PIECE) {
        multiply(p, a, rows, k, ql_min(PIECE, b->k - k), zeros, sums);
        for (int64_t j = 0; j < b->n + (b->has_zero_point != 0); j++)
            for (int64_t i = 0; i < rows; i++)
                wide[j][i] += sums[j * ROWS + i];
    }
    for (int64_t j = 0; j < b->n; j++) {
        const int64_t zb = b->zero_point[j], term = b->sums[j] - b->k * zb;
        for (int64_t i = 0; i < rows; i++) {
            const int64_t za = p->rows->zero_point[(first + i) * p->rows->zero_point_step];
            const int64_t row_sum = b->has_zero_point ? wide[b->n][i] : 0;
            const int64_t bias = p->output->bias == NULL ? 0 : p->output->bias[j];
            const int64_t sum = wide[j][i] - za * term - zb * row_sum + bias;
            if (sum < INT32_MIN || sum > INT32_MAX)
                return QL_OVERFLOW;
            sums[j * ROWS + i] = (int32_t)sum;
        }
    }
    return QL_OK;
}

/* --- results -------------------------------------------------------------------------------- */

/* Whether a single column can be finished like a row. */
static int is_like_a_row(const ql_narrow_product *p) {
    return p->b->n == 1 && p->y_stride == 1 && !p->output->code_step && p->output->residual == NULL;
}

/* What the sums of each row are multiplied by, with the operations of csrc/finish.c. */
static void set_multipliers(const ql_output *o, int64_t first, int64_t rows, float *multiplier) {
    const float *factor = o->row_factor, *divisor = o->row_divisor;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t at = (first + i) * o->row_step;
        multiplier[i] = (factor == NULL ? 1 : factor[at]) * o->multiplier[0];
        if (divisor != NULL)
            multiplier[i] /= divisor[at];
    }
}

static void finish_like_a_row(const ql_narrow_product *p, const int32_t *sums, int64_t first,
                              int64_t rows) {
    static const float one = 1;
    const ql_kernels *kernels = p->b->kernels;
    const ql_output *o = p->output;
    float multiplier[ROWS], bias[ROWS];
    if (o->type == QL_INT32) {
        kernels->copy(sums, 0, 1, rows, (int32_t *)p->y + first, 0);
        return;
    }
    set_multipliers(o, first, rows, multiplier);
    if (o->type != QL_FLOAT32) {
        kernels->requantize(sums, 0, 1, rows, multiplier, o->zero_point[0], o->lower[0],
                            o->upper[0], (uint8_t *)p->y + first, 0);
        return;
    }
    for (int64_t i = 0; o->bias_real != NULL && i < rows; i++)
        bias[i] = o->bias_real[0];
    kernels->rescale(sums, 0, 1, rows, multiplier, &one, 0, o->bias_real == NULL ? NULL : bias,
                     o->lower_real, o->upper_real, (float *)p->y + first, 0);
}

/* Tile by tile: there, columns lie side by side. */
static void finish_tiles(const ql_narrow_product *p, const int32_t *sums, int64_t first,
                         int64_t rows) {
    int32_t tile[QL_TILE_ROWS * QL_TILE_COLUMNS] = {0};
    for (int64_t at = 0; at < rows; at += QL_TILE_ROWS) {
        const int64_t count = ql_min(QL_TILE_ROWS, rows - at);
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < p->b->n; j++)
                tile[i * QL_TILE_COLUMNS + j] = sums[j * ROWS + at + i];
        ql_finish(p->b->kernels, p->output, tile, QL_TILE_COLUMNS, first + at, count, 0, p->b->n,
                  p->y, p->y_stride);
    }
}

int ql_narrow_multiply(const ql_narrow_product *p, int64_t first, int64_t rows) {
    int32_t sums[COLUMNS * ROWS] __attribute__((aligned(QL_ALIGNMENT)));
    for (const int64_t last = first + rows; first < last; first += ROWS) {
        const int64_t count = ql_min(ROWS, last - first);
        const uint8_t *a = p->rows->bytes + first * p->rows->stride;
        if (!p->wide)
            narrow_sums(p, a, first, count, sums);
        else if (wide_sums(p, a, first, count, sums) != QL_OK)
            return QL_OVERFLOW;
        if (is_like_a_row(p))
            finish_like_a_row(p, sums, first, count);
        else
            finish_tiles(p, sums, first, count);
    }
    return QL_OK;
}
