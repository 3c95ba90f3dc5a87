/* Tiles of a product, one below the other: their sums, and what becomes of them.
 *
 * Where sums stay in registers of the processor, a tile is stored, and perhaps finished, while the
 * next one is multiplied, whichever column that is in: `held` keeps what belongs to it. */
#include "product.h"

enum {
    GROUPS_PER_PIECE = 8192, /* 255 * 128 * 4 * 8192 < 2**31: a piece of K fits int32 */
    SUMS_STRIDE = QL_TILE_COLUMNS * sizeof(int32_t),
    ROWS_TOGETHER = 2 * QL_TILE_ROWS /* that are finished, of tiles that are not held: 8 KiB */
};

/* The terms that differ from row to row. */
static void correct(const ql_multiplication *p, int64_t first, int64_t in_block, int64_t rows,
                    int64_t column, int64_t columns, int32_t *sums) {
    int32_t row_sum[ROWS_TOGETHER], zero_point[ROWS_TOGETHER];
    for (int64_t i = 0; i < rows; i++) {
        row_sum[i] = p->b->has_zero_point ? (int32_t)p->row_sums[in_block + i] : 0;
        zero_point[i] = p->rows->zero_point_step || p->sliced
                            ? ql_row_zero_point(p->rows, first + in_block + i)
                            : 0;
    }
    p->kernels->correct(sums, QL_TILE_COLUMNS, rows, ql_whole_strips(columns), row_sum,
                        p->b->zero_point + column, zero_point, p->column_terms + column);
}

/* Whether tiles of so many rows are vectors in a table of larger registers. */
static int is_few(const ql_multiplication *p, int64_t rows) {
    return rows <= p->kernels->few_rows && !p->is_signed && p->rows->places == NULL;
}

/* How many rows tiles of a height read. */
static int64_t rows_read(const ql_multiplication *p, const ql_block *block, int64_t rows) {
    const int64_t step = p->kernels->row_step;
    return block->spare && !is_few(p, rows) ? ql_ceil_div(rows, step) * step : rows;
}

/* Readies the processor for tiles of so many rows, unless it is; it forgets what it holds. */
static void prepare(const ql_multiplication *p, int64_t rows) {
    const int64_t wanted = rows % p->kernels->row_step == 0 ? p->kernels->tile_rows : rows;
    if (p->held->ready == wanted)
        return;
    ql_complete_held(p);
    p->kernels->prepare(wanted);
    p->held->ready = wanted;
}

static void set_kernels(ql_tiles *t) {
    const ql_multiplication *p = t->whole;
    const ql_kernels *kernels = p->kernels;
    const int64_t rows = rows_read(p, t->block, t->rows);
    const int strips = t->columns > QL_STRIP ? 2 : 1, is_whole = rows > kernels->row_step;
    if (kernels->multiply_held[0][0][0] == NULL || is_few(p, rows)) {
        t->tile = kernels->tile[rows - 1][strips - 1];
        return;
    }
    prepare(p, rows);
    t->multiply = kernels->multiply_held[p->is_signed][is_whole][strips - 1];
    t->store = kernels->store_held[is_whole][strips - 1];
}

/* --- sums ----------------------------------------------------------------------------------- */

/* Groups `group` to `last` of K of the tile that begins at row `row` of the block. Its sums start
 * from `init`, whose rows are `init_stride` bytes apart. */
static ql_held_tile operands_of(const ql_tiles *t, int64_t row, int64_t group, int64_t last,
                                const int32_t *init, int64_t init_stride) {
    const ql_multiplication *p = t->whole;
    const int64_t stride = p->b->strip_stride, depth = group * p->kernels->dot;
    const ql_place *places = p->rows->places;
    ql_held_tile tile = {.groups = last - group,
                         .a = t->block->a + row * t->block->stride,
                         .a_stride = t->block->stride,
                         .b = p->b->strips + t->column / QL_STRIP * stride,
                         .b_stride = stride,
                         .init = init,
                         .init_stride = init_stride};
    if (places == NULL) {
        tile.a += depth * p->kernels->element_size;
        tile.b += depth * QL_STRIP;
    } else {
        tile.places = places + depth / QL_ALIGNMENT;
    }
    return tile;
}

/* The sums of a tile over some groups, stored at once; `init` is shared by its rows. */
static void multiply_and_store(const ql_tiles *t, int64_t row, int64_t group, int64_t last,
                               const int32_t *init, int32_t *sums) {
    const ql_held_tile tile = operands_of(t, row, group, last, init, 0);
    if (t->tile != NULL) {
        t->tile(tile.groups, tile.a, tile.a_stride, tile.b, tile.b_stride, init, sums);
        return;
    }
    t->multiply(&tile, (ql_sums_place){NULL, 0}, NULL);
    t->store((ql_sums_place){sums, SUMS_STRIDE});
}

/* The sums of a tile piece by piece of K, collected in 64 bits; QL_OVERFLOW if one does not fit. */
static int wide_tile(const ql_tiles *t, int64_t in_block, int32_t *sums) {
    const ql_multiplication *p = t->whole;
    const ql_matrix *b = p->b;
    static const int32_t zeros[QL_TILE_COLUMNS];
    int64_t wide[QL_TILE_ROWS][QL_TILE_COLUMNS] = {{0}};
    for (int64_t group = 0; group < b->groups; group += GROUPS_PER_PIECE) {
        multiply_and_store(t, in_block, group, ql_min(group + GROUPS_PER_PIECE, b->groups), zeros,
                           sums);
        for (int64_t i = 0; i < t->rows; i++)
            for (int64_t j = 0; j < t->columns; j++)
                wide[i][j] += sums[i * QL_TILE_COLUMNS + j];
    }
    for (int64_t i = 0; i < t->rows; i++) {
        if (!ql_has_result(&p->rows->lines, t->block->first + in_block + i))
            continue;
        const int64_t za = ql_row_zero_point(p->rows, t->block->first + in_block + i);
        const int64_t row_sum = b->has_zero_point ? p->row_sums[in_block + i] : 0;
        for (int64_t j = 0; j < t->columns; j++) {
            const int64_t zb = b->zero_point[t->column + j];
            const int64_t sum = wide[i][j] - za * (b->sums[t->column + j] - b->k * zb) -
                                zb * row_sum + ql_bias_of(p, t->column + j);
            if (sum < INT32_MIN || sum > INT32_MAX)
                return QL_OVERFLOW;
            sums[i * QL_TILE_COLUMNS + j] = (int32_t)sum;
        }
    }
    return QL_OK;
}

/* Where the sums are that were begun of the tile at a row of the block. */
static int32_t *begun_sums(const ql_tiles *t, int64_t row) {
    return t->whole->begun + (row - t->first) * QL_TILE_COLUMNS;
}

/* Where a pair of strips does not stay in the first cache, its tiles are computed in pieces of K
 * whose strips do: all of them but the last piece. */
static void begin_sums(ql_tiles *t) {
    const ql_multiplication *p = t->whole;
    if (p->begun == NULL || t->multiply == NULL || p->wide)
        return;
    ql_complete_held(p); /* whose sums may be there */
    for (int64_t next = p->piece; next < p->b->groups; next += p->piece) {
        ql_sums_place before = {NULL, SUMS_STRIDE};
        for (int64_t i = t->first; i < t->last; i += t->rows) {
            const int is_first = t->begun == 0;
            const ql_held_tile tile =
                operands_of(t, i, t->begun, next, is_first ? p->init + t->column : begun_sums(t, i),
                            is_first ? 0 : SUMS_STRIDE);
            t->multiply(&tile, before, NULL);
            before.sums = begun_sums(t, i);
        }
        t->store(before);
        t->begun = next;
    }
}

/* --- results -------------------------------------------------------------------------------- */

static int corrects(const ql_multiplication *p) {
    return p->b->has_zero_point || p->rows->zero_point_step;
}

/* What is left to do with the sums of some rows. */
static void finish(const ql_tiles *t, int64_t row, int64_t rows, int32_t *sums) {
    const ql_multiplication *p = t->whole;
    if (!p->wide && corrects(p))
        correct(p, t->block->first, row, rows, t->column, t->columns, sums);
    ql_finish_tile(p->kernels, p->output, &p->rows->lines, sums, t->block->first + row, rows,
                   t->column, t->columns, &t->to);
}

/* As many tiles as there is room for are finished together: of few products, the calls that it
 * takes, and waiting for the first results, cost as much as the sums. */
static int multiply_each(const ql_tiles *t) {
    const ql_multiplication *p = t->whole;
    const int64_t together = ROWS_TOGETHER / t->rows * t->rows;
    int32_t sums[ROWS_TOGETHER * QL_TILE_COLUMNS] __attribute__((aligned(QL_ALIGNMENT)));
    for (int64_t first = t->first, last; first < t->last; first = last) {
        last = ql_min(first + together, t->last);
        int32_t *to = sums;
        for (int64_t i = first; i < last; i += t->rows, to += t->rows * QL_TILE_COLUMNS)
            if (!p->wide)
                multiply_and_store(t, i, 0, p->b->groups, p->init + t->column, to);
            else if (wide_tile(t, i, to) != QL_OK)
                return QL_OVERFLOW;
        finish(t, first, last - first, sums);
    }
    return QL_OK;
}

/* --- tiles that are held -------------------------------------------------------------------- */

/* Whether sums are results, whole cache lines of them, and had better be stored where they belong:
 * where those stay in the second cache, or there are too few products to copy them beside. */
static int are_results(const ql_tiles *t) {
    enum { FEW_PRODUCTS = 128, FEW_RESULTS = 128 * 1024 };
    const ql_multiplication *p = t->whole;
    return p->output->type == QL_INT32 && !corrects(p) && t->to.staging == NULL &&
           p->rows->lines.rows == 0 && t->columns % QL_STRIP == 0 && ql_are_lines(&t->to) &&
           !p->past_caches && rows_read(p, t->block, t->rows) == t->rows &&
           (p->b->k <= FEW_PRODUCTS || (double)p->rows->count * (double)p->b->n <= FEW_RESULTS);
}

/* Whether a tile can be finished beside the products of the next: one of all rows and strips, whose
 * results follow each from its sum, its column and a factor of its row. */
static int is_finished_beside(const ql_tiles *t) {
    const ql_multiplication *p = t->whole;
    const ql_output *o = p->output;
    if (t->rows != p->kernels->tile_rows || t->columns <= QL_STRIP || corrects(p))
        return 0;
    if (o->type == QL_FLOAT32)
        return o->residual == NULL && (o->row_factor == NULL || p->rows->lines.rows == 0);
    if (o->residual != NULL && p->b->k <= QL_ALIGNMENT) /* a single step, which hides nothing */
        return 0;
    return !o->code_step && o->row_factor == NULL && o->row_divisor == NULL;
}

/* The codes that are added to those of each row, which lie as those do. */
static void set_residual(const ql_tiles *t, const char *unused, ql_pending *pending) {
    const ql_output *o = t->whole->output;
    const int is_staged = t->to.staging != NULL;
    const char *start = is_staged ? t->to.staging : t->to.y;
    const uint8_t *codes = is_staged ? t->to.staged_residual : o->residual;
    pending->residual = ql_residual_at(o, 0, 0);
    for (int64_t i = 0; i < t->rows; i++)
        pending->added[i] =
            pending->y[i] == unused ? (const uint8_t *)unused : codes + (pending->y[i] - start);
}

static void set_codes(const ql_tiles *t, const char *unused, ql_pending *pending) {
    const ql_output *o = t->whole->output;
    pending->zero_point = o->zero_point[0];
    pending->lower = o->lower[0];
    pending->upper = o->upper[0];
    pending->residual.codes = NULL;
    if (o->residual != NULL)
        set_residual(t, unused, pending);
}

static void set_reals(const ql_tiles *t, int64_t row, ql_pending *pending) {
    static const float one = 1;
    const ql_output *o = t->whole->output;
    pending->row_step = o->row_factor == NULL ? 0 : o->row_step;
    pending->row_factor = &one;
    if (o->row_factor != NULL)
        pending->row_factor = o->row_factor + (t->block->first + row) * o->row_step;
    pending->bias = o->bias_real == NULL ? NULL : o->bias_real + t->column;
    pending->lower_real = o->lower_real;
    pending->upper_real = o->upper_real;
}

/* What is pending of the tile at a row of the block, to whose sums the start is to be added. */
static void set_pending(const ql_tiles *t, int64_t row, const int32_t *start, char *unused,
                        ql_pending *pending) {
    const ql_output *o = t->whole->output;
    pending->type = o->type;
    pending->start = start;
    pending->columns = t->columns;
    pending->past_caches = t->whole->past_caches && t->columns == QL_TILE_COLUMNS;
    ql_places_of_rows(&t->whole->rows->lines, t->block->first + row, t->rows, t->column, &t->to,
                      ql_size_of_result(o->type), unused, pending->y);
    if (o->type == QL_INT32)
        return;
    pending->multiplier = o->multiplier + t->column;
    if (o->type == QL_FLOAT32)
        set_reals(t, row, pending);
    else
        set_codes(t, unused, pending);
}

/* The tile at a row of the block is what the processor holds now. */
static void hold(const ql_tiles *t, int64_t row, int is_pending, const int32_t *start,
                 ql_held *held) {
    held->is_held = 1;
    held->row = row;
    held->is_pending = is_pending;
    if (are_results(t)) {
        const int64_t at = (t->block->first + row) * t->to.y_stride + t->column;
        held->to =
            (ql_sums_place){(int32_t *)t->to.y + at, t->to.y_stride * (int64_t)sizeof(int32_t)};
        return;
    }
    held->to = (ql_sums_place){held->sums, SUMS_STRIDE};
    if (is_pending)
        set_pending(t, row, start, held->unused, &held->pending);
}

/* What is left to do with a tile that has been stored. */
static void finish_stored(const ql_held *held) {
    if (held->to.sums == held->sums)
        finish(&held->of, held->row, held->of.rows, held->to.sums);
}

void ql_complete_held(const ql_multiplication *p) {
    ql_held *held = p->held;
    if (!held->is_held)
        return;
    held->is_held = 0;
    held->of.store(held->to);
    finish_stored(held);
}

static void multiply_held(const ql_tiles *t) {
    const ql_multiplication *p = t->whole;
    ql_held *held = p->held;
    if (held->is_held && held->of.store != t->store)
        ql_complete_held(p);
    static const int32_t nothing[QL_TILE_COLUMNS];
    const int32_t *start = p->init + t->column;
    const int goes_on = t->begun > 0, is_pending = !are_results(t) && is_finished_beside(t);
    for (int64_t i = t->first; i < t->last; i += t->rows) {
        /* The next tile of the column finishes this one; others may have to wait with theirs. */
        const int begins_at_zero = is_pending && !goes_on && i + t->rows < t->last;
        const int32_t *init = goes_on ? begun_sums(t, i) : begins_at_zero ? NULL : start;
        const ql_held_tile tile =
            operands_of(t, i, t->begun, p->b->groups, init, goes_on ? SUMS_STRIDE : 0);
        const ql_sums_place nowhere = {NULL, 0};
        const int finishes = held->is_held && held->is_pending;
        t->multiply(&tile, held->is_held ? held->to : nowhere, finishes ? &held->pending : NULL);
        if (held->is_held && !finishes)
            finish_stored(held);
        if (i == t->first)
            held->of = *t;
        hold(t, i, is_pending, begins_at_zero ? start : nothing, held);
    }
}

int ql_multiply_tiles(const ql_multiplication *p, const ql_block *block, int64_t first,
                      int64_t last, int64_t rows, int64_t column) {
    const int64_t width = (int64_t)p->kernels->tile_strips * QL_STRIP;
    ql_tiles t = {.whole = p,
                  .block = block,
                  .first = first,
                  .last = last,
                  .rows = rows,
                  .column = column,
                  .columns = ql_min(width, p->b->n - column),
                  .to = p->to};
    t.to.first_staged = ql_first_result(&p->rows->lines, block->first + first);
    const int64_t last_result = ql_first_result(&p->rows->lines, block->first + last);
    if (t.to.staged_residual != NULL)
        ql_stage_residual(p->kernels, p->output, last_result, column, t.columns, &t.to);
    set_kernels(&t);
    begin_sums(&t);
    if (t.multiply != NULL && !p->wide)
        multiply_held(&t);
    else if (multiply_each(&t) != QL_OK)
        return QL_OVERFLOW;
    if (t.to.staging != NULL) {
        ql_complete_held(p);
        ql_place_staged(p->kernels, p->output, last_result, column, t.columns, &t.to);
    }
    return QL_OK;
}

/* --- sums that are kept --------------------------------------------------------------------- */

void ql_add_products(const ql_multiplication *p, const ql_block *block, int64_t row, int64_t rows,
                     int64_t column, int goes_on, int32_t *sums) {
    ql_tiles t = {.whole = p,
                  .block = block,
                  .rows = rows,
                  .column = column,
                  .columns = ql_min(QL_TILE_COLUMNS, p->b->n - column)};
    set_kernels(&t);
    const ql_held_tile tile = operands_of(
        &t, row, 0, p->b->groups, goes_on ? sums : p->init + column, goes_on ? SUMS_STRIDE : 0);
    t.multiply(&tile, (ql_sums_place){NULL, 0}, NULL);
    t.store((ql_sums_place){sums, SUMS_STRIDE});
}

void ql_finish_products(const ql_multiplication *p, const ql_block *block, int64_t row,
                        int64_t rows, int64_t column, int32_t *sums) {
    const int64_t columns = ql_min(QL_TILE_COLUMNS, p->b->n - column);
    correct(p, block->first, row, rows, column, columns, sums);
    ql_finish_tile(p->kernels, p->output, &p->rows->lines, sums, block->first + row, rows, column,
                   columns, &p->to);
}
