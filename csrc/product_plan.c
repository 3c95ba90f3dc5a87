/* How a product is done: which rows are read where they are, in blocks of how many, and in what
 * chunks for the threads. */
#include "product.h"

enum {
    BLOCK_ROWS = 256,         /* rows that are loaded together: so often is a strip of b used */
    LINES_ROWS = 320,         /* of whole lines, which fill their tiles better the more they are */
    IMAGE_ROWS = 128,         /* of pixels that are transposed, which leave the first cache */
    LINES_BYTES = 512 * 1024, /* of a block of lines, beside which those of input are kept */
    MOST_PRODUCTS = 65793,    /* 255 * 128 * 65793 < 2**31: so does the raw sum of so many */
    SHORT = 512,              /* products of a result that are soon computed */
    WIDE_BYTES = 2000,        /* of a row of results: half a page */
    MANY_BYTES = 2 << 20,     /* of all results: more than a second cache holds */
    LEAVING_BYTES = 16 << 20  /* of them: more than it pays to keep */
};

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

static int64_t size_of_row(const ql_multiplication *p) {
    return p->b->groups * p->kernels->dot * p->kernels->element_size;
}

/* --- results -------------------------------------------------------------------------------- */

/* Whether results are more than the caches hold, rows of them half a page apart, and soon computed.
 * Then storing takes most of the time; and down a column of tiles nearly each row is in one more
 * page, of which a processor has only so many at hand. */
static int is_wide_and_short(const ql_multiplication *p) {
    const int64_t row = p->to.y_stride * ql_size_of_result(p->output->type);
    return p->b->k <= SHORT && p->to.image == 0 && p->rows->lines.rows == 0 && row >= WIDE_BYTES &&
           (double)row * (double)p->rows->count >= MANY_BYTES;
}

/* Whether results are so many that a line had better not be read only to be written, although who
 * reads them next finds them in no cache; not where that takes longer than the products. */
static int leaves_caches(const ql_multiplication *p) {
    return p->to.image == 0 && ql_size_of_result(p->output->type) == 4 && ql_are_lines(&p->to) &&
           p->b->k > SHORT && (double)p->rows->count * (double)p->to.y_stride * 4 >= LEAVING_BYTES;
}

/* --- rows where they are -------------------------------------------------------------------- */

/* With so many columns, so many tiles read each row that it had better be copied to where it is
 * read faster: rows across cache lines, or from few cache sets, of which lines an even number apart
 * share half, and those a multiple of four lines apart more. */
static int64_t columns_worth_a_copy(const ql_multiplication *p) {
    enum { SET_BYTES = 2048, MANY = 640, SOME = 320, FEW = 256 };
    const ql_rows *rows = p->rows;
    const uintptr_t places = (uintptr_t)rows->bytes | (uintptr_t)rows->stride;
    const int64_t alignment = p->kernels->row_alignment;
    if (places % (uintptr_t)alignment != 0)
        return FEW;
    if (alignment == 1)
        return rows->stride % SET_BYTES == 0 ? MANY : INT64_MAX;
    const int64_t lines = rows->stride / alignment;
    return lines % 2 != 0 ? INT64_MAX : lines % 4 != 0 ? MANY : SOME;
}

/* Whether tiles may read rows of bytes instead of loaded ones, a rest of K aside: without row sums,
 * and where that is fast: tiles of a sliced operand read each row again for every pair of strips,
 * so that even few rows across cache lines had better be copied. */
static int readable(const ql_multiplication *p) {
    enum { FEW_ROWS = 8, FEW_TILES = 4 };
    const ql_kernels *kernels = p->kernels;
    const int64_t few = kernels->row_alignment == 1 ? FEW_ROWS : FEW_TILES * kernels->tile_rows;
    if (p->rows->bytes == NULL || kernels->element_size != 1 || p->b->has_zero_point)
        return 0;
    const uintptr_t places = (uintptr_t)p->rows->bytes | (uintptr_t)p->rows->stride;
    const int is_slow = p->sliced && places % (uintptr_t)kernels->row_alignment != 0;
    return (p->rows->count < few && !is_slow) || p->b->n < columns_worth_a_copy(p);
}

/* How many rows can be read where they are. Where K is not whole groups, tiles read on into the
 * rows behind, whose codes meet zeros in the strips; the last rows, which have none, are loaded. */
static int64_t rows_in_place(const ql_multiplication *p) {
    const ql_rows *rows = p->rows;
    const int64_t excess = p->b->groups * p->kernels->dot - p->b->k;
    if (!readable(p) || rows->flip != 0)
        return 0;
    if (excess == 0)
        return rows->count;
    if (rows->stride < p->b->k || p->b->k == 0 || p->operand != NULL)
        return 0;
    const int64_t before_the_last = rows->count - ql_ceil_div(excess, rows->stride);
    return before_the_last < 0 ? 0
                               : before_the_last / p->kernels->tile_rows * p->kernels->tile_rows;
}

/* int8 codes need no flip, and so can be read in place, by tiles that take them as they are. */
static int takes_as_signed(const ql_multiplication *p) {
    const ql_rows *rows = p->rows;
    if (rows->places != NULL)
        return rows->flip != 0;
    return p->kernels->multiply_held[1][0][0] != NULL && rows->flip != 0 && readable(p) &&
           !p->wide && !p->direct && !rows->zero_point_step && rows->count > QL_DIRECT_ROWS;
}

/* Whether the columns are few, and rows lie in memory for them, each with a result. */
static int is_narrow(const ql_multiplication *p) {
    return p->b->columns != NULL && p->rows->bytes != NULL && p->rows->image == 0 &&
           p->rows->lines.rows == 0;
}

/* --- chunks --------------------------------------------------------------------------------- */

/* A product cut into chunks of rows and columns for the threads. */
typedef struct {
    ql_multiplication whole;
    int64_t chunk_rows, chunk_columns, across; /* chunks side by side */
    ql_status status;
} chunked;

/* Of a block, and what tiles read behind: rows that make them whole, the rest of overlapping ones.
 */
static int64_t size_of_panel(const ql_multiplication *p, int64_t loaded) {
    if (p->rows->places != NULL)
        return p->rows->panel;
    const int64_t excess = p->rows->overlap ? size_of_row(p) + QL_TRANSPOSE_EXCESS : 0;
    const int64_t rows = loaded + p->kernels->row_step - 1;
    return (rows * p->panel_stride + excess + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
}

/* The memory that a chunk works in: loaded rows, their sums and, where b is packed just in time, a
 * panel of it and what belongs to its columns. */
static char *workspace(ql_multiplication *p, int64_t loaded, int64_t columns) {
    const int64_t rows_size = loaded == 0 ? 0 : size_of_panel(p, loaded);
    const int64_t sums_size = p->b->has_zero_point ? loaded * 8 : 0;
    const int packs = p->operand != NULL && !p->direct;
    const int64_t panel = packs ? ql_whole_strips(ql_columns_of_panel(p, columns)) : 0;
    const int64_t most = p->sliced ? ql_whole_strips(columns) : panel;
    const int64_t staged = p->to.image == 0 ? 0 : p->block_rows * QL_TILE_COLUMNS;
    const int64_t staging = staged * (p->output->residual == NULL ? 4 : 5);
    const int64_t scratch = (p->rows->scratch + 7) & -8;
    const int64_t begun_columns = p->piece > 0 ? QL_TILE_COLUMNS
                                  : p->sliced
                                      ? ql_ceil_div(columns, QL_TILE_COLUMNS) * QL_TILE_COLUMNS
                                      : 0;
    const int64_t begun = (p->block_rows + QL_TILE_ROWS) * begun_columns * 4;
    char *borrowed =
        ql_borrow((size_t)(begun + rows_size + sums_size + most * 8 + scratch + staging));
    if (borrowed == NULL)
        return NULL;
    char *memory = borrowed + begun;
    p->begun = begun == 0 ? NULL : (int32_t *)borrowed;
    p->panel = memory;
    p->row_sums = (int64_t *)(memory + rows_size);
    p->scratch = memory + rows_size + sums_size + most * 8;
    p->to.staging = staging == 0 ? NULL : p->scratch + scratch;
    if (staging > staged * 4)
        p->to.staged_residual = (uint8_t *)p->to.staging + staged * 4;
    if (!packs)
        return borrowed;
    p->init = (int32_t *)(memory + rows_size + sums_size);
    p->column_terms = p->init + most;
    p->packed = ql_matrix_room(p->kernels, p->sliced ? ql_depth_of_slice(p) : p->b->k, panel, 1);
    if (p->packed != NULL)
        return borrowed;
    ql_return(borrowed);
    return NULL;
}

static void multiply_chunk(void *context, long chunk) {
    chunked *c = context;
    ql_multiplication p = c->whole;
    ql_held held;
    held.ready = held.is_held = 0;
    memset(held.unused, 0, sizeof held.unused);
    p.held = &held;
    const int64_t first = chunk / c->across * c->chunk_rows;
    const int64_t column = chunk % c->across * c->chunk_columns;
    const int64_t last = ql_min(p.rows->count, first + c->chunk_rows);
    const int64_t last_column = ql_min(p.b->n, column + c->chunk_columns);
    p.block_rows = ql_min(p.block_rows, last - first);
    const int64_t loaded = ql_min(p.block_rows, last - ql_max(ql_min(p.in_place, last), first));
    char *memory = workspace(&p, loaded, last_column - column);
    if (memory == NULL) {
        ql_report(&c->status, QL_NO_MEMORY);
        return;
    }
    ql_report(&c->status, ql_multiply_part(&p, first, last, column, last_column));
    ql_return(p.packed);
    ql_return(memory);
    if (held.ready != 0)
        p.kernels->release();
}

/* Whether a product takes longer than waking a thread: by its arithmetic, or by the bytes that it
 * reads and writes, which is what bounds products of few rows, or of few products each. */
static int worth_sharing(const ql_multiplication *p) {
    const double bytes_worth = 512 * 1024;
    const double rows = (double)p->rows->count, k = (double)p->b->k, n = (double)p->b->n;
    const double bytes = k * n + rows * (k + n * (double)ql_size_of_result(p->output->type));
    return rows * k * n / (double)p->kernels->small + bytes / bytes_worth >= 1;
}

/* The time that a chunk takes, in products: those of its tiles and as many as could be done while
 * it begins, while its rows are loaded, if they are, and while its columns are packed, if they are;
 * and, for rows in places, which take little loading, while strips are read that are more than the
 * second cache holds: then threads had better share columns. */
static double cost_of_chunk(const ql_multiplication *p, int64_t rows, int64_t columns) {
    /* Of a small product; for each byte. */
    enum { BEGINNINGS = 16, LOADING = 32, PACKING = 128, READING = 64 };
    const double depth = (double)(p->b->groups * p->kernels->dot);
    const int64_t step = p->kernels->row_step;
    const double tiles = (double)(ql_ceil_div(rows, step) * step * ql_whole_strips(columns));
    const double loaded = p->in_place > 0 ? 0 : LOADING * (double)rows;
    const double packed = p->operand == NULL || p->direct ? 0 : PACKING * (double)columns;
    const int is_far = p->rows->places != NULL && p->b->k * p->b->n > QL_BLOCK_BYTES;
    const double read = is_far ? READING * (double)columns : 0;
    return (double)p->kernels->small / BEGINNINGS + depth * (tiles + loaded + packed + read);
}

/* Cuts rows and columns so many times, or less often where chunks could not be whole tiles. */
static void cut_into(chunked *c, int64_t down, int64_t across) {
    const ql_multiplication *p = &c->whole;
    const int64_t part = p->rows->lines.rows, unit = part > 0 ? part : p->kernels->tile_rows;
    c->chunk_rows = ql_ceil_div(ql_ceil_div(p->rows->count, down), unit) * unit;
    c->chunk_columns =
        ql_ceil_div(ql_ceil_div(p->b->n, across), QL_PANEL_COLUMNS) * QL_PANEL_COLUMNS;
    c->across = ql_ceil_div(p->b->n, c->chunk_columns);
}

static int64_t chunks_of(const chunked *c) {
    return ql_ceil_div(c->whole.rows->count, c->chunk_rows) * c->across;
}

/* The most that a thread has to do. */
static double longest_share(const chunked *c, int64_t threads) {
    const ql_multiplication *p = &c->whole;
    const int64_t rounds = ql_ceil_div(chunks_of(c), threads);
    return (double)rounds * cost_of_chunk(p, ql_min(c->chunk_rows, p->rows->count),
                                          ql_min(c->chunk_columns, p->b->n));
}

/* Chunks for the threads, or one for the caller where a product is too small to share. More chunks
 * than threads let a thread that is disturbed do less: of the cuts that take about as long as the
 * shortest one, it is that into the most chunks. */
static long cut(chunked *c) {
    enum { CHUNKS_PER_THREAD = 4, NEARLY = 16 };
    const int64_t threads = ql_threads();
    cut_into(c, 1, 1);
    if (threads == 1 || !worth_sharing(&c->whole))
        return 1;
    double shortest = longest_share(c, threads);
    chunked best = *c;
    for (int64_t wanted = threads; wanted <= threads * CHUNKS_PER_THREAD; wanted *= 2)
        for (int64_t across = 1; across <= wanted; across *= 2) {
            cut_into(c, ql_ceil_div(wanted, across), across);
            const double longest = longest_share(c, threads);
            const int is_shorter = longest < shortest;
            if (is_shorter ||
                (longest < shortest + shortest / NEARLY && chunks_of(c) > chunks_of(&best)))
                best = *c;
            if (is_shorter)
                shortest = longest;
        }
    *c = best;
    return (long)chunks_of(c);
}

/* What belongs to all columns of a packed operand; QL_NO_MEMORY if there is no room. */
static int prepare_columns(ql_multiplication *p) {
    const int64_t columns = ql_whole_strips(p->b->n);
    p->init = ql_allocate((size_t)columns * 8);
    if (p->init == NULL)
        return QL_NO_MEMORY;
    p->column_terms = p->init + columns;
    ql_set_columns(p);
    return QL_OK;
}

/* How many rows are loaded together: whole tiles, or whole parts of lines, then as many as fill
 * their tiles best. */
static int64_t rows_of_block(const ql_multiplication *p) {
    const int64_t tile = p->kernels->tile_rows, part = p->rows->lines.rows;
    if (p->rows->lines.most > 0)
        return p->rows->lines.most;
    const int64_t wanted = part > 0 ? LINES_ROWS : p->to.image > 0 ? IMAGE_ROWS : BLOCK_ROWS;
    const int64_t bytes = part > 0 ? LINES_BYTES : QL_BLOCK_BYTES;
    const int64_t most = ql_min(wanted, ql_max(bytes / p->panel_stride, tile));
    if (part == 0)
        return most / tile * tile;
    const int64_t between = part - p->rows->lines.results;
    int64_t best = 1;
    for (int64_t count = 2; count * part <= most; count++) {
        const int64_t tiles = ql_ceil_div(count * part - between, tile);
        if (count * ql_ceil_div(best * part - between, tile) >= best * tiles)
            best = count;
    }
    return best * part;
}

/* How many groups of K tiles take together where all are too many, evenly, or 0. What it costs to
 * go on from sums that were begun is only worth it for columns of several tiles, and not where the
 * same rows are read again and again, which then stay in the first cache instead. */
static int64_t groups_of_piece(const ql_multiplication *p) {
    enum { SEVERAL = 8 };
    const ql_kernels *kernels = p->kernels;
    const int64_t groups = p->b->groups, most = kernels->most_groups;
    if (most == 0 || groups <= most || p->wide || p->rows->places != NULL ||
        p->rows->count < SEVERAL * kernels->tile_rows)
        return 0;
    const int64_t step = kernels->group_step;
    return ql_ceil_div(ql_ceil_div(groups, ql_ceil_div(groups, most)), step) * step;
}

/* Bytes from one loaded row to the next: an odd number of cache lines, which share no cache sets.
 */
static int64_t stride_of_loaded_rows(const ql_multiplication *p) {
    return (size_of_row(p) + QL_ALIGNMENT - 1) / QL_ALIGNMENT * QL_ALIGNMENT | QL_ALIGNMENT;
}

int ql_product(const ql_matrix *b, const ql_operand *operand, const ql_rows *rows,
               const ql_output *output, void *y, int64_t y_stride) {
    if (rows->count == 0 || b->n == 0)
        return QL_OK;
    chunked c = {.whole = {.b = b,
                           .operand = operand,
                           .kernels = b->kernels,
                           .rows = rows,
                           .output = output,
                           .to = {.y = y, .y_stride = y_stride, .image = rows->image}}};
    ql_multiplication *p = &c.whole;
    p->panel_stride = rows->overlap ? rows->overlap : stride_of_loaded_rows(p);
    p->block_rows = rows_of_block(p);
    if (operand != NULL)
        p->block_rows = rows->count; /* for packing once more would cost more */
    p->wide = !ql_fits_int32(b->k, reach_of_rows(p->kernels, rows), b->reach, output->bias, b->n);
    p->piece = groups_of_piece(p);
    p->along_rows = is_wide_and_short(p);
    p->past_caches = leaves_caches(p);
    p->direct = operand != NULL && !p->wide && ql_is_direct(p->kernels, operand, rows->count);
    p->sliced = ql_is_sliced(p);
    p->narrow = is_narrow(p);
    ql_rows as_signed = *rows;
    const int32_t zero_point = rows->zero_point[0] - 128;
    if (!p->narrow && takes_as_signed(p)) {
        as_signed.flip = 0;
        as_signed.zero_point = &zero_point;
        p->rows = &as_signed;
        p->is_signed = 1;
    }
    p->in_place = p->narrow ? rows->count : rows_in_place(p);
    if (operand == NULL && prepare_columns(p) != QL_OK)
        return QL_NO_MEMORY;
    ql_run_chunks(cut(&c), multiply_chunk, &c);
    ql_release(p->init);
    return ql_reported(&c.status);
}
