/* Groups in tile units: see grouped.c. An item is strips of outputs by tiles of pixels. */
#include "grouped.h"

enum { ROWS = QL_GROUPED_ROWS, PLACES = QL_GROUPED_PLACES };

/* The first result of an item, if they are bytes. */
static uint8_t *first_result(const ql_grouped_call *c, const ql_grouped_room *w,
                             const ql_grouped_part *at) {
    return (uint8_t *)(c->channels_first ? w->results : c->y) + ql_grouped_first(c, at, 0);
}

/* The strips of a block that there are. */
static int64_t find_strips(const ql_grouped_call *c, const ql_grouped_room *w,
                           const ql_grouped_part *at) {
    const ql_grouped_filter *f = c->filter;
    const int64_t of_slice = f->slice_groups * f->out_width, pieces = ql_bytes_of_strip(f);
    uint8_t *y = first_result(c, w, at);
    int64_t count = 0;
    for (int64_t slice = 0; slice * of_slice < at->outputs; slice++)
        for (int64_t strip = 0; strip < f->strips; strip++) {
            const int64_t in_slice = strip * f->strip_outputs, first = slice * of_slice + in_slice;
            const int64_t number = (at->output / of_slice + slice) * f->strips + strip;
            const int64_t rest = ql_min(of_slice - in_slice, at->outputs - first);
            if (rest > 0)
                w->strips[count++] = (ql_grouped_strip){
                    .x = w->lines + slice * ql_slice_step(c),
                    .w = f->weights + number * pieces,
                    .start = c->start + at->output + first,
                    .multiplier = c->has_codes ? c->codes.multiplier + at->output + first : NULL,
                    .y = y + first,
                    .outputs = ql_min(rest, f->strip_outputs),
                };
        }
    return count;
}

/* The tiles of an item, line by line; the last of a line overlaps the one before. */
static int64_t find_places(const ql_grouped_call *c, const ql_grouped_room *w,
                           const ql_grouped_part *at, int64_t rows) {
    const ql_conv_shape *s = c->shape;
    const int64_t slice = c->filter->slice;
    int64_t count = 0;
    for (int64_t line = 0; line < at->lines; line++)
        for (int64_t i = 0; i < at->pixels; i += rows) {
            const int64_t pixel = ql_min(i, at->pixels - rows);
            w->places[count++] = (ql_grouped_place){
                .x = (line * s->stride[1] * c->columns + pixel * s->stride[2]) * slice,
                .y = ql_grouped_first(c, at, line) - ql_grouped_first(c, at, 0) +
                     pixel * ql_grouped_step(c),
            };
        }
    return count;
}

/* Sums of up to PLACES tiles from number `place` on, finished, but those that overlap
 * others. */
static int finish_tiles(const ql_grouped_call *c, const ql_grouped_room *w,
                        const ql_grouped_part *at, const ql_grouped_tiles_item *all, int64_t strip,
                        int64_t place) {
    const int64_t of_line = ql_ceil_div(at->pixels, all->rows);
    const int64_t output = all->strips[strip].y - first_result(c, w, at);
    ql_grouped_tiles_item part = *all;
    part.strips += strip;
    part.strip_count = 1;
    part.places += place;
    part.place_count = ql_min(PLACES, all->place_count - place);
    c->filter->kernels->grouped_tiles(&part, 0, NULL, w->sums);
    int status = QL_OK;
    for (int64_t i = 0; i < part.place_count && status == QL_OK; i++) {
        const int is_last = (place + i) % of_line == of_line - 1;
        const int64_t skipped = is_last ? of_line * all->rows - at->pixels : 0;
        const int64_t first = ql_grouped_first(c, at, 0) + part.places[i].y + output;
        status = ql_finish_grouped(c, w, w->sums + (i * ROWS + skipped) * QL_STRIP, QL_STRIP,
                                   all->rows - skipped, at->output + output, part.strips->outputs,
                                   first + skipped * all->y_step);
    }
    return status;
}

int ql_convolve_grouped_tiles(const ql_grouped_call *c, const ql_grouped_room *w,
                              const ql_grouped_part *at) {
    const ql_grouped_filter *f = c->filter;
    const int64_t rows = ql_min(c->rows, at->pixels);
    const ql_grouped_tiles_item item = {
        .strips = w->strips,
        .places = w->places,
        .strip_count = find_strips(c, w, at),
        .place_count = find_places(c, w, at, rows),
        .rows = rows,
        .line_places = ql_ceil_div(at->pixels, rows),
        .line_step = c->columns * f->slice,
        .offsets = w->offsets,
        .pieces = ql_count_pieces(f) * f->repeats,
        .x_step = c->shape->stride[2] * f->slice,
        .y_step = ql_grouped_step(c),
    };
    if (c->has_codes)
        f->kernels->grouped_tiles(&item, c->rolls, &c->codes, w->sums);
    int status = QL_OK;
    for (int64_t strip = 0; !c->has_codes && strip < item.strip_count; strip++)
        for (int64_t i = 0; i < item.place_count && status == QL_OK; i += PLACES)
            status = finish_tiles(c, w, at, &item, strip, i);
    return status;
}
