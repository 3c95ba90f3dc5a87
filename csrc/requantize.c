/* Accumulators to codes, element by element, by the kernels that finish products: stretches that
 * share a multiplier are taken as rows of WIDTH. */
#include "core.h"

enum {
    WIDTH = 256,
    ROWS = 16 /* at once, because kernels finish a column of vectors before the next one */
};

typedef struct {
    ql_layout at;
    ql_cut cut;
    ql_requantize_tile *run;
    const int32_t *acc;
    uint8_t *y;
    const float *multiplier;
    int32_t zero_point, lower, upper;
} walk;

/* `rows` times `columns` elements from number `first` on, a multiplier for each column. */
static void run_rows(const walk *w, int64_t first, int64_t rows, int64_t columns, int64_t stride,
                     const float *multiplier) {
    for (int64_t row = 0; row < rows; row += ROWS) {
        const int64_t at = first + row * stride;
        w->run(w->acc + at, stride, ql_min(ROWS, rows - row), columns, multiplier, w->zero_point,
               w->lower, w->upper, w->y + at, stride);
    }
}

/* A stretch that shares a multiplier. */
static void run_stretch(const walk *w, int64_t first, int64_t count, float multiplier) {
    float same[WIDTH];
    for (int i = 0; i < WIDTH && i < count; i++)
        same[i] = multiplier;
    const int64_t whole = count / WIDTH * WIDTH;
    run_rows(w, first, count / WIDTH, WIDTH, WIDTH, same);
    if (whole < count)
        run_rows(w, first + whole, 1, count - whole, 0, same);
}

static void walk_chunk(void *w_, long chunk) {
    const walk *w = w_;
    const ql_part part = ql_part_of(&w->at, &w->cut, chunk);
    const int64_t length = w->at.extent[1], inner = w->at.extent[2];
    if (w->at.kind == QL_PER_CHANNEL && inner == 1) {
        run_rows(w, part.first[0] * length + part.first[1], part.limit[0] - part.first[0],
                 part.limit[1] - part.first[1], length, w->multiplier + part.first[1]);
        return;
    }
    for (int64_t outer = part.first[0]; outer < part.limit[0]; outer++)
        for (int64_t channel = part.first[1]; channel < part.limit[1]; channel++)
            run_stretch(w, (outer * length + channel) * inner + part.first[2],
                        part.limit[2] - part.first[2], w->multiplier[channel]);
}

int ql_requantize(const int32_t *acc, void *y, const float *multiplier, int32_t zero_point,
                  int32_t lower, int32_t upper, int kind, int64_t outer, int64_t length,
                  int64_t inner) {
    walk w = {.at = ql_layout_of(kind, outer, length, inner, 1),
              .run = ql_current_kernels()->requantize,
              .acc = acc,
              .y = y,
              .multiplier = multiplier,
              .zero_point = zero_point,
              .lower = lower,
              .upper = upper};
    w.cut = ql_cut_layout(&w.at);
    if (ql_elements(&w.at) > 0)
        ql_run_chunks((long)w.cut.chunks, walk_chunk, &w);
    return QL_OK;
}
