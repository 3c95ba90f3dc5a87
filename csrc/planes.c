/* Convolutions with channels first, without transposing anything: the weights are the left operand
 * of a product whose right one is made of planes of the image,
 *
 *     y[o][place] = start[o] + sum over taps and channels of w[o][tap][c] * x[c][place + tap]
 *
 * so that sums come in rows of a plane of y. What dot products of four bytes want of a right
 * operand is the four bytes of one column side by side; therefore the planes of a block of input
 * are interleaved, four channels at a time, into elements of four bytes, one for each place: a few
 * unpackings for 256 bytes. Tiles read them where they are, 16 places and up to 16 groups of
 * channels at once.
 *
 * A kernel of one tap has the pixels of the output for places. Otherwise a block is of whole lines,
 * each with its padding, which has the code of the zero point, whose products are 0: places follow
 * one another line after line, those between lines have no result, and padding that ends a line
 * begins the next one. A tap is then no more than an offset.
 *
 * Under most taps, 16 elements lie across cache lines, and loading them takes longer than their
 * products. So, of kernels of several taps and many channels, where there are tiles for it, a place
 * is a whole pixel, the 64 channels of a part of K in a cache line, and the left operand: its sums,
 * and the codes of those, are transposed on their way into planes. With a stride, lines and columns
 * are kept in phases, one stride apart in each, so that the places that a tap sees follow one
 * another there, too. (Elements of four channels would have to be put side by side: of such
 * convolutions the products of conv.c take less time.)
 *
 * Of kernels of a few channels, as in first layers, a place is a whole patch: the bytes under one
 * column of the kernel, of all lines and channels, lie together, columns follow one another, and
 * the patch of a result begins a stride of columns after that of the one before (patches.c).
 *
 * Groups are convolutions of their own, of images that follow one another like those of a batch.
 *
 * What belongs to the zero point of x is the same for all places of a row, and starts its sums,
 * like the bias. Weights have no zero point here (conv.c takes the others), and sums fit int32.
 *
 * A thread needs a block of places, up to BLOCK_BYTES (planes_place.c), and a tile of sums; a call,
 * 72 bytes for each row (groups have whole tiles of them), 8 for each part of K and 4 for each
 * pixel of a few lines. Places are taken 64 at a time, which is a cache line of codes, and all
 * weights go by, unless those of one tile stay in the first cache: then all places of a block do.
 * Large weights go by only once for all places of a block.
 *
 * Where K is not deep, tiles are strips: the rows of one block of weights at all 64 places, whose
 * codes are whole cache lines. Those take about as long as the products, and are computed beside
 * the products of the second next tile, whose sums are not those being stored. */
#include "planes.h"

enum {
    WEIGHT_BYTES = 1 << 20,  /* that stay in the second cache besides */
    FIRST_BYTES = 18 * 1024, /* of weights of a tile, or of places, that stay in the first one */
    STRIP_BYTES = 16 * 1024, /* of WIDEST places that do, while the weights of strips go by */
    TALLEST = QL_PLANE_ROWS,
    WIDEST = QL_PLACES
};

/* Tiles of sums are stored and finished alone; or beside the next one; or so are strips of rows. */
typedef enum { ALONE, BESIDE, STRIPS } way;

/* One call. */
typedef struct {
    const ql_plane_filter *filter;
    const ql_kernels *kernels;
    const ql_conv_shape *shape;
    const ql_output *output;
    char *y;
    ql_plane_input input;
    ql_plane_product product;
    const int32_t *start_of_row; /* what sums start from */
    const int32_t *start;        /* the same QL_STRIP times each, unless codes are beside */
    const float *multiplier;
    ql_codes codes;
    int has_codes;
    way way;
    int64_t blocks;      /* of an image */
    int64_t across;      /* chunks side by side, which share a block */
    int64_t chunk_rows;  /* of each */
    int64_t images;      /* each as often as there are groups */
    int64_t chunk_items; /* images times blocks */
    ql_status status;
} convolution;

int ql_planes_take(const ql_plane_filter *f, const ql_conv_shape *s, const ql_output *output) {
    return output->residual == NULL &&
           ql_fits_int32(f->taps * f->channels, 255, 128, output->bias, f->group * f->rows) &&
           ql_can_place(f, s);
}

/* --- results -------------------------------------------------------------------------------- */

/* The results of `count` places from one on, line by line; returns how many runs there are. */
static int64_t runs_of(const convolution *c, int64_t place, int64_t count,
                       ql_place_run runs[WIDEST]) {
    int64_t found = 0;
    if (c->input.at.pitch == c->input.at.width) {
        runs[0] = (ql_place_run){0, count, place};
        return 1;
    }
    for (int64_t i = 0; i < count;) {
        const int64_t line = (place + i) / c->input.at.pitch,
                      column = (place + i) % c->input.at.pitch;
        const int64_t results = ql_min(c->input.at.width - column, count - i);
        if (results > 0)
            runs[found++] = (ql_place_run){i, results, line * c->input.at.width + column};
        i += c->input.at.pitch - column;
    }
    return found;
}

/* A row of reals with a bias of its own. */
static void rescale_row(const convolution *c, const int32_t *sums, const ql_place_run *run,
                        const float *ones, int64_t row, float *y) {
    const ql_output *o = c->output;
    float bias[WIDEST];
    for (int64_t i = 0; o->bias_real != NULL && i < run->count; i++)
        bias[i] = o->bias_real[ql_channel_of_row(c->filter, row)];
    c->kernels->rescale(sums, 0, 1, run->count, ones, c->multiplier + row, 0,
                        o->bias_real == NULL ? NULL : bias, o->lower_real, o->upper_real, y, 0);
}

/* A row of codes whose multiplier is too large for the kernel. */
static void requantize_row(const convolution *c, const int32_t *sums, const ql_place_run *run,
                           int64_t row, uint8_t *y) {
    const ql_output *o = c->output;
    float multiplier[WIDEST];
    for (int64_t i = 0; i < run->count; i++)
        multiplier[i] = c->multiplier[row];
    c->kernels->requantize(sums, 0, 1, run->count, multiplier, *o->zero_point, *o->lower, *o->upper,
                           y, 0);
}

static void finish_run(const convolution *c, const int32_t *sums, const ql_place_run *run,
                       int64_t row, int64_t rows, int64_t at) {
    const int64_t plane = ql_pixels_of(c->shape->out);
    sums += run->first;
    at += run->to;
    if (c->output->type == QL_INT32) {
        c->kernels->copy(sums, WIDEST, rows, run->count, (int32_t *)c->y + at, plane);
        return;
    }
    float ones[WIDEST];
    for (int64_t i = 0; i < run->count; i++)
        ones[i] = 1;
    for (int64_t i = 0; i < rows; i++, sums += WIDEST, at += plane)
        if (c->output->type == QL_FLOAT32)
            rescale_row(c, sums, run, ones, row + i, (float *)c->y + at);
        else
            requantize_row(c, sums, run, row + i, (uint8_t *)c->y + at);
}

/* Where the results of a row of an image's convolution begin. */
static int64_t first_result(const convolution *c, int64_t image, int64_t row) {
    return (image * c->filter->rows + row % c->filter->row_step) * ql_pixels_of(c->shape->out);
}

static void finish(const convolution *c, const int32_t *sums, const ql_place_run *runs,
                   int64_t count, int64_t image, int64_t row, int64_t rows) {
    const int64_t plane = ql_pixels_of(c->shape->out), at = first_result(c, image, row);
    if (c->has_codes) {
        ql_codes codes = c->codes;
        codes.multiplier += row;
        c->kernels->plane_codes(sums, rows, runs, count, &codes, (uint8_t *)c->y + at, plane);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        finish_run(c, sums, runs + i, row, rows, at);
}

/* --- chunks --------------------------------------------------------------------------------- */

/* The sums of a few rows at up to WIDEST places. */
static void sum_tile(const convolution *c, int64_t row, int64_t rows, const uint8_t *x,
                     int64_t places, int32_t *sums) {
    const ql_plane_filter *f = c->filter;
    const int8_t *w = f->weights + row / QL_STRIP * f->block_step;
    if (!f->of_pixels) {
        c->kernels->plane_tile(&c->product, w, x, rows, places, c->start + row * QL_STRIP, sums);
        return;
    }
    int32_t of_pixels[QL_FEW_PLACES * TALLEST] __attribute__((aligned(QL_ALIGNMENT)));
    const ql_pending_places none = {.rows = 0};
    for (int64_t i = 0; i < places; i += QL_FEW_PLACES) {
        const int64_t some = ql_min(QL_FEW_PLACES, places - i);
        c->kernels->pixel_tile(&c->product, w, x + i * ql_place_bytes(f), rows, some, NULL, &none);
        c->kernels->pixel_tile(&c->product, NULL, NULL, 0, 0, of_pixels, &none);
        ql_transpose_part(c->kernels, of_pixels, TALLEST, some, rows, sums + i, WIDEST, 4);
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < places; j++) {
            const uint32_t start = (uint32_t)c->start_of_row[row + i];
            sums[i * WIDEST + j] = (int32_t)((uint32_t)sums[i * WIDEST + j] + start);
        }
}

/* Rows `row` to `last_row` of the places `first` to `last` of a block, which begins with `begin`.
 */
static void convolve_places(const convolution *c, int64_t image, int64_t begin, int64_t first,
                            int64_t last, int64_t row, int64_t last_row, const uint8_t *block,
                            int32_t *sums) {
    const ql_plane_filter *f = c->filter;
    for (int64_t place = first; place < last; place += WIDEST) {
        const int64_t places = ql_min(WIDEST, last - place);
        const uint8_t *x = block + (place - begin) * ql_place_bytes(f);
        ql_place_run runs[WIDEST];
        const int64_t count = runs_of(c, place, places, runs);
        for (int64_t i = row; i < last_row; i += TALLEST) {
            const int64_t rows = ql_min(TALLEST, last_row - i);
            sum_tile(c, i, rows, x, places, sums);
            finish(c, sums, runs, count, image, i, rows);
        }
    }
}

/* Which of a few places have results, and where in a plane those belong. */
typedef struct {
    uint64_t has_result;
    int64_t before; /* so many results come before */
} few_places;

static few_places few_places_from(const convolution *c, int64_t place, int64_t count) {
    const ql_placing *at = &c->input.at;
    int64_t column = place % at->pitch;
    few_places found = {0, place / at->pitch * at->width + ql_min(column, at->width)};
    for (int64_t i = 0; i < count; i += at->pitch - column, column = 0) {
        const int64_t results = ql_min(at->width - column, count - i);
        if (results > 0)
            found.has_result |= ~(uint64_t)0 >> (WIDEST - results) << i;
    }
    return found;
}

static ql_pending_places pending_places(const convolution *c, int64_t image, int64_t row,
                                        int64_t rows, const few_places *found, int32_t *sums) {
    const int64_t plane = ql_pixels_of(c->shape->out);
    ql_pending_places pending = {
        .sums = sums,
        .start = c->start_of_row + row,
        .rows = rows,
        .has_result = found->has_result,
        .codes = c->codes,
        .y = (uint8_t *)c->y + first_result(c, image, row) + found->before,
        .plane = plane,
    };
    pending.codes.multiplier += row;
    return pending;
}

/* What a chunk has not finished: the tile that the processor holds and, of strips and of pixels,
 * the one that was stored before. */
typedef struct {
    ql_pending_places held, stored;
} unfinished;

static int32_t *held_sums(const unfinished *rest) {
    return rest->held.rows > 0 ? rest->held.sums : NULL;
}

/* Multiplies a few rows at up to QL_FEW_PLACES places, and meanwhile stores the tile before and
 * finishes it; or, of pixels, finishes the one that was stored. */
static void sum_tile_beside(const convolution *c, int64_t row, int64_t rows, const uint8_t *x,
                            int64_t places, unfinished *rest) {
    const ql_plane_filter *f = c->filter;
    const int8_t *w = f->weights + row / QL_STRIP * f->block_step;
    if (!f->of_pixels) {
        c->kernels->plane_tile_beside(&c->product, w, x, rows, places, &rest->held);
        return;
    }
    c->kernels->pixel_tile(&c->product, w, x, rows, places, held_sums(rest), &rest->stored);
    rest->stored = rest->held;
}

/* The same, the codes of each tile beside the products of the next, or of pixels the second next:
 * two tiles of sums take turns, for which places and weights of planes leave no room in the first
 * cache. Weights of a block of rows are in it for the second few places of WIDEST. */
static void convolve_places_beside(const convolution *c, int64_t image, int64_t begin,
                                   int64_t first, int64_t last, int64_t row, int64_t last_row,
                                   const uint8_t *block, int32_t *sums, unfinished *rest) {
    enum { TILES = WIDEST / QL_FEW_PLACES };
    int32_t *others = c->filter->of_pixels ? sums + TALLEST * QL_FEW_PLACES : sums;
    const int goes_on = c->filter->overlap > 0 || last_row - row <= TALLEST;
    const int64_t bytes = ql_place_bytes(c->filter);
    for (int64_t place = first; place < last; place += WIDEST) {
        const int64_t places = ql_min(WIDEST, last - place);
        few_places found[TILES];
        for (int64_t j = 0; j < places; j += QL_FEW_PLACES)
            found[j / QL_FEW_PLACES] =
                few_places_from(c, place + j, ql_min(QL_FEW_PLACES, places - j));
        for (int64_t i = row; i < last_row; i += TALLEST)
            for (int64_t j = 0; j < places; j += QL_FEW_PLACES) {
                const int64_t rows = ql_min(TALLEST, last_row - i);
                sum_tile_beside(c, i, rows, block + (place + j - begin) * bytes,
                                ql_min(QL_FEW_PLACES, places - j), rest);
                rest->held = pending_places(c, image, i, rows, &found[j / QL_FEW_PLACES],
                                            rest->held.sums == sums ? others : sums);
                rest->held.goes_on = goes_on;
            }
    }
}

/* The same by strips of rows at WIDEST places, which stay in the first cache; the codes of each
 * beside the products of the second next. Two tiles of sums take turns. */
static void convolve_strips(const convolution *c, int64_t image, int64_t begin, int64_t first,
                            int64_t last, int64_t row, int64_t last_row, const uint8_t *block,
                            int32_t *sums, unfinished *rest) {
    const ql_plane_filter *f = c->filter;
    for (int64_t place = first; place < last; place += WIDEST) {
        const int64_t places = ql_min(WIDEST, last - place);
        const few_places found = few_places_from(c, place, places);
        for (int64_t i = row; i < last_row; i += QL_STRIP) {
            int32_t *before = held_sums(rest);
            c->kernels->plane_strip_beside(&c->product, f->weights + i / QL_STRIP * f->block_step,
                                           block + (place - begin) * QL_PLANE_GROUP, places, before,
                                           &rest->stored);
            rest->stored = rest->held;
            rest->held = pending_places(c, image, i, ql_min(QL_STRIP, last_row - i), &found,
                                        before == sums ? sums + QL_STRIP * WIDEST : sums);
        }
    }
}

/* Stores and finishes the rest. */
static void complete(const convolution *c, unfinished *rest) {
    if (c->way == BESIDE)
        sum_tile_beside(c, 0, 0, NULL, 0, rest);
    if (c->way == BESIDE && c->filter->of_pixels) {
        rest->held.rows = 0;
        sum_tile_beside(c, 0, 0, NULL, 0, rest);
    }
    if (c->way != STRIPS)
        return;
    c->kernels->plane_strip_beside(&c->product, NULL, NULL, 0, held_sums(rest), &rest->stored);
    c->kernels->plane_strip_beside(&c->product, NULL, NULL, 0, NULL, &rest->held);
}

/* Strips where places stay in the first cache, and all weights in the second one. */
static way way_of(const convolution *c) {
    const ql_plane_filter *f = c->filter;
    if (!c->has_codes || (!f->of_pixels && c->kernels->plane_strip_beside == NULL))
        return ALONE;
    const int64_t bytes = WIDEST * f->taps * ql_plane_groups(f) * QL_PLANE_GROUP;
    return !f->of_pixels && bytes <= STRIP_BYTES ? STRIPS : BESIDE;
}

/* One block; a few rows at a time where all weights are too many to stay in the second cache, or
 * where those of a tile stay in the first one and places do not. */
static void convolve_block(const convolution *c, int64_t item, int64_t row, int64_t last_row,
                           uint8_t *block, int32_t *sums, unfinished *rest) {
    const int64_t image = item / c->blocks, which = item % c->blocks;
    const int64_t first = ql_first_of_block(&c->input.at, which);
    const int64_t last =
        ql_min(ql_first_of_block(&c->input.at, which + 1), c->input.at.lines * c->input.at.pitch);
    const int64_t strip = c->filter->block_step, weights = (last_row - row) / QL_STRIP * strip;
    const int64_t of_places = WIDEST * c->filter->taps * c->filter->channels;
    const int stay = c->way == BESIDE && of_places > FIRST_BYTES && 2 * strip <= FIRST_BYTES;
    const int64_t step = weights > WEIGHT_BYTES || stay ? TALLEST : last_row - row;
    row += image % c->filter->group * c->filter->row_step;
    last_row += image % c->filter->group * c->filter->row_step;
    ql_load_places(&c->input, image, first, last, block);
    for (int64_t i = row, next; i < last_row; i = next) {
        next = ql_min(i + step, last_row);
        if (c->way == STRIPS)
            convolve_strips(c, image, first, first, last, i, next, block, sums, rest);
        else if (c->way == BESIDE)
            convolve_places_beside(c, image, first, first, last, i, next, block, sums, rest);
        else
            convolve_places(c, image, first, first, last, i, next, block, sums);
    }
}

static void convolve_chunk(void *context, long chunk) {
    convolution *c = context;
    const int64_t row = chunk % c->across * c->chunk_rows;
    const int64_t last_row = ql_min(row + c->chunk_rows, c->filter->rows);
    const int64_t first = chunk / c->across * c->chunk_items;
    const int64_t last = ql_min(first + c->chunk_items, c->blocks * c->images);
    const int64_t size = (c->input.at.size + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    uint8_t *block = ql_borrow((size_t)(size + TALLEST * WIDEST * 4));
    if (block == NULL) {
        ql_report(&c->status, QL_NO_MEMORY);
        return;
    }
    if (c->filter->of_pixels)
        c->kernels->prepare_pixels();
    else if (c->kernels->prepare_planes != NULL)
        c->kernels->prepare_planes(c->filter->groups);
    unfinished rest = {.held = {.rows = 0}, .stored = {.rows = 0}};
    for (int64_t item = first; item < last; item++)
        convolve_block(c, item, row, last_row, block, (int32_t *)(block + size), &rest);
    complete(c, &rest);
    ql_return(block);
    if (c->kernels->release != NULL)
        c->kernels->release();
}

/* --- calls ---------------------------------------------------------------------------------- */

/* The largest that a sum can be, the bias included. */
static int64_t largest_sum(const convolution *c) {
    int64_t largest = 0;
    for (int64_t i = 0; c->output->bias != NULL && i < c->shape->out_channels; i++) {
        const int64_t bias = c->output->bias[i];
        largest = ql_max(largest, bias < 0 ? -bias : bias);
    }
    return c->filter->taps * c->filter->channels * 255 * 128 + largest;
}

/* What the sums of each row start from, and what they are multiplied by. */
static void prepare_rows(convolution *c, int32_t zero_point, int32_t *start, float *multiplier) {
    const ql_output *o = c->output;
    const float factor = o->row_factor == NULL ? 1 : *o->row_factor;
    const float divisor = o->row_divisor == NULL || o->type == QL_FLOAT32 ? 1 : *o->row_divisor;
    const float most = 0x1p30f / (float)largest_sum(c);
    int within = 1;
    for (int64_t channel = 0; channel < c->shape->out_channels; channel++) {
        const uint32_t bias = o->bias == NULL ? 0 : (uint32_t)o->bias[channel];
        const int64_t row = ql_plane_row(c->filter, channel);
        start[row] = (int32_t)(bias - (uint32_t)zero_point * (uint32_t)c->filter->sums[channel]);
        if (o->type == QL_INT32)
            continue;
        multiplier[row] = factor * o->multiplier[channel] / divisor;
        within &= (multiplier[row] <= most) & (multiplier[row] >= -most);
    }
    c->start_of_row = start;
    c->multiplier = multiplier;
    c->has_codes = ql_size_of_result(o->type) == 1 && within;
    if (!c->has_codes)
        return;
    const int32_t shift = ql_shift(o->type == QL_INT8, 0);
    c->codes = (ql_codes){.multiplier = multiplier,
                          .zero_point = *o->zero_point + shift,
                          .lower = *o->lower + shift,
                          .upper = *o->upper + shift,
                          .flip = ql_flip(0, o->type == QL_INT8)};
}

/* The same QL_STRIP times each, as tiles of places want it. */
static void repeat_start(convolution *c, int64_t rows, int32_t *start) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < QL_STRIP; i++)
            start[row * QL_STRIP + i] = c->start_of_row[row];
    c->start = start;
}

/* How many chunks the threads had better have. */
static int64_t chunks_wanted(const ql_plane_filter *f, const ql_conv_shape *s) {
    /* Where tiles are multiplied, codes and loading take as long as so many products of a sum. */
    enum { CHUNKS_PER_THREAD = 4, OVERHEAD = 144 };
    const int64_t least = f->kernels->plane_tile_beside != NULL ? OVERHEAD : 0;
    const int64_t depth = ql_max(f->taps * f->channels, least);
    const double products =
        (double)depth * (double)s->out_channels * (double)ql_pixels_of(s->out) * (double)s->batch;
    const int64_t threads = ql_threads();
    return threads == 1 || products < (double)f->kernels->small ? 1 : threads * CHUNKS_PER_THREAD;
}

/* Cuts the work: blocks, and their rows where there are few of those, which loads them again. */
static long cut(convolution *c, int64_t wanted) {
    const int64_t items = c->blocks * c->images;
    const int64_t row_blocks = ql_ceil_div(c->filter->rows, TALLEST);
    const int64_t across = 2 * items >= wanted ? 1 : ql_min(wanted / 2 / items, row_blocks);
    c->chunk_items = ql_max(items / wanted, 1);
    c->chunk_rows = ql_ceil_div(row_blocks, across) * TALLEST;
    c->across = ql_ceil_div(c->filter->rows, c->chunk_rows);
    return (long)(ql_ceil_div(items, c->chunk_items) * c->across);
}

int ql_planes_conv(const ql_plane_filter *filter, const uint8_t *x, int x_signed,
                   int32_t x_zero_point, const ql_conv_shape *shape, const ql_output *output,
                   void *y) {
    const int64_t wanted = chunks_wanted(filter, shape);
    convolution c = {
        .filter = filter,
        .kernels = filter->kernels,
        .shape = shape,
        .output = output,
        .y = y,
        .images = shape->batch * filter->group,
        .input = {.filter = filter,
                  .shape = shape,
                  .x = x,
                  .flip = ql_flip(x_signed, 0),
                  .zero = (uint8_t)x_zero_point ^ ql_flip(x_signed, 0),
                  .at = ql_place_planes(filter, shape, x,
                                        ql_ceil_div(wanted, shape->batch * filter->group))}};
    const ql_placing *at = &c.input.at;
    c.blocks = ql_ceil_div(at->lines * at->pitch - at->lead, at->places) + 1;
    const int64_t rows = filter->group * filter->row_step;
    const int64_t parts = ql_plane_steps(filter), lists = ql_count_plane_lists(&c.input);
    char *memory = ql_borrow((size_t)(parts * 8 + (rows * (QL_STRIP + 2) + lists) * 4));
    if (memory == NULL)
        return QL_NO_MEMORY;
    int32_t *start = (int32_t *)memory, *of_row = start + rows * QL_STRIP;
    int64_t *part = (int64_t *)(of_row + 2 * rows);
    memset(of_row, 0, (size_t)rows * 4);
    prepare_rows(&c, x_zero_point + ql_shift(x_signed, 0), of_row, (float *)(of_row + rows));
    ql_list_places(&c.input, (int32_t *)(part + parts));
    ql_set_plane_parts(&c.input, part);
    const int64_t step = filter->of_pixels ? ql_place_bytes(filter) : at->group_step;
    c.product = (ql_plane_product){part, parts, filter->groups, step, filter->block_step};
    c.way = way_of(&c);
    if (c.way == ALONE)
        repeat_start(&c, rows, start);
    ql_run_chunks(cut(&c, wanted), convolve_chunk, &c);
    ql_return(memory);
    return ql_reported(&c.status);
}
