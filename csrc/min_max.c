/* Smallest and largest elements, for every granularity. Parts of the data are looked at on their
 * own, each with its own ends, which are then brought together. */
#include "core.h"

#include <math.h>

enum {
    WINDOW = 1024, /* elements with ends of their own: they stay in the first cache */
    SHORT_STRETCH = 64,
    OFTEN = 8 /* stretches of a channel that make it worth giving each element ends of its own */
};

typedef struct {
    ql_layout at;
    ql_cut cut;
    int real_type;
    int64_t size; /* of a real */
    int64_t groups;
    ql_min_max_run *run;
    const char *x;
    char *lo, *hi; /* groups for each chunk */
} walk;

static void fill(char *to, int real_type, int64_t count, double value) {
    if (real_type == QL_FLOAT32)
        for (int64_t i = 0; i < count; i++)
            ((float *)to)[i] = (float)value;
    else
        for (int64_t i = 0; i < count; i++)
            ((double *)to)[i] = value;
}

static void fill_ends(const walk *w, char *lo, char *hi, int64_t count) {
    fill(lo, w->real_type, count, INFINITY);
    fill(hi, w->real_type, count, -INFINITY);
}

#define DEFINE_FOLD(real)                                                                          \
    static void fold_##real(real *restrict lo, real *restrict hi, const real *own_lo,              \
                            const real *own_hi, int64_t count) {                                   \
        for (int64_t i = 0; i < count; i++) {                                                      \
            lo[i] = own_lo[i] < lo[i] || own_lo[i] != own_lo[i] ? own_lo[i] : lo[i];               \
            hi[i] = own_hi[i] > hi[i] || own_hi[i] != own_hi[i] ? own_hi[i] : hi[i];               \
        }                                                                                          \
    }

DEFINE_FOLD(float)
DEFINE_FOLD(double)

/* Widens the ends at `lo` and `hi` by others; NaN sticks. */
static void fold(const walk *w, char *lo, char *hi, const char *own_lo, const char *own_hi,
                 int64_t count) {
    if (w->real_type == QL_FLOAT32)
        fold_float((float *)lo, (float *)hi, (const float *)own_lo, (const float *)own_hi, count);
    else
        fold_double((double *)lo, (double *)hi, (const double *)own_lo, (const double *)own_hi,
                    count);
}

/* Brings the ends of each element of a period together to those of its channels. */
static void fold_period(const walk *w, char *lo, char *hi, const char *own_lo, const char *own_hi,
                        int64_t channels) {
    const int64_t inner = w->at.extent[2], size = w->size;
    if (inner == 1) {
        fold(w, lo, hi, own_lo, own_hi, channels);
        return;
    }
    for (int64_t channel = 0; channel < channels; channel++) {
        double other = 0; /* the highest of the lowest, and the lowest of the highest */
        w->run(own_lo + channel * inner * size, inner, lo + channel * size, &other, 0);
        w->run(own_hi + channel * inner * size, inner, &other, hi + channel * size, 0);
    }
}

/* Per channel, with stretches so short that each element of some periods gets its own ends. */
static void walk_short_channels(const walk *w, const ql_part *part, char *lo, char *hi) {
    const int64_t length = w->at.extent[1], inner = w->at.extent[2], size = w->size;
    const int64_t most = WINDOW / inner;
    /* A line more each, lest they be a multiple of a page apart. */
    _Alignas(QL_ALIGNMENT) char own_lo[WINDOW * sizeof(double) + QL_ALIGNMENT];
    _Alignas(QL_ALIGNMENT) char own_hi[WINDOW * sizeof(double) + QL_ALIGNMENT];
    for (int64_t first = part->first[1]; first < part->limit[1]; first += most) {
        const int64_t channels = ql_min(most, part->limit[1] - first);
        const int64_t repeats =
            channels == length ? ql_min(most / length, part->limit[0] - part->first[0]) : 1;
        const int64_t period = channels * inner;
        fill_ends(w, own_lo, own_hi, repeats * period);
        for (int64_t outer = part->first[0]; outer < part->limit[0]; outer += repeats)
            w->run(w->x + (outer * length + first) * inner * size,
                   ql_min(repeats, part->limit[0] - outer) * period, own_lo, own_hi, 1);
        for (int64_t i = 0; i < repeats * period; i += period)
            fold_period(w, lo + first * size, hi + first * size, own_lo + i * size,
                        own_hi + i * size, channels);
    }
}

static void walk_channels(const walk *w, const ql_part *part, char *lo, char *hi) {
    const int64_t length = w->at.extent[1], inner = w->at.extent[2], size = w->size;
    for (int64_t outer = part->first[0]; outer < part->limit[0]; outer++)
        for (int64_t channel = part->first[1]; channel < part->limit[1]; channel++)
            w->run(w->x + ((outer * length + channel) * inner + part->first[2]) * size,
                   part->limit[2] - part->first[2], lo + channel * size, hi + channel * size, 0);
}

static void walk_blocks(const walk *w, const ql_part *part, char *lo, char *hi) {
    const int64_t length = w->at.extent[1], inner = w->at.extent[2], size = w->size;
    const int64_t block = w->at.block, blocks = ql_ceil_div(length, block);
    for (int64_t outer = part->first[0]; outer < part->limit[0]; outer++)
        for (int64_t top = part->first[1]; top < part->limit[1]; top += block) {
            const int64_t rows = ql_min(block, part->limit[1] - top);
            const char *x = w->x + ((outer * length + top) * inner + part->first[2]) * size;
            const int64_t group = (outer * blocks + top / block) * inner + part->first[2];
            if (inner == 1) {
                w->run(x, rows, lo + group * size, hi + group * size, 0);
                continue;
            }
            for (int64_t row = 0; row < rows; row++)
                w->run(x + row * inner * size, part->limit[2] - part->first[2], lo + group * size,
                       hi + group * size, 1);
        }
}

static void walk_chunk(void *w_, long chunk) {
    const walk *w = w_;
    const ql_part part = ql_part_of(&w->at, &w->cut, chunk);
    char *lo = w->lo, *hi = w->hi;
    if (w->at.kind == QL_BLOCKED) { /* whose parts have no group in common */
        walk_blocks(w, &part, lo, hi);
        return;
    }
    lo += chunk * w->groups * w->size;
    hi += chunk * w->groups * w->size;
    const int64_t inner = w->at.extent[2];
    if (w->at.kind == QL_PER_CHANNEL && inner < SHORT_STRETCH &&
        (inner == 1 || part.limit[0] - part.first[0] >= OFTEN))
        walk_short_channels(w, &part, lo, hi);
    else
        walk_channels(w, &part, lo, hi); /* a tensor is one channel */
}

/* Turns -0 into +0 and every NaN into one, so that the order of the data does not show. */
static void unify(char *to, int real_type, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (real_type == QL_FLOAT32) {
            float *end = (float *)to + i;
            *end = *end != *end ? NAN : *end + 0.0f;
        } else {
            double *end = (double *)to + i;
            *end = *end != *end ? (double)NAN : *end + 0.0;
        }
}

/* Each chunk fills ends of its own, the first one those of the result. */
static int walk_apart(walk *w, char *lo, char *hi) {
    const int64_t size = w->groups * w->size, chunks = w->cut.chunks;
    char *own = ql_allocate((size_t)(2 * chunks * size));
    if (own == NULL)
        return QL_NO_MEMORY;
    w->lo = own;
    w->hi = own + chunks * size;
    fill_ends(w, w->lo, w->hi, chunks * w->groups);
    ql_run_chunks((long)chunks, walk_chunk, w);
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        fold(w, lo, hi, w->lo + chunk * size, w->hi + chunk * size, w->groups);
    ql_release(own);
    return QL_OK;
}

int ql_min_max(const void *x, int real_type, void *lo, void *hi, int kind, int64_t outer,
               int64_t length, int64_t inner, int64_t block) {
    walk w = {.at = ql_layout_of(kind, outer, length, inner, block),
              .real_type = real_type,
              .size = real_type == QL_FLOAT32 ? 4 : 8,
              .run = ql_current_kernels()->min_max[real_type],
              .x = x,
              .lo = lo,
              .hi = hi};
    w.groups = kind == QL_BLOCKED ? outer * ql_ceil_div(length, block) * inner : w.at.extent[1];
    w.cut = ql_cut_layout(&w.at);
    fill_ends(&w, lo, hi, w.groups);
    int status = QL_OK;
    if (kind == QL_BLOCKED)
        ql_run_chunks((long)w.cut.chunks, walk_chunk, &w);
    else if (w.cut.chunks == 1 || w.groups > ql_elements(&w.at) / w.cut.chunks / OFTEN) {
        w.cut.chunks = 1; /* also where there would be more ends than worth bringing together */
        walk_chunk(&w, 0);
    } else
        status = walk_apart(&w, lo, hi);
    unify(lo, real_type, w.groups);
    unify(hi, real_type, w.groups);
    return status;
}
