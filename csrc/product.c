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
 * Order: blocks of rows, as many as loaded fit BLOCK_BYTES (half of a usual L2 cache); in a block
 * pairs of strips; for a pair, tiles down the rows. A pair of strips is read from memory once for
 * each block of rows, and stays in L1 while the tiles use it. */
#include "core.h"

enum {
    BLOCK_BYTES = 256 * 1024,
    ROW_PADDING = 64,        /* after a loaded row, so that rows do not share cache sets */
    GROUPS_PER_PIECE = 8192, /* 255 * 128 * 4 * 8192 < 2**31: a piece of K fits int32 */
    MOST_PRODUCTS = 65793,   /* 255 * 128 * 65793 < 2**31: so does the raw sum of so many */
};

/* One call of ql_product. */
typedef struct {
    const ql_matrix *b;
    const ql_kernels *kernels;
    const ql_rows *rows;
    const ql_output *output;
    char *y;
    int64_t y_stride;
    int64_t block_rows;
    int64_t panel_stride;
    char *panel;       /* the loaded rows of a block */
    int64_t *row_sums; /* of the block; only if b has zero points */
    int32_t *init;     /* what the sums of each column start from */
    int wide;          /* whether sums need 64 bits */
    int in_place;      /* whether tiles read the rows where they are */
} product;

int ql_fits_int32(int64_t depth, int64_t left, int64_t right, const int32_t *bias,
                  int64_t columns) {
    int64_t largest = 0;
    for (int64_t j = 0; bias != NULL && j < columns; j++)
        largest = ql_max(largest, bias[j] < 0 ? -(int64_t)bias[j] : bias[j]);
    return depth <= MOST_PRODUCTS && depth * left * right + largest <= INT32_MAX;
}

/* How far a loaded number can be from the zero points of the rows. */
static int64_t reach_of_rows(const ql_kernels *kernels, const ql_rows *rows) {
    const int32_t least = kernels->left_signed ? -128 : 0, most = least + 255;
    int64_t reach = 0;
    for (int64_t i = 0; i < (rows->zero_point_step ? rows->count : 1); i++)
        reach = ql_max(reach, ql_max(rows->zero_point[i] - least, most - rows->zero_point[i]));
    return reach;
}

static int32_t bias_of(const product *p, int64_t column) {
    return p->output->bias == NULL ? 0 : p->output->bias[column];
}

static int32_t row_zero_point(const ql_rows *rows, int64_t row) {
    return rows->zero_point[row * rows->zero_point_step];
}

/* colsum(b) - K * zb, modulo 2**32. */
static uint32_t column_term(const ql_matrix *b, int64_t column) {
    return (uint32_t)b->sums[column] - (uint32_t)b->k * (uint32_t)b->zero_point[column];
}

/* bias - za * (colsum - K * zb), without the za term where rows have zero points of their own. */
static void set_init(const product *p) {
    const ql_matrix *b = p->b;
    const uint32_t za = p->rows->zero_point_step ? 0 : (uint32_t)p->rows->zero_point[0];
    const int64_t columns = ql_ceil_div(b->n, QL_STRIP) * QL_STRIP;
    for (int64_t j = 0; j < columns; j++) {
        const uint32_t bias = j < b->n ? (uint32_t)bias_of(p, j) : 0;
        p->init[j] = (int32_t)(bias - za * column_term(b, j));
    }
}

static int64_t sum_row(const ql_kernels *kernels, const char *row, int64_t count) {
    int64_t sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += kernels->element_size == 2 ? ((const int16_t *)row)[k]
               : kernels->left_signed     ? ((const int8_t *)row)[k]
                                          : ((const uint8_t *)row)[k];
    return sum;
}

/* Loads rows into the panel and, if b has zero points, sums each. */
static void load_block(const product *p, int64_t first, int64_t count) {
    const int64_t padded = p->b->groups * p->kernels->dot, size = p->kernels->element_size;
    p->rows->load(p->rows, p->kernels, first, count, p->panel, p->panel_stride);
    for (int64_t i = 0; i < count; i++) {
        char *row = p->panel + i * p->panel_stride;
        memset(row + p->b->k * size, 0, (size_t)((padded - p->b->k) * size));
        if (!p->b->has_zero_point)
            continue;
        p->row_sums[i] = sum_row(p->kernels, row, p->b->k);
    }
}

/* The terms that differ from row to row. */
static void correct(const product *p, int64_t first, int64_t in_block, int64_t rows, int64_t column,
                    int64_t columns, int32_t *sums) {
    const ql_matrix *b = p->b;
    for (int64_t i = 0; i < rows; i++) {
        const uint32_t za =
            p->rows->zero_point_step ? (uint32_t)row_zero_point(p->rows, first + in_block + i) : 0;
        const uint32_t row_sum = b->has_zero_point ? (uint32_t)p->row_sums[in_block + i] : 0;
        for (int64_t j = 0; j < columns; j++)
            sums[i * QL_TILE_COLUMNS + j] =
                (int32_t)((uint32_t)sums[i * QL_TILE_COLUMNS + j] -
                          za * column_term(b, column + j) -
                          (uint32_t)b->zero_point[column + j] * row_sum);
    }
}

/* The sums of a tile piece by piece of K, collected in 64 bits; QL_OVERFLOW if one does not fit. */
static int wide_tile(const product *p, int64_t first, int64_t in_block, int64_t rows,
                     int64_t column, int64_t columns, const char *a, int64_t a_stride,
                     int32_t *sums) {
    const ql_matrix *b = p->b;
    const int strips = columns > QL_STRIP ? 2 : 1;
    const int8_t *strip = b->strips + column / QL_STRIP * b->strip_stride;
    static const int32_t zeros[QL_TILE_COLUMNS];
    int64_t wide[QL_TILE_ROWS][QL_TILE_COLUMNS] = {{0}};
    for (int64_t group = 0; group < b->groups; group += GROUPS_PER_PIECE) {
        p->kernels->tile[rows - 1][strips - 1](
            ql_min(GROUPS_PER_PIECE, b->groups - group),
            a + group * p->kernels->dot * p->kernels->element_size, a_stride,
            strip + group * p->kernels->dot * QL_STRIP, b->strip_stride, zeros, sums);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                wide[i][j] += sums[i * QL_TILE_COLUMNS + j];
    }
    for (int64_t i = 0; i < rows; i++) {
        const int64_t za = row_zero_point(p->rows, first + in_block + i);
        const int64_t row_sum = b->has_zero_point ? p->row_sums[in_block + i] : 0;
        for (int64_t j = 0; j < columns; j++) {
            const int64_t zb = b->zero_point[column + j];
            const int64_t sum = wide[i][j] - za * (b->sums[column + j] - b->k * zb) - zb * row_sum +
                                bias_of(p, column + j);
            if (sum < INT32_MIN || sum > INT32_MAX)
                return QL_OVERFLOW;
            sums[i * QL_TILE_COLUMNS + j] = (int32_t)sum;
        }
    }
    return QL_OK;
}

/* How many of the rows that are left the next tile takes. The last two share them evenly: 13 are
 * 7 + 6, not 12 + 1, where a tile may have 12. */
static int64_t rows_of_tile(const ql_kernels *kernels, int64_t left) {
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

/* A column of tiles of one height: rows `in_block` to `last` of a block, one pair of strips. `a` is
 * the block's first row. */
static int multiply_strips(const product *p, int64_t first, int64_t in_block, int64_t last,
                           int64_t rows, int64_t column, const char *a, int64_t a_stride) {
    const ql_matrix *b = p->b;
    const int64_t width = (int64_t)p->kernels->tile_strips * QL_STRIP;
    const int64_t columns = ql_min(width, b->n - column);
    const int strips = columns > QL_STRIP ? 2 : 1;
    const int8_t *strip = b->strips + column / QL_STRIP * b->strip_stride;
    const int correcting = b->has_zero_point || p->rows->zero_point_step;
    ql_tile *tile = p->kernels->tile[rows - 1][strips - 1];
    int32_t sums[QL_TILE_ROWS * QL_TILE_COLUMNS] __attribute__((aligned(QL_ALIGNMENT)));
    for (int64_t i = in_block; i < last; i += rows) {
        const char *tile_a = a + i * a_stride;
        if (p->wide) {
            const int status =
                wide_tile(p, first, i, rows, column, columns, tile_a, a_stride, sums);
            if (status != QL_OK)
                return status;
        } else {
            tile(b->groups, tile_a, a_stride, strip, b->strip_stride, p->init + column, sums);
            if (correcting)
                correct(p, first, i, rows, column, columns, sums);
        }
        ql_finish(p->kernels, p->output, sums, QL_TILE_COLUMNS, first + i, rows, column, columns,
                  p->y, p->y_stride);
    }
    return QL_OK;
}

/* One block of rows: the tiles of each height in turn, pair of strips by pair of strips. */
static int multiply_block(const product *p, int64_t first, int64_t count, int64_t column,
                          int64_t last_column, const char *a, int64_t a_stride) {
    const int64_t width = (int64_t)p->kernels->tile_strips * QL_STRIP;
    int status = QL_OK;
    for (int64_t i = 0, last; i < count && status == QL_OK; i = last) {
        const int64_t rows = rows_of_tile(p->kernels, count - i);
        last = i + rows * tiles_alike(p->kernels, count - i);
        if (p->kernels->prepare != NULL)
            p->kernels->prepare(rows);
        for (int64_t at = column; at < last_column && status == QL_OK; at += width)
            status = multiply_strips(p, first, i, last, rows, at, a, a_stride);
    }
    return status;
}

/* Rows `first` to `last`, columns `column` to `last_column`, block by block. */
static int multiply_part(const product *p, int64_t first, int64_t last, int64_t column,
                         int64_t last_column) {
    int status = QL_OK;
    for (; first < last && status == QL_OK; first += p->block_rows) {
        const int64_t count = ql_min(p->block_rows, last - first);
        const char *a = p->panel;
        if (p->in_place)
            a = (const char *)p->rows->bytes + first * p->rows->stride;
        else
            load_block(p, first, count);
        const int64_t stride = p->in_place ? p->rows->stride : p->panel_stride;
        status = multiply_block(p, first, count, column, last_column, a, stride);
    }
    return status;
}

/* Whether tiles may read the rows where they are: as the numbers that they want already, without a
 * rest of K that a group would read past, without row sums, and not all in one cache set. */
static int readable_in_place(const product *p) {
    const ql_rows *rows = p->rows;
    return rows->bytes != NULL && rows->flip == 0 && p->kernels->element_size == 1 &&
           p->b->k == p->b->groups * p->kernels->dot && !p->b->has_zero_point &&
           (rows->stride % 2048 != 0 || rows->count < 8);
}

/* A product cut into chunks of rows and columns for the threads. */
typedef struct {
    product whole;
    int64_t chunk_rows, chunk_columns, across; /* chunks side by side */
    ql_status status;
} chunked;

static void multiply_chunk(void *context, long chunk) {
    chunked *c = context;
    product p = c->whole;
    const int64_t first = chunk / c->across * c->chunk_rows;
    const int64_t column = chunk % c->across * c->chunk_columns;
    const int64_t last = ql_min(p.rows->count, first + c->chunk_rows);
    const int64_t last_column = ql_min(p.b->n, column + c->chunk_columns);
    p.block_rows = ql_min(p.block_rows, last - first);
    const int64_t panel_size = p.in_place ? 0 : p.block_rows * p.panel_stride;
    p.panel = ql_allocate((size_t)(panel_size + p.block_rows * 8));
    if (p.panel == NULL) {
        ql_report(&c->status, QL_NO_MEMORY);
        return;
    }
    p.row_sums = (int64_t *)(p.panel + panel_size);
    ql_report(&c->status, multiply_part(&p, first, last, column, last_column));
    ql_release(p.panel);
    if (p.kernels->release != NULL)
        p.kernels->release();
}

/* Whether a product takes longer than waking a thread: by its arithmetic, or by the bytes of b that
 * it reads, which is what bounds products of few rows. */
static int worth_sharing(const product *p) {
    const double bytes_worth = 512 * 1024;
    const double bytes = (double)p->b->k * (double)p->b->n;
    return bytes * (double)p->rows->count / (double)p->kernels->small + bytes / bytes_worth >= 1;
}

/* Chunks for the threads, or one for the caller where a product is too small to share. Rows are cut
 * first: a cut of the columns loads the rows once more. */
static long cut(chunked *c) {
    enum { CHUNKS_PER_THREAD = 4, LEAST_COLUMNS = 128 };
    const product *p = &c->whole;
    const int64_t rows = p->rows->count, columns = p->b->n, tile = p->kernels->tile_rows;
    const int64_t threads = ql_threads();
    c->chunk_rows = rows;
    c->chunk_columns = columns;
    c->across = 1;
    if (threads == 1 || !worth_sharing(p))
        return 1;
    const int64_t wanted = threads * CHUNKS_PER_THREAD;
    c->chunk_rows = ql_max(ql_ceil_div(ql_ceil_div(rows, wanted), tile) * tile, 2 * tile);
    const int64_t down = ql_ceil_div(rows, c->chunk_rows);
    const int64_t across = ql_max(1, ql_min(ql_ceil_div(wanted, down), columns / LEAST_COLUMNS));
    const int64_t width = (int64_t)p->kernels->tile_strips * QL_STRIP;
    c->chunk_columns = ql_ceil_div(ql_ceil_div(columns, across), width) * width;
    c->across = ql_ceil_div(columns, c->chunk_columns);
    return (long)(down * c->across);
}

int ql_product(const ql_matrix *b, const ql_rows *rows, const ql_output *output, void *y,
               int64_t y_stride) {
    if (rows->count == 0 || b->n == 0)
        return QL_OK;
    chunked c = {.whole = {.b = b,
                           .kernels = b->kernels,
                           .rows = rows,
                           .output = output,
                           .y = y,
                           .y_stride = y_stride}};
    product *p = &c.whole;
    const int64_t row_size = b->groups * p->kernels->dot * p->kernels->element_size;
    const int64_t columns = ql_ceil_div(b->n, QL_STRIP) * QL_STRIP + QL_STRIP;
    const int64_t tile = p->kernels->tile_rows;
    p->in_place = readable_in_place(p);
    p->panel_stride = ((row_size + QL_ALIGNMENT - 1) & -QL_ALIGNMENT) + ROW_PADDING;
    p->block_rows = ql_max(BLOCK_BYTES / p->panel_stride / tile, 1) * tile;
    p->wide = !ql_fits_int32(b->k, reach_of_rows(p->kernels, rows), b->reach, output->bias, b->n);
    p->init = ql_allocate((size_t)columns * 4);
    if (p->init == NULL)
        return QL_NO_MEMORY;
    memset(p->init + columns - QL_STRIP, 0, QL_STRIP * 4);
    set_init(p);
    ql_run_chunks(cut(&c), multiply_chunk, &c);
    ql_release(p->init);
    return ql_reported(&c.status);
}

/* --- outputs -------------------------------------------------------------------------------- */

static void requantize_rows(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                            int64_t sums_stride, int64_t row, int64_t rows, const float *multiplier,
                            int64_t columns, uint8_t *y, int64_t y_stride) {
    const int64_t code = row * o->code_step;
    kernels->requantize(sums, sums_stride, rows, columns, multiplier, o->zero_point[code],
                        o->lower[code], o->upper[code], y, y_stride);
}

/* A row that has multipliers of its own, which are written out for a few columns at a time. */
static void requantize_row(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                           int64_t row, int64_t column, int64_t columns, uint8_t *y) {
    const float factor = o->row_factor == NULL ? 1 : o->row_factor[row * o->row_step];
    const float divisor = o->row_divisor == NULL ? 1 : o->row_divisor[row * o->row_step];
    float multiplier[QL_TILE_COLUMNS];
    for (int64_t first = 0; first < columns; first += QL_TILE_COLUMNS) {
        const int64_t count = ql_min(QL_TILE_COLUMNS, columns - first);
        for (int64_t j = 0; j < count; j++)
            multiplier[j] = factor * o->multiplier[column + first + j] / divisor;
        requantize_rows(kernels, o, sums + first, 0, row, 1, multiplier, count, y + first, 0);
    }
}

static void rescale_rows(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                         int64_t sums_stride, int64_t row, int64_t rows, int64_t column,
                         int64_t columns, float *y, int64_t y_stride) {
    static const float one = 1;
    const float *factor = &one;
    const int64_t step = o->row_factor == NULL ? 0 : o->row_step;
    if (o->row_factor != NULL)
        factor = o->row_factor + row * step;
    const float *bias = o->bias_real == NULL ? NULL : o->bias_real + column;
    kernels->rescale(sums, sums_stride, rows, columns, o->multiplier + column, factor, step, bias,
                     o->lower_real, o->upper_real, y, y_stride);
}

void ql_finish(const ql_kernels *kernels, const ql_output *output, const int32_t *sums,
               int64_t sums_stride, int64_t row, int64_t rows, int64_t column, int64_t columns,
               void *y, int64_t y_stride) {
    const int64_t at = row * y_stride + column;
    uint8_t *codes = (uint8_t *)y + at;
    if (output->type == QL_INT32)
        kernels->copy(sums, sums_stride, rows, columns, (int32_t *)y + at, y_stride);
    else if (output->type == QL_FLOAT32)
        rescale_rows(kernels, output, sums, sums_stride, row, rows, column, columns,
                     (float *)y + at, y_stride);
    else if (!output->code_step && output->row_factor == NULL && output->row_divisor == NULL)
        requantize_rows(kernels, output, sums, sums_stride, row, rows, output->multiplier + column,
                        columns, codes, y_stride);
    else
        for (int64_t i = 0; i < rows; i++)
            requantize_row(kernels, output, sums + i * sums_stride, row + i, column, columns,
                           codes + i * y_stride);
}
