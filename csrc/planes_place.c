/* Where places of input are in the blocks of convolutions with channels first, and how those are
 * loaded: see planes.c. */
#include "planes.h"

enum {
    BLOCK_BYTES = 512 * 1024, /* of places: they stay in the second cache */
    PATCH_BYTES = 64 * 1024,  /* of patches, of which each byte is soon used */
    POINT_PLACES = 512,       /* of a kernel of one tap: several cache lines of each plane */
    LEAST_PLACES = 64,        /* of blocks that are made for threads to share */
    FEW_PLACES = 256,         /* of few planes, for blocks that stay in the first cache */
    FEW_PLANES = 128,
    PIXELS_TOGETHER = 48 /* at least, so that vectors of pixels are filled */
};

/* --- placing -------------------------------------------------------------------------------- */

int ql_is_plane_of_points(const ql_conv_shape *s) {
    return ql_pixels_of(s->kernel) == 1 && s->pad[0] == 0 && s->pad[1] == 0 && s->pad[2] == 0 &&
           (s->out[0] - 1) * s->stride[0] < s->in[0] && (s->out[1] - 1) * s->stride[1] < s->in[1] &&
           (s->out[2] - 1) * s->stride[2] < s->in[2];
}

/* From one group of channels to the next: groups are spread over all sets of the first cache. */
static int64_t spread(int64_t bytes, int64_t unit) {
    const int64_t units = ql_ceil_div(bytes, unit);
    return (units | 1) * unit;
}

static ql_placing place_points(const ql_plane_filter *f, const ql_conv_shape *s, int64_t blocks) {
    /* Of few groups, tiles read 64 places at a time, from so many cache lines (kernels/amx). */
    enum { FEW_PARTS = 3, FEW_UNIT = QL_PLACES * QL_PLANE_GROUP };
    const int whole = s->stride[0] == 1 && s->stride[1] == 1 && s->stride[2] == 1 &&
                      s->in[1] == s->out[1] && s->in[2] == s->out[2];
    const int64_t pixels = ql_pixels_of(s->out), width = whole ? pixels : s->out[2];
    ql_placing at = {.is_pointwise = 1, .width = width, .pitch = width, .lines = pixels / width};
    const int64_t most =
        BLOCK_BYTES / (ql_plane_groups(f) * QL_PLANE_GROUP) / QL_PLACES * QL_PLACES;
    const int64_t wanted = f->channels < FEW_PLANES ? FEW_PLACES : POINT_PLACES;
    const int64_t share = ql_max(ql_ceil_div(pixels, blocks), LEAST_PLACES);
    at.places = ql_min(ql_min(most, wanted), ql_ceil_div(share, QL_PLACES) * QL_PLACES);
    at.lead = at.places;
    at.group_step =
        spread(at.places * QL_PLANE_GROUP, f->parts <= FEW_PARTS ? FEW_UNIT : QL_ALIGNMENT);
    at.size = ql_plane_groups(f) * at.group_step;
    return at;
}

/* Lines or columns, a stride apart, that are under results beyond the first one of each. */
static int64_t beyond(const ql_conv_shape *s, int axis) {
    return (s->kernel[axis] - 1) * s->dilation[axis] / s->stride[axis];
}

static int is_strided(const ql_conv_shape *s) {
    return s->stride[1] > 1 || s->stride[2] > 1;
}

/* A placing of blocks of so many lines. */
static ql_placing place_lines(const ql_plane_filter *f, const ql_conv_shape *s, int64_t lines) {
    const int64_t reach = beyond(s, 2), bytes = ql_place_bytes(f);
    const int64_t after = ql_max(s->out[2] + reach - s->pad[2] - s->in[2], 0);
    const int64_t shared = is_strided(s) ? 0 : ql_min(ql_min(s->pad[2], after), reach);
    const int64_t pitch = s->out[2] + reach - shared;
    const int64_t phase = ((lines + beyond(s, 1)) * pitch + shared) * bytes;
    const int64_t group_step = spread(s->stride[1] * s->stride[2] * phase, QL_ALIGNMENT);
    return (ql_placing){
        .width = s->out[2],
        .lines = s->out[1],
        .shared = shared,
        .pitch = pitch,
        .places = lines * pitch,
        .lead = lines * pitch,
        .phase = phase,
        .group_step = group_step,
        /* Places that complete the last strip are read, whatever is there. */
        .size = ql_plane_groups(f) * group_step + (QL_PLACES + reach) * bytes,
    };
}

/* Whole lines, as many as fit: blocks of one height, `blocks` of them if strips can be filled. */
static ql_placing place_lines_of_planes(const ql_plane_filter *f, const ql_conv_shape *s,
                                        int64_t blocks) {
    const ql_placing one = place_lines(f, s, 1), two = place_lines(f, s, 2);
    const int64_t line = ql_max(two.size - one.size, 1), lines = s->out[1];
    const int64_t most = ql_max((BLOCK_BYTES - one.size) / line, 0) + 1;
    const int64_t least = ql_min(ql_ceil_div(LEAST_PLACES, one.pitch), most);
    const int64_t wanted = ql_min(blocks, ql_max(lines / least, 1));
    return place_lines(f, s, ql_ceil_div(lines, ql_max(wanted, ql_ceil_div(lines, most))));
}

/* Columns of input under a line of patches. */
static int64_t reach_of_patches(const ql_conv_shape *s) {
    return (s->out[2] - 1) * s->stride[2] + s->kernel[2];
}

/* Lines of input under so many lines of them. */
static int64_t lines_under(const ql_conv_shape *s, int64_t lines) {
    return (lines - 1) * s->stride[1] + (s->kernel[1] - 1) * s->dilation[1] + 1;
}

static int64_t whole_lines(int64_t bytes) {
    return (bytes + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
}

/* Of the list of lines that a line of patches is made of. */
static int64_t size_of_list(const ql_conv_shape *s) {
    return whole_lines(s->channels * s->kernel[1] * (int64_t)sizeof(void *));
}

/* A placing of so many lines of patches, behind which lines of input are collected. */
static ql_placing place_overlapping_lines(const ql_plane_filter *f, const ql_conv_shape *s,
                                          int64_t lines) {
    const int64_t reach = reach_of_patches(s), pitch = ql_ceil_div(reach, s->stride[2]);
    /* Places that complete the last tile are read, and of each all parts. */
    const int64_t behind = QL_PLACES * f->overlap + f->parts * QL_PART_BYTES + QL_TRANSPOSE_EXCESS;
    const int64_t patches = whole_lines(lines * pitch * f->overlap + behind);
    const int64_t collected = lines_under(s, lines) * s->channels * whole_lines(reach);
    return (ql_placing){.width = s->out[2],
                        .lines = s->out[1],
                        .pitch = pitch,
                        .places = lines * pitch,
                        .lead = lines * pitch,
                        .phase = patches,
                        .size = patches + size_of_list(s) + collected};
}

static ql_placing place_overlapping(const ql_plane_filter *f, const ql_conv_shape *s,
                                    int64_t blocks) {
    const int64_t line = ql_ceil_div(reach_of_patches(s), s->stride[2]) * f->overlap;
    const int64_t most = ql_max(PATCH_BYTES / line, 1), lines = s->out[1];
    const int64_t wanted = ql_max(ql_min(blocks, lines), ql_ceil_div(lines, most));
    return place_overlapping_lines(f, s, ql_ceil_div(lines, wanted));
}

/* Where planes are whole cache lines but the first does not begin with one, as arrays of NumPy do
 * not, the first of several blocks ends with the line: then others load and store whole ones. */
static void align_blocks(ql_placing *at, const ql_conv_shape *s, const uint8_t *x) {
    const int64_t past = (int64_t)((uintptr_t)x % QL_ALIGNMENT), plane = ql_pixels_of(s->in);
    if (at->lines == 1 && plane > at->places && plane % QL_ALIGNMENT == 0 && past > 0)
        at->lead = QL_ALIGNMENT - past;
}

ql_placing ql_place_planes(const ql_plane_filter *f, const ql_conv_shape *s, const uint8_t *x,
                           int64_t blocks) {
    if (f->overlap > 0)
        return place_overlapping(f, s, blocks);
    if (!ql_is_plane_of_points(s))
        return place_lines_of_planes(f, s, blocks);
    ql_placing at = place_points(f, s, blocks);
    align_blocks(&at, s, x);
    return at;
}

int64_t ql_first_of_block(const ql_placing *at, int64_t block) {
    return block == 0 ? 0 : at->lead + (block - 1) * at->places;
}

int ql_can_place(const ql_plane_filter *f, const ql_conv_shape *s) {
    if (ql_is_plane_of_points(s))
        return !f->of_pixels && ql_plane_groups(f) * QL_PLACES * QL_PLANE_GROUP <= BLOCK_BYTES;
    /* Numbers that are too large are not multiplied. */
    if (f->overlap > 0)
        return s->in[0] == 1 && s->out[0] == 1 && s->out[2] <= BLOCK_BYTES / f->overlap &&
               f->parts * QL_PART_BYTES <= BLOCK_BYTES && f->overlap <= BLOCK_BYTES / QL_PLACES &&
               (s->kernel[1] - 1) * s->dilation[1] <
                   BLOCK_BYTES / whole_lines(reach_of_patches(s)) &&
               place_overlapping_lines(f, s, 1).size <= BLOCK_BYTES;
    const int64_t width = s->out[2] + beyond(s, 2), height = beyond(s, 1) + 1;
    return s->in[0] == 1 && s->out[0] == 1 && (f->of_pixels || !is_strided(s)) &&
           width <= BLOCK_BYTES && height <= BLOCK_BYTES / width &&
           ql_plane_groups(f) <= BLOCK_BYTES && place_lines(f, s, 1).size <= BLOCK_BYTES;
}

void ql_set_plane_parts(const ql_plane_input *from, int64_t *part) {
    const ql_conv_shape *s = from->shape;
    const ql_placing *at = &from->at;
    for (int64_t i = 0; from->filter->overlap > 0 && i < from->filter->parts; i++)
        *part++ = i * QL_PART_BYTES;
    for (int64_t i = 0; from->filter->overlap == 0 && i < from->filter->parts; i++)
        for (int64_t tap = 0; tap < from->filter->taps; tap++) {
            const int64_t down = tap / s->kernel[2] * s->dilation[1];
            const int64_t across = tap % s->kernel[2] * s->dilation[2];
            const int64_t phase = down % s->stride[1] * s->stride[2] + across % s->stride[2];
            const int64_t place = down / s->stride[1] * at->pitch + across / s->stride[2];
            *part++ = i * from->filter->groups * at->group_step + phase * at->phase +
                      place * ql_place_bytes(from->filter);
        }
}

/* --- elements of four channels -------------------------------------------------------------- */

/* `count` places of padding. */
static void pad(const ql_plane_input *from, int64_t count, uint8_t *to) {
    const int64_t groups = ql_plane_groups(from->filter), bytes = ql_place_bytes(from->filter);
    for (int64_t group = 0; count > 0 && group < groups; group++)
        memset(to + group * from->at.group_step, from->zero, (size_t)(count * bytes));
}

/* Every `step`th byte of each plane of an image, from `first` on. */
static void interleave(const ql_plane_input *from, int64_t image, int64_t first, int64_t step,
                       int64_t count, uint8_t *to) {
    const int64_t plane = ql_pixels_of(from->shape->in), channels = from->filter->channels;
    from->filter->kernels->interleave_planes(from->x + image * channels * plane + first, plane,
                                             channels, step, count, from->flip, to,
                                             from->at.group_step);
}

/* The places `first` to `last` of an image, whose lines are all there. */
static void load_points(const ql_plane_input *from, int64_t image, int64_t first, int64_t last,
                        uint8_t *block) {
    const ql_conv_shape *s = from->shape;
    const int64_t pitch = from->at.pitch;
    while (first < last) {
        const int64_t line = first / pitch, column = first % pitch;
        const int64_t count = ql_min(pitch - column, last - first);
        const int64_t d = line / s->out[1] * s->stride[0], h = line % s->out[1] * s->stride[1];
        interleave(from, image, (d * s->in[1] + h) * s->in[2] + column * s->stride[2], s->stride[2],
                   count, block);
        block += count * QL_PLANE_GROUP;
        first += count;
    }
}

/* A line of input with its padding. */
static void load_line(const ql_plane_input *from, int64_t image, int64_t line, uint8_t *to) {
    const ql_conv_shape *s = from->shape;
    const int64_t pitch = from->at.pitch, before = ql_min(s->pad[2], pitch);
    const int64_t inside = ql_inside(line, s->in[1]) ? ql_min(s->in[2], pitch - before) : 0;
    pad(from, before, to);
    if (inside > 0)
        interleave(from, image, line * s->in[2], 1, inside, to + before * QL_PLANE_GROUP);
    pad(from, pitch - before - inside, to + (before + inside) * QL_PLANE_GROUP);
}

/* The input under `lines` lines of output. */
static void load_lines(const ql_plane_input *from, int64_t image, int64_t first, int64_t lines,
                       uint8_t *to) {
    const int64_t above = from->shape->pad[1], under = lines + beyond(from->shape, 1);
    for (int64_t i = 0; i < under; i++, to += from->at.pitch * QL_PLANE_GROUP)
        load_line(from, image, first + i - above, to);
    pad(from, from->at.shared, to);
}

/* --- pixels --------------------------------------------------------------------------------- */

/* Columns of input that are used. */
static int64_t columns_used(const ql_plane_input *from) {
    const ql_conv_shape *s = from->shape;
    return ql_max(ql_min(s->in[2], from->at.pitch * s->stride[2] - s->pad[2]), 0);
}

/* How many lines are loaded together: all columns of whole strides of lines. */
static int64_t lines_together(const ql_plane_input *from) {
    const ql_conv_shape *s = from->shape;
    if (columns_used(from) < s->in[2])
        return 1;
    return ql_ceil_div(PIXELS_TOGETHER, s->stride[1] * s->in[2]) * s->stride[1];
}

int64_t ql_count_plane_lists(const ql_plane_input *from) {
    if (!from->filter->of_pixels || from->filter->overlap > 0)
        return 0;
    return lines_together(from) * columns_used(from) + from->shape->stride[2] * from->at.pitch;
}

/* Where a pixel of a line goes that is number `line`, or a multiple of strides before, with its
 * padding. */
static int64_t place_of_pixel(const ql_plane_input *from, int64_t line, int64_t column) {
    const int64_t down = from->shape->stride[1], across = from->shape->stride[2];
    const int64_t place = line / down * from->at.pitch + column / across;
    return (line % down * across + column % across) * from->at.phase + place * QL_PART_BYTES;
}

void ql_list_places(ql_plane_input *from, int32_t *lists) {
    const ql_conv_shape *s = from->shape;
    if (ql_count_plane_lists(from) == 0)
        return;
    from->columns = columns_used(from);
    from->together = lines_together(from);
    from->places = lists;
    for (int64_t line = 0; line < from->together; line++)
        for (int64_t i = 0; i < from->columns; i++)
            *lists++ = (int32_t)place_of_pixel(from, line, i + s->pad[2]);
    from->padding = lists;
    for (int64_t i = 0; i < from->at.pitch * s->stride[2]; i++)
        if (!ql_inside(i - s->pad[2], from->columns))
            *lists++ = (int32_t)place_of_pixel(from, 0, i);
    from->paddings = lists - from->padding;
}

/* The padding of a line of input, or a line of nothing else. */
static void pad_line(const ql_plane_input *from, int is_inside, uint8_t *to) {
    const int64_t groups = ql_plane_groups(from->filter);
    for (int64_t across = 0; !is_inside && across < from->shape->stride[2]; across++)
        pad(from, from->at.pitch, to + across * from->at.phase);
    for (int64_t group = 0; is_inside && group < groups; group++, to += from->at.group_step)
        for (int64_t i = 0; i < from->paddings; i++)
            memset(to + from->padding[i], from->zero, QL_PART_BYTES);
}

/* The input under `lines` lines of output: `line` counts lines from the first one on, with those of
 * padding above. */
static void load_pixels(const ql_plane_input *from, int64_t image, int64_t first, int64_t lines,
                        uint8_t *to) {
    const ql_conv_shape *s = from->shape;
    const int64_t plane = ql_pixels_of(s->in), channels = from->filter->channels;
    const uint8_t *x = from->x + image * channels * plane;
    const int64_t under = (lines + beyond(s, 1)) * s->stride[1];
    const int64_t above = s->pad[1] - first * s->stride[1];
    for (int64_t line = 0; line < under; line++)
        pad_line(from, ql_inside(line - above, s->in[1]), to + place_of_pixel(from, line, 0));
    const int64_t last = ql_min(under, s->in[1] + above);
    for (int64_t line = ql_max(above, 0), next; line < last; line = next) {
        const int64_t number = line % from->together;
        next = ql_min(line - number + from->together, last);
        from->filter->kernels->collect_pixels(
            x + (line - above) * s->in[2], plane, channels, (next - line) * from->columns,
            from->flip, from->places + number * from->columns,
            to + place_of_pixel(from, line - number, 0), from->at.group_step);
    }
    pad(from, from->at.shared, to + place_of_pixel(from, under, 0));
}

/* --- patches -------------------------------------------------------------------------------- */

/* A line of a plane with its padding. */
static void collect_line(const ql_plane_input *from, const uint8_t *plane, int64_t line,
                         uint8_t *to) {
    const ql_conv_shape *s = from->shape;
    const int64_t reach = reach_of_patches(s), before = ql_min(s->pad[2], reach);
    const int64_t inside = ql_inside(line, s->in[1]) ? ql_min(s->in[2], reach - before) : 0;
    memset(to, from->zero, (size_t)before);
    if (inside > 0)
        from->filter->kernels->load((char *)to + before, plane + line * s->in[2], inside,
                                    from->flip);
    memset(to + before + inside, from->zero, (size_t)(reach - before - inside));
}

/* The patches of `lines` lines of output: lines of input are collected, and those under a line of
 * output, the rows of a matrix, transposed. */
static void load_patches(const ql_plane_input *from, int64_t image, int64_t first, int64_t lines,
                         uint8_t *to) {
    const ql_conv_shape *s = from->shape;
    const int64_t plane = ql_pixels_of(s->in), channels = s->channels, taps = s->kernel[1];
    const uint8_t *x = from->x + image * channels * plane;
    const uint8_t **rows = (const uint8_t **)(to + from->at.phase);
    uint8_t *collected = to + from->at.phase + size_of_list(s);
    const int64_t reach = reach_of_patches(s), step = whole_lines(reach);
    const int64_t above = s->pad[1] - first * s->stride[1];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < lines_under(s, lines); i++)
            collect_line(from, x + c * plane, i - above, collected + (i * channels + c) * step);
    for (int64_t line = 0; line < lines; line++, to += from->at.pitch * from->filter->overlap) {
        for (int64_t c = 0; c < channels; c++)
            for (int64_t tap = 0; tap < taps; tap++) {
                const int64_t under = line * s->stride[1] + tap * s->dilation[1];
                rows[c * taps + tap] = collected + (under * channels + c) * step;
            }
        ql_transpose_rows(from->filter->kernels, rows, channels * taps, reach, to);
    }
}

void ql_load_places(const ql_plane_input *from, int64_t image, int64_t first, int64_t last,
                    uint8_t *block) {
    const int64_t pitch = from->at.pitch;
    if (from->at.is_pointwise)
        load_points(from, image, first, last, block);
    else if (from->filter->overlap > 0)
        load_patches(from, image, first / pitch, (last - first) / pitch, block);
    else if (from->filter->of_pixels)
        load_pixels(from, image, first / pitch, (last - first) / pitch, block);
    else
        load_lines(from, image, first / pitch, (last - first) / pitch, block);
}
