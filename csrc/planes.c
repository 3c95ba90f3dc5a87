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
 * begins the next one. A tap is then no more than an offset. (With a stride, places that a tap sees
 * would have to be put side by side, once for each remainder of lines and columns. That was
 * measured to take longer than the products of conv.c, which therefore have these convolutions; and
 * so have those of many channels where tiles can read them from lines of input, lines.c.)
 *
 * What belongs to the zero point of x is the same for all places of a row, and starts its sums,
 * like the bias. Weights have no zero point here (conv.c takes the others), and sums fit int32.
 *
 * A thread needs a block of interleaved places, up to BLOCK_BYTES, and a tile of sums; a call, 72
 * bytes for each output channel and 8 for each part of K. Places are taken 64 at a time, which is a
 * cache line of codes, and all weights go by; large weights go by only once for all places of a
 * block. */
#include "core.h"

enum {
    FEW_CHANNELS = 16,        /* too few to fill a part of K: conv.c has first layers */
    BLOCK_BYTES = 512 * 1024, /* of places: they stay in the second cache */
    POINT_PLACES = 512,       /* of a kernel of one tap: several cache lines of each plane */
    LEAST_PLACES = 64,        /* of blocks that are made for threads to share */
    FEW_PLACES = 256,         /* of few planes, for blocks that stay in the first cache */
    FEW_PLANES = 128,
    WEIGHT_BYTES = 1 << 20, /* that stay in the second cache besides */
    GROUP = 4,              /* channels */
    PART_GROUPS = QL_PART_BYTES / GROUP,
    PART_SIZE = QL_STRIP * QL_PART_BYTES,
    TALLEST = QL_PLANE_ROWS,
    WIDEST = QL_PLACES
};

struct ql_plane_filter {
    const ql_kernels *kernels;
    int64_t size;
    int64_t channels, rows, taps;
    int64_t groups, parts; /* of a part of K; of each tap */
    int64_t block_step;    /* bytes of QL_STRIP rows */
    int64_t *sums;         /* of each row */
    int8_t *weights;       /* [block of rows][part][tap][row][QL_PART_BYTES] */
};

/* --- weights -------------------------------------------------------------------------------- */

int ql_planes_have_use(const ql_conv_shape *shape, int is_signed, const int32_t *zero_points) {
    const int64_t taps = ql_taps(shape), channels = shape->channels;
    const int strided = shape->stride[1] > 1 || shape->stride[2] > 1;
    const int64_t most = ql_current_kernels()->plane_depth;
    if (ql_current_kernels()->plane_tile == NULL || (most > 0 && taps * channels > most) ||
        shape->group != 1 || shape->kernel[0] != 1 || shape->out_channels == 0 || channels == 0 ||
        (taps > 1 && (strided || channels < FEW_CHANNELS)))
        return 0;
    for (int64_t o = 0; o < shape->out_channels; o++)
        if (zero_points[o] != (is_signed ? 0 : 128))
            return 0;
    return 1;
}

/* Where the weight of (row, tap, channel) is. */
static int64_t place_of(const ql_plane_filter *f, int64_t row, int64_t tap, int64_t channel) {
    const int64_t group = channel / GROUP, part = group / f->groups * f->taps + tap;
    return row / QL_STRIP * f->block_step + part * PART_SIZE + row % QL_STRIP * QL_PART_BYTES +
           group % f->groups * GROUP + channel % GROUP;
}

ql_plane_filter *ql_planes_pack(const uint8_t *w, int is_signed, const ql_conv_shape *shape) {
    const int64_t taps = ql_taps(shape), rows = shape->out_channels;
    const int64_t groups = ql_ceil_div(shape->channels, GROUP);
    const int64_t parts = ql_ceil_div(groups, PART_GROUPS);
    const int64_t block_step = taps * parts * PART_SIZE;
    const int64_t weights = ql_ceil_div(rows, QL_STRIP) * block_step;
    const int64_t header = (int64_t)(sizeof(ql_plane_filter) + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    const int64_t size = header + weights + rows * (int64_t)sizeof(int64_t);
    char *memory = ql_allocate((size_t)size);
    if (memory == NULL)
        return NULL;
    ql_plane_filter *f = (ql_plane_filter *)memory;
    *f = (ql_plane_filter){
        .kernels = ql_current_kernels(),
        .size = size,
        .channels = shape->channels,
        .rows = rows,
        .taps = taps,
        .groups = ql_ceil_div(groups, parts),
        .parts = parts,
        .block_step = block_step,
        .sums = (int64_t *)(memory + header + weights),
        .weights = (int8_t *)(memory + header),
    };
    const uint8_t flip = ql_flip(is_signed, 1);
    memset(f->weights, 0, (size_t)weights);
    for (int64_t row = 0; row < rows; row++) {
        f->sums[row] = 0;
        for (int64_t channel = 0; channel < f->channels; channel++)
            for (int64_t tap = 0; tap < taps; tap++) {
                const int8_t weight = (int8_t)(*w++ ^ flip);
                f->weights[place_of(f, row, tap, channel)] = weight;
                f->sums[row] += weight;
            }
    }
    return f;
}

void ql_planes_unpack(const ql_plane_filter *f, uint8_t *w, int is_signed) {
    const uint8_t flip = ql_flip(1, is_signed);
    for (int64_t row = 0; row < f->rows; row++)
        for (int64_t channel = 0; channel < f->channels; channel++)
            for (int64_t tap = 0; tap < f->taps; tap++)
                *w++ = (uint8_t)f->weights[place_of(f, row, tap, channel)] ^ flip;
}

void ql_planes_free(ql_plane_filter *filter) {
    ql_release(filter);
}

int64_t ql_planes_size(const ql_plane_filter *filter) {
    return filter->size;
}

/* --- places --------------------------------------------------------------------------------- */

/* How the places of an image lie in the output and in the blocks of input. */
typedef struct {
    int is_pointwise;
    int64_t width, pitch;     /* results and places of a line */
    int64_t lines;            /* of an image */
    int64_t places;           /* of a block; whole lines, unless pointwise */
    int64_t lead;             /* of the first one */
    int64_t shared;           /* padding that ends one line and begins the next */
    int64_t group_step, size; /* of a block, in bytes */
} placing;

/* One call. */
typedef struct {
    const ql_plane_filter *filter;
    const ql_kernels *kernels;
    const ql_conv_shape *shape;
    const ql_output *output;
    const uint8_t *x;
    uint8_t flip, zero; /* zero: of the padding, flipped */
    char *y;
    placing at;
    ql_plane_product product;
    const int32_t *start;        /* [row][QL_STRIP] */
    const int32_t *start_of_row; /* the same once */
    const float *multiplier;
    ql_codes codes;
    int has_codes;
    int64_t blocks;      /* of an image */
    int64_t across;      /* chunks side by side, which share a block */
    int64_t chunk_rows;  /* of each */
    int64_t chunk_items; /* images times blocks */
    ql_status status;
} convolution;

static int64_t pixels_of(const int64_t extent[3]) {
    return extent[0] * extent[1] * extent[2];
}

static int is_pointwise(const ql_conv_shape *s) {
    return pixels_of(s->kernel) == 1 && s->pad[0] == 0 && s->pad[1] == 0 && s->pad[2] == 0 &&
           (s->out[0] - 1) * s->stride[0] < s->in[0] && (s->out[1] - 1) * s->stride[1] < s->in[1] &&
           (s->out[2] - 1) * s->stride[2] < s->in[2];
}

/* From one group of channels to the next: groups are spread over all sets of the first cache. */
static int64_t spread(int64_t bytes, int64_t unit) {
    const int64_t units = ql_ceil_div(bytes, unit);
    return (units | 1) * unit;
}

static int64_t all_groups(const ql_plane_filter *f) {
    return f->groups * f->parts;
}

static placing place_points(const ql_plane_filter *f, const ql_conv_shape *s, int64_t blocks) {
    enum { UNIT = WIDEST * GROUP };
    const int whole = s->stride[0] == 1 && s->stride[1] == 1 && s->stride[2] == 1 &&
                      s->in[1] == s->out[1] && s->in[2] == s->out[2];
    const int64_t pixels = pixels_of(s->out), width = whole ? pixels : s->out[2];
    placing at = {.is_pointwise = 1, .width = width, .pitch = width, .lines = pixels / width};
    const int64_t most = BLOCK_BYTES / (all_groups(f) * GROUP) / WIDEST * WIDEST;
    const int64_t wanted = s->channels < FEW_PLANES ? FEW_PLACES : POINT_PLACES;
    const int64_t share = ql_max(ql_ceil_div(pixels, blocks), LEAST_PLACES);
    at.places = ql_min(ql_min(most, wanted), ql_ceil_div(share, WIDEST) * WIDEST);
    at.lead = at.places;
    at.group_step = spread(at.places * GROUP, UNIT);
    at.size = all_groups(f) * at.group_step;
    return at;
}

/* Lines of input under so many lines of results. */
static int64_t lines_under(const ql_conv_shape *s, int64_t lines) {
    return lines + (s->kernel[1] - 1) * s->dilation[1];
}

/* A placing of blocks of so many lines. */
static placing place_lines(const ql_plane_filter *f, const ql_conv_shape *s, int64_t lines) {
    const int64_t reach = (s->kernel[2] - 1) * s->dilation[2];
    const int64_t after = ql_max(s->out[2] + reach - s->pad[2] - s->in[2], 0);
    const int64_t shared = ql_min(ql_min(s->pad[2], after), reach);
    const int64_t pitch = s->out[2] + reach - shared;
    const int64_t group = (lines_under(s, lines) * pitch + shared) * GROUP;
    const int64_t group_step = spread(group, QL_ALIGNMENT);
    return (placing){
        .width = s->out[2],
        .lines = s->out[1],
        .shared = shared,
        .pitch = pitch,
        .places = lines * pitch,
        .lead = lines * pitch,
        .group_step = group_step,
        /* Places that complete the last strip are read, whatever is there. */
        .size = all_groups(f) * group_step + (WIDEST + reach) * GROUP,
    };
}

/* Whole lines, as many as fit: blocks of one height, `blocks` of them if strips can be filled. */
static placing place_patches(const ql_plane_filter *f, const ql_conv_shape *s, int64_t blocks) {
    const placing one = place_lines(f, s, 1), two = place_lines(f, s, 2);
    const int64_t line = ql_max(two.size - one.size, 1), lines = s->out[1];
    const int64_t most = ql_max((BLOCK_BYTES - one.size) / line, 0) + 1;
    const int64_t least = ql_min(ql_ceil_div(LEAST_PLACES, one.pitch), most);
    const int64_t wanted = ql_min(blocks, ql_max(lines / least, 1));
    return place_lines(f, s, ql_ceil_div(lines, ql_max(wanted, ql_ceil_div(lines, most))));
}

/* `blocks`: of an image, at least, if its work is to be shared. */
static placing place(const ql_plane_filter *f, const ql_conv_shape *s, int64_t blocks) {
    return is_pointwise(s) ? place_points(f, s, blocks) : place_patches(f, s, blocks);
}

/* Where planes are whole cache lines but the first does not begin with one, as arrays of NumPy do
 * not, the first of several blocks ends with the line: then others load and store whole ones. */
static void align_blocks(placing *at, const ql_conv_shape *s, const uint8_t *x) {
    const int64_t beyond = (int64_t)((uintptr_t)x % QL_ALIGNMENT), plane = pixels_of(s->in);
    if (at->is_pointwise && at->lines == 1 && plane > at->places && plane % QL_ALIGNMENT == 0 &&
        beyond > 0)
        at->lead = QL_ALIGNMENT - beyond;
}

static int64_t first_of_block(const placing *at, int64_t block) {
    return block == 0 ? 0 : at->lead + (block - 1) * at->places;
}

int ql_planes_take(const ql_plane_filter *f, const ql_conv_shape *s, const ql_output *output) {
    if (output->residual != NULL ||
        !ql_fits_int32(f->taps * f->channels, 255, 128, output->bias, f->rows))
        return 0;
    if (is_pointwise(s))
        return all_groups(f) * WIDEST * GROUP <= BLOCK_BYTES;
    return s->in[0] == 1 && s->out[0] == 1 && s->stride[1] == 1 && s->stride[2] == 1 &&
           place_lines(f, s, 1).size <= BLOCK_BYTES;
}

/* --- blocks of input ------------------------------------------------------------------------ */

/* `count` places of padding. */
static void pad(const convolution *c, int64_t count, uint8_t *to) {
    const uint8_t element[GROUP] = {c->zero, c->zero, c->zero, c->zero};
    const int64_t groups = ql_ceil_div(c->filter->channels, GROUP);
    for (int64_t group = 0; count > 0 && group < groups; group++)
        for (int64_t i = 0; i < count; i++)
            memcpy(to + group * c->at.group_step + i * GROUP, element, GROUP);
}

/* Every `step`th byte of each plane of an image, from `first` on. */
static void interleave(const convolution *c, int64_t image, int64_t first, int64_t step,
                       int64_t count, uint8_t *to) {
    const int64_t plane = pixels_of(c->shape->in), channels = c->filter->channels;
    c->kernels->interleave_planes(c->x + image * channels * plane + first, plane, channels, step,
                                  count, c->flip, to, c->at.group_step);
}

/* The places `first` to `last` of an image, whose lines are all there. */
static void load_points(const convolution *c, int64_t image, int64_t first, int64_t last,
                        uint8_t *block) {
    const ql_conv_shape *s = c->shape;
    while (first < last) {
        const int64_t line = first / c->at.pitch, column = first % c->at.pitch;
        const int64_t count = ql_min(c->at.pitch - column, last - first);
        const int64_t d = line / s->out[1] * s->stride[0], h = line % s->out[1] * s->stride[1];
        interleave(c, image, (d * s->in[1] + h) * s->in[2] + column * s->stride[2], s->stride[2],
                   count, block);
        block += count * GROUP;
        first += count;
    }
}

/* A line of input with its padding. */
static void load_line(const convolution *c, int64_t image, int64_t line, uint8_t *to) {
    const ql_conv_shape *s = c->shape;
    const int64_t pitch = c->at.pitch, before = ql_min(s->pad[2], pitch);
    const int64_t inside = ql_inside(line, s->in[1]) ? ql_min(s->in[2], pitch - before) : 0;
    pad(c, before, to);
    if (inside > 0)
        interleave(c, image, line * s->in[2], 1, inside, to + before * GROUP);
    pad(c, pitch - before - inside, to + (before + inside) * GROUP);
}

/* The input under `lines` lines of output. */
static void load_lines(const convolution *c, int64_t image, int64_t first, int64_t lines,
                       uint8_t *to) {
    const int64_t above = c->shape->pad[1], under = lines_under(c->shape, lines);
    for (int64_t i = 0; i < under; i++, to += c->at.pitch * GROUP)
        load_line(c, image, first + i - above, to);
    pad(c, c->at.shared, to);
}

static void load_block(const convolution *c, int64_t image, int64_t first, int64_t last,
                       uint8_t *block) {
    const int64_t pitch = c->at.pitch;
    if (c->at.is_pointwise)
        load_points(c, image, first, last, block);
    else
        load_lines(c, image, first / pitch, (last - first) / pitch, block);
}

/* Where the parts of K begin in a block: for the same channels tap after tap, which see the same
 * cache lines. */
static void set_parts(const convolution *c, int64_t *part) {
    const ql_conv_shape *s = c->shape;
    for (int64_t i = 0; i < c->filter->parts; i++)
        for (int64_t tap = 0; tap < c->filter->taps; tap++) {
            const int64_t line = tap / s->kernel[2] * s->dilation[1];
            const int64_t column = tap % s->kernel[2] * s->dilation[2];
            *part++ =
                i * c->filter->groups * c->at.group_step + (line * c->at.pitch + column) * GROUP;
        }
}

/* --- results -------------------------------------------------------------------------------- */

/* The results of `count` places from one on, line by line; returns how many runs there are. */
static int64_t runs_of(const convolution *c, int64_t place, int64_t count,
                       ql_place_run runs[WIDEST]) {
    int64_t found = 0;
    if (c->at.pitch == c->at.width) {
        runs[0] = (ql_place_run){0, count, place};
        return 1;
    }
    for (int64_t i = 0; i < count;) {
        const int64_t line = (place + i) / c->at.pitch, column = (place + i) % c->at.pitch;
        const int64_t results = ql_min(c->at.width - column, count - i);
        if (results > 0)
            runs[found++] = (ql_place_run){i, results, line * c->at.width + column};
        i += c->at.pitch - column;
    }
    return found;
}

/* A row of reals with a bias of its own. */
static void rescale_row(const convolution *c, const int32_t *sums, const ql_place_run *run,
                        const float *ones, int64_t row, float *y) {
    const ql_output *o = c->output;
    float bias[WIDEST];
    for (int64_t i = 0; o->bias_real != NULL && i < run->count; i++)
        bias[i] = o->bias_real[row];
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
    const int64_t plane = pixels_of(c->shape->out);
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

static void finish(const convolution *c, const int32_t *sums, const ql_place_run *runs,
                   int64_t count, int64_t image, int64_t row, int64_t rows) {
    const int64_t plane = pixels_of(c->shape->out), at = (image * c->filter->rows + row) * plane;
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

/* Rows `row` to `last_row` of the places `first` to `last` of a block, which begins with `begin`.
 */
static void convolve_places(const convolution *c, int64_t image, int64_t begin, int64_t first,
                            int64_t last, int64_t row, int64_t last_row, const uint8_t *block,
                            int32_t *sums) {
    const ql_plane_filter *f = c->filter;
    for (int64_t place = first; place < last; place += WIDEST) {
        const int64_t places = ql_min(WIDEST, last - place);
        const uint8_t *x = block + (place - begin) * GROUP;
        ql_place_run runs[WIDEST];
        const int64_t count = runs_of(c, place, places, runs);
        for (int64_t i = row; i < last_row; i += TALLEST) {
            const int64_t rows = ql_min(TALLEST, last_row - i);
            c->kernels->plane_tile(&c->product, f->weights + i / QL_STRIP * f->block_step, x, rows,
                                   places, c->start + i * QL_STRIP, sums);
            finish(c, sums, runs, count, image, i, rows);
        }
    }
}

/* Which of a few places have results, and where in a plane those belong. */
typedef struct {
    uint32_t has_result;
    int64_t before; /* so many results come before */
} few_places;

static few_places few_places_from(const convolution *c, int64_t place, int64_t count) {
    const placing *at = &c->at;
    int64_t column = place % at->pitch;
    few_places found = {0, place / at->pitch * at->width + ql_min(column, at->width)};
    for (int64_t i = 0; i < count; i++) {
        found.has_result |= (uint32_t)(column < at->width) << i;
        column = column + 1 == at->pitch ? 0 : column + 1;
    }
    return found;
}

static ql_pending_places pending_places(const convolution *c, int64_t image, int64_t row,
                                        int64_t rows, const few_places *found,
                                        const int32_t *sums) {
    const int64_t plane = pixels_of(c->shape->out);
    ql_pending_places pending = {
        .sums = sums,
        .start = c->start_of_row + row,
        .rows = rows,
        .has_result = found->has_result,
        .codes = c->codes,
        .y = (uint8_t *)c->y + (image * c->filter->rows + row) * plane + found->before,
        .plane = plane,
    };
    pending.codes.multiplier += row;
    return pending;
}

/* The same, the codes of each tile beside the products of the next. Weights of a block of rows are
 * in the first cache for the second few places of WIDEST. */
static void convolve_places_beside(const convolution *c, int64_t image, int64_t begin,
                                   int64_t first, int64_t last, int64_t row, int64_t last_row,
                                   const uint8_t *block, int32_t *sums) {
    enum { TILES = WIDEST / QL_FEW_PLACES };
    const ql_plane_filter *f = c->filter;
    ql_pending_places pending = {.rows = 0};
    int64_t turn = 0;
    for (int64_t place = first; place < last; place += WIDEST) {
        const int64_t places = ql_min(WIDEST, last - place);
        few_places found[TILES];
        for (int64_t j = 0; j < places; j += QL_FEW_PLACES)
            found[j / QL_FEW_PLACES] =
                few_places_from(c, place + j, ql_min(QL_FEW_PLACES, places - j));
        for (int64_t i = row; i < last_row; i += TALLEST)
            for (int64_t j = 0; j < places; j += QL_FEW_PLACES) {
                const int64_t rows = ql_min(TALLEST, last_row - i);
                int32_t *to = sums + turn * (TALLEST * QL_FEW_PLACES);
                c->kernels->plane_tile_beside(&c->product,
                                              f->weights + i / QL_STRIP * f->block_step,
                                              block + (place + j - begin) * GROUP, rows,
                                              ql_min(QL_FEW_PLACES, places - j), to, &pending);
                pending = pending_places(c, image, i, rows, &found[j / QL_FEW_PLACES], to);
                turn = 1 - turn;
            }
    }
    c->kernels->plane_tile_beside(&c->product, NULL, NULL, 0, 0, NULL, &pending);
}

/* Whether products take long enough that codes are computed beside them. */
static int is_beside(const convolution *c) {
    enum { LEAST_PARTS = 4 };
    return c->has_codes && c->kernels->plane_tile_beside != NULL && c->product.parts >= LEAST_PARTS;
}

/* One block; where weights are too many to stay in the cache, a few rows at a time. */
static void convolve_block(const convolution *c, int64_t item, int64_t row, int64_t last_row,
                           uint8_t *block, int32_t *sums) {
    const int64_t image = item / c->blocks, which = item % c->blocks;
    const int64_t first = first_of_block(&c->at, which);
    const int64_t last = ql_min(first_of_block(&c->at, which + 1), c->at.lines * c->at.pitch);
    const int64_t weights = (last_row - row) / QL_STRIP * c->filter->block_step;
    const int64_t step = weights > WEIGHT_BYTES ? TALLEST : last_row - row;
    load_block(c, image, first, last, block);
    const int beside = is_beside(c);
    for (int64_t i = row; i < last_row; i += step)
        (beside ? convolve_places_beside : convolve_places)(
            c, image, first, first, last, i, ql_min(i + step, last_row), block, sums);
}

static void convolve_chunk(void *context, long chunk) {
    convolution *c = context;
    const int64_t row = chunk % c->across * c->chunk_rows;
    const int64_t last_row = ql_min(row + c->chunk_rows, c->filter->rows);
    const int64_t first = chunk / c->across * c->chunk_items;
    const int64_t last = ql_min(first + c->chunk_items, c->blocks * c->shape->batch);
    const int64_t size = (c->at.size + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    uint8_t *block = ql_borrow((size_t)(size + TALLEST * WIDEST * 4));
    if (block == NULL) {
        ql_report(&c->status, QL_NO_MEMORY);
        return;
    }
    if (c->kernels->prepare_planes != NULL)
        c->kernels->prepare_planes(c->filter->groups);
    for (int64_t item = first; item < last; item++)
        convolve_block(c, item, row, last_row, block, (int32_t *)(block + size));
    ql_return(block);
    if (c->kernels->release != NULL)
        c->kernels->release();
}

/* --- calls ---------------------------------------------------------------------------------- */

/* The largest that a sum can be, the bias included. */
static int64_t largest_sum(const convolution *c) {
    int64_t largest = 0;
    for (int64_t i = 0; c->output->bias != NULL && i < c->filter->rows; i++) {
        const int64_t bias = c->output->bias[i];
        largest = ql_max(largest, bias < 0 ? -bias : bias);
    }
    return c->filter->taps * c->filter->channels * 255 * 128 + largest;
}

/* What sums start from, QL_STRIP times each, and what they are multiplied by. */
static void prepare_rows(convolution *c, int32_t zero_point, int32_t *start, float *multiplier,
                         int32_t *start_of_row) {
    const ql_output *o = c->output;
    const float factor = o->row_factor == NULL ? 1 : *o->row_factor;
    const float divisor = o->row_divisor == NULL || o->type == QL_FLOAT32 ? 1 : *o->row_divisor;
    const float most = 0x1p30f / (float)largest_sum(c);
    int within = 1;
    for (int64_t row = 0; row < c->filter->rows; row++) {
        const uint32_t bias = o->bias == NULL ? 0 : (uint32_t)o->bias[row];
        const uint32_t sum = bias - (uint32_t)zero_point * (uint32_t)c->filter->sums[row];
        start_of_row[row] = (int32_t)sum;
        for (int64_t i = 0; i < QL_STRIP; i++)
            start[row * QL_STRIP + i] = (int32_t)sum;
        if (o->type == QL_INT32)
            continue;
        multiplier[row] = factor * o->multiplier[row] / divisor;
        within &= (multiplier[row] <= most) & (multiplier[row] >= -most);
    }
    c->start = start;
    c->start_of_row = start_of_row;
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

/* How many chunks the threads had better have. */
static int64_t chunks_wanted(const ql_plane_filter *f, const ql_conv_shape *s) {
    enum { CHUNKS_PER_THREAD = 4 };
    const double products = (double)f->taps * (double)f->channels * (double)f->rows *
                            (double)pixels_of(s->out) * (double)s->batch;
    const int64_t threads = ql_threads();
    return threads == 1 || products < (double)f->kernels->small ? 1 : threads * CHUNKS_PER_THREAD;
}

/* Cuts the work: blocks, and their rows where there are few of those, which loads them again. */
static long cut(convolution *c, int64_t wanted) {
    const int64_t items = c->blocks * c->shape->batch;
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
    convolution c = {.filter = filter,
                     .kernels = filter->kernels,
                     .shape = shape,
                     .output = output,
                     .x = x,
                     .flip = ql_flip(x_signed, 0),
                     .zero = (uint8_t)x_zero_point ^ ql_flip(x_signed, 0),
                     .y = y,
                     .at = place(filter, shape, ql_ceil_div(wanted, shape->batch))};
    align_blocks(&c.at, shape, x);
    c.blocks = ql_ceil_div(c.at.lines * c.at.pitch - c.at.lead, c.at.places) + 1;
    const int64_t rows = ql_ceil_div(filter->rows, QL_STRIP) * QL_STRIP;
    const int64_t parts = filter->taps * filter->parts;
    char *memory = ql_borrow((size_t)(rows * QL_STRIP * 4 + parts * 8 + rows * 8));
    if (memory == NULL)
        return QL_NO_MEMORY;
    int64_t *part = (int64_t *)(memory + rows * QL_STRIP * 4);
    set_parts(&c, part);
    c.product =
        (ql_plane_product){part, parts, filter->groups, c.at.group_step, filter->block_step};
    memset(memory, 0, (size_t)(rows * QL_STRIP * 4));
    prepare_rows(&c, x_zero_point + ql_shift(x_signed, 0), (int32_t *)memory,
                 (float *)(part + parts), (int32_t *)(part + parts) + rows);
    ql_run_chunks(cut(&c, wanted), convolve_chunk, &c);
    ql_return(memory);
    return ql_reported(&c.status);
}
