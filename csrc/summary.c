/* Summaries: what calibration needs to know of data, such that two summaries of parts merge to the
 * bits of the summary of the whole.
 *
 * Data is taken a block at a time, while it is in the cache: its extremes, from them the width of
 * the bins, then the counts and the sums. A block that widens the range widens the bins, and merges
 * counts in pairs, which gives what counting again would have given. Values that are not finite are
 * counted and left out. A long row is cut into parts, which threads summarize apart.
 *
 * Sums are exact integers, in units of 2**-1074 (the smallest double) and of its square. They are
 * held as digits of 32 bits in words of 64, so that digits can be added without looking at carries,
 * which are passed on once for many blocks. Few values come to digits one by one: those that
 * kernels/summary.h leaves out. */
#include "core.h"

#include <math.h>

enum {
    BLOCK = QL_TALLY,
    UNIT = 1074, /* the smallest double is 2**-UNIT */
    SMALLEST_EXPONENT = -1022,
    LARGEST_FLOAT_EXPONENT = 126, /* of widths that float32 can multiply and divide by */
    SMALLEST_BOUND = -400,        /* of doubles whose terms are far from the ends of the range */
    LARGEST_BOUND = 500,
    TABLES_HOLD = 15,   /* blocks, of QL_TALLY / QL_TABLES counts of 16 bits and a few */
    DIGITS_HOLD = 4096, /* blocks, of less than 2**19 additions below 2**32 to a digit */
    PART = 1 << 17      /* values worth a part of their own */
};

/* Sums of terms, which are multiples of 2**(bounds * bound + offset), and are part of the sum with
 * one bound and of that of the squares with two. Some products stand for two. */
typedef struct {
    int bounds, offset, twice;
} term;

static const struct {
    int span; /* powers of two below the largest value that are summed by terms */
    int terms;
    term of[QL_MOST_TERMS];
} sums_of[2] = {
    [QL_FLOAT32] = {19, 3, {{1, -42, 0}, {2, -42, 0}, {2, -84, 0}}},
    [QL_FLOAT64] = {27,
                    11,
                    {{1, -20, 0},
                     {1, -40, 0},
                     {1, -60, 0},
                     {1, -80, 0},
                     {2, -40, 0},
                     {2, -60, 1},
                     {2, -80, 0},
                     {2, -100, 1},
                     {2, -120, 0},
                     {2, -140, 1},
                     {2, -160, 0}}},
};

typedef struct {
    const ql_kernels *kernels;
    uint16_t *tables; /* [QL_TABLES][QL_TABLE], counts not yet in `counts` */
    int blocks_in_tables;
    double least, greatest; /* of the values in the tables */
    double *widened;        /* [BLOCK], float32 values as doubles */
    double *finite;         /* [BLOCK], the values of a block that are finite */
    double *small;          /* [BLOCK], those that kernels leave to be summed one by one */
    int64_t *counts;
    int32_t exponent;
    int filled;  /* whether anything was counted */
    int between; /* whether a value lies between two edges of bins */
    int64_t zeros, nonfinite;
    double minimum, maximum;
    int blocks_in_digits;
    int64_t sum[QL_SUM_DIGITS], squares[QL_SQUARES_DIGITS];
} summary;

static int64_t size_of(int real_type) {
    return real_type == QL_FLOAT32 ? 4 : 8;
}

/* --- exact sums ----------------------------------------------------------------------------- */

/* Adds value * 2**position, or subtracts it. */
static void add_at(int64_t *digits, uint64_t value, int position, int negative) {
    const int shift = position % 32;
    const int64_t sign = negative ? -1 : 1;
    int64_t *to = digits + position / 32;
    to[0] += sign * (int64_t)(value << shift & UINT32_MAX);
    to[1] += sign * (int64_t)(value >> (32 - shift) & UINT32_MAX);
    to[2] += sign * (int64_t)(shift ? value >> (64 - shift) : 0);
}

/* The value as mantissa * 2**(position - UNIT). */
static uint64_t split(double value, int *position, int *negative) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int exponent = (int)(bits >> 52 & 0x7FF);
    const uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    *negative = (int)(bits >> 63);
    *position = exponent ? exponent - 1 : 0;
    return exponent ? fraction | UINT64_C(1) << 52 : fraction;
}

static void add_value(int64_t *digits, double value) {
    int position, negative;
    const uint64_t mantissa = split(value, &position, &negative);
    add_at(digits, mantissa, position, negative);
}

/* The square of a mantissa of 53 bits, by halves of 26 and 27. */
static void add_square(int64_t *digits, double value) {
    int position, negative;
    const uint64_t mantissa = split(value, &position, &negative);
    const uint64_t high = mantissa >> 27, low = mantissa & ((1 << 27) - 1);
    add_at(digits, high * high, 2 * position + 54, 0);
    add_at(digits, high * low, 2 * position + 28, 0);
    add_at(digits, low * low, 2 * position, 0);
}

/* Leaves digits of 32 bits, but for the last, which holds the sign. */
static void carry(int64_t *digits, int count) {
    int64_t over = 0;
    for (int i = 0; i < count - 1; i++) {
        const int64_t digit = digits[i] + over;
        digits[i] = digit & UINT32_MAX;
        over = digit >> 32;
    }
    digits[count - 1] += over;
}

static void carry_all(summary *s) {
    carry(s->sum, QL_SUM_DIGITS);
    carry(s->squares, QL_SQUARES_DIGITS);
    s->blocks_in_digits = 0;
}

/* A multiple of 2**position. */
static void add_multiple(int64_t *digits, int64_t multiple, int position) {
    add_at(digits, multiple < 0 ? -(uint64_t)multiple : (uint64_t)multiple, position, multiple < 0);
}

/* Lanes are multiples of their unit below 2**53; eight add up in an integer. */
static void add_term(summary *s, const double lanes[QL_LANES], const term *t, int bound) {
    const int unit = t->bounds * bound + t->offset;
    const double reciprocal = ldexp(1, -unit);
    int64_t multiple = 0;
    for (int lane = 0; lane < QL_LANES; lane++)
        multiple += (int64_t)(lanes[lane] * reciprocal);
    if (t->bounds == 1)
        add_multiple(s->sum, multiple, unit + UNIT);
    else
        add_multiple(s->squares, multiple, unit + 2 * UNIT + t->twice);
}

static void add_moments(summary *s, const ql_tally *tally, int real_type) {
    for (int i = 0; i < sums_of[real_type].terms; i++)
        add_term(s, tally->sums[i], &sums_of[real_type].of[i], tally->bound);
    for (int64_t i = 0; i < tally->smalls; i++) {
        const double value =
            real_type == QL_FLOAT32 ? ((const float *)tally->small)[i] : s->small[i];
        add_value(s->sum, value);
        add_square(s->squares, value);
    }
    if (++s->blocks_in_digits == DIGITS_HOLD)
        carry_all(s);
}

/* --- counts --------------------------------------------------------------------------------- */

/* The number of the bin of a value, from left to right; of 0, that to its right. */
static int bin_of(const summary *s, double value) {
    const int outwards = (int)ldexp(fabs(value), -s->exponent);
    return QL_BINS + (value < 0 ? -1 - outwards : outwards);
}

/* Adds the counts of all tables to `counts`. */
static void take(uint16_t *tables, int64_t *restrict counts, int entries) {
    const uint16_t *restrict table = tables;
    for (int entry = 0; entry < entries; entry++)
        counts[entry] += (uint32_t)table[entry] + table[entry + QL_TABLE] +
                         table[entry + 2 * QL_TABLE] + table[entry + 3 * QL_TABLE];
    for (int i = 0; i < QL_TABLES; i++)
        memset(tables + i * QL_TABLE, 0, (size_t)entries * sizeof *tables);
}

static void empty_tables(summary *s) {
    if (s->blocks_in_tables == 0)
        return;
    const int first = bin_of(s, s->least), last = bin_of(s, s->greatest);
    take(s->tables + first, s->counts + first, last - first + 1);
    take(s->tables + 2 * QL_BINS, &s->zeros, 1);
    s->blocks_in_tables = 0;
    s->least = INFINITY;
    s->greatest = -INFINITY;
}

_Static_assert(QL_TABLES == 4, "take adds up four tables");

/* Bins of one side, from 0 outwards in steps of 1 or -1. */
static void coarsen_side(int64_t *side, int step, int doublings, int *between) {
    for (int bin = 1; bin < QL_BINS; bin++) {
        const int64_t count = side[bin * step];
        if (count == 0)
            continue;
        const int wider = bin >> doublings;
        *between |= wider << doublings != bin;
        side[bin * step] = 0;
        side[wider * step] += count;
    }
}

static void coarsen(summary *s, int32_t exponent) {
    const int doublings = (int)ql_min(exponent - s->exponent, 12);
    if (doublings > 0 && s->filled) {
        empty_tables(s);
        coarsen_side(s->counts + QL_BINS, 1, doublings, &s->between);
        coarsen_side(s->counts + QL_BINS - 1, -1, doublings, &s->between);
    }
    s->exponent = exponent;
}

static int float32_divides_by(int32_t exponent) {
    return -LARGEST_FLOAT_EXPONENT <= exponent && exponent <= LARGEST_FLOAT_EXPONENT;
}

/* Floats in bins that float32 cannot divide by go through double. */
static const void *as_doubles(summary *s, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        s->widened[i] = x[i];
    return s->widened;
}

/* All values are below 2**bound. */
static void add_values(summary *s, const void *x, int real_type, int64_t count, int bound) {
    if (real_type == QL_FLOAT32 && !float32_divides_by(s->exponent)) {
        x = as_doubles(s, x, count);
        real_type = QL_FLOAT64;
    }
    const int far_out = bound < SMALLEST_BOUND || bound > LARGEST_BOUND;
    ql_tally tally = {.factor = ldexp(1, -s->exponent),
                      .width = ldexp(1, s->exponent),
                      .least = far_out ? INFINITY : ldexp(1, bound - sums_of[real_type].span),
                      .bound = far_out ? 0 : bound,
                      .between = s->between,
                      .tables = s->tables,
                      .small = s->small};
    s->kernels->tally[real_type](x, count, &tally);
    s->filled = 1;
    s->between = tally.between;
    add_moments(s, &tally, real_type);
    if (++s->blocks_in_tables == TABLES_HOLD)
        empty_tables(s);
}

/* --- blocks --------------------------------------------------------------------------------- */

static void find_extremes(const summary *s, const void *x, int real_type, int64_t count, double *lo,
                          double *hi) {
    float low = INFINITY, high = -INFINITY;
    *lo = INFINITY;
    *hi = -INFINITY;
    if (real_type == QL_FLOAT32) {
        s->kernels->min_max[QL_FLOAT32](x, count, &low, &high, 0);
        *lo = low;
        *hi = high;
    } else {
        s->kernels->min_max[QL_FLOAT64](x, count, lo, hi, 0);
    }
}

/* Copies the values that are finite, and returns how many they are. */
static int64_t keep_finite(const void *x, int real_type, int64_t count, void *to) {
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++)
        if (real_type == QL_FLOAT32) {
            ((float *)to)[kept] = ((const float *)x)[i];
            kept += isfinite(((const float *)x)[i]) != 0;
        } else {
            ((double *)to)[kept] = ((const double *)x)[i];
            kept += isfinite(((const double *)x)[i]) != 0;
        }
    return kept;
}

static void add_finite(summary *s, const void *x, int real_type, int64_t count, double lo,
                       double hi) {
    s->minimum = lo < s->minimum ? lo + 0 : s->minimum; /* + 0 turns -0 into 0 */
    s->maximum = hi > s->maximum ? hi + 0 : s->maximum;
    const double magnitude = -lo > hi ? -lo : hi;
    if (magnitude == 0) {
        s->zeros += count;
        return;
    }
    int bound;
    frexp(magnitude, &bound);
    coarsen(s, (int32_t)ql_max(s->exponent, bound - QL_BINS_LOG2));
    s->least = lo < s->least ? lo : s->least;
    s->greatest = hi > s->greatest ? hi : s->greatest;
    add_values(s, x, real_type, count, bound);
}

static void add_block(summary *s, const void *x, int real_type, int64_t count) {
    double lo, hi;
    find_extremes(s, x, real_type, count, &lo, &hi);
    if (isfinite(lo) && isfinite(hi)) {
        add_finite(s, x, real_type, count, lo, hi);
        return;
    }
    const int64_t left = keep_finite(x, real_type, count, s->finite);
    s->nonfinite += count - left;
    if (left == 0)
        return;
    find_extremes(s, s->finite, real_type, left, &lo, &hi);
    add_finite(s, s->finite, real_type, left, lo, hi);
}

/* --- rows and parts ------------------------------------------------------------------------- */

static void begin(summary *s, int64_t *counts) {
    s->counts = counts;
    memset(counts, 0, 2 * QL_BINS * sizeof *counts);
    s->exponent = SMALLEST_EXPONENT;
    s->filled = s->between = 0;
    s->zeros = s->nonfinite = 0;
    s->minimum = s->least = INFINITY;
    s->maximum = s->greatest = -INFINITY;
    memset(s->sum, 0, sizeof s->sum);
    memset(s->squares, 0, sizeof s->squares);
}

static void add_stretch(summary *s, const char *x, int real_type, int64_t count) {
    for (int64_t start = 0; start < count; start += BLOCK)
        add_block(s, x + start * size_of(real_type), real_type, ql_min(BLOCK, count - start));
    empty_tables(s);
    carry_all(s);
}

static void merge(summary *s, summary *other) {
    const int32_t exponent = (int32_t)ql_max(s->exponent, other->exponent);
    coarsen(s, exponent);
    coarsen(other, exponent);
    for (int bin = 0; bin < 2 * QL_BINS; bin++)
        s->counts[bin] += other->counts[bin];
    s->filled |= other->filled;
    s->between |= other->between;
    s->zeros += other->zeros;
    s->nonfinite += other->nonfinite;
    s->minimum = other->minimum < s->minimum ? other->minimum : s->minimum;
    s->maximum = other->maximum > s->maximum ? other->maximum : s->maximum;
    for (int i = 0; i < QL_SUM_DIGITS; i++)
        s->sum[i] += other->sum[i];
    for (int i = 0; i < QL_SQUARES_DIGITS; i++)
        s->squares[i] += other->squares[i];
    carry_all(s);
}

static void store_digits(const int64_t *digits, uint32_t *to, int count) {
    for (int i = 0; i < count; i++)
        to[i] = (uint32_t)digits[i];
}

static void store(const summary *s, const ql_summaries *to, int64_t row) {
    to->exponent[row] = s->exponent;
    to->exact[row] = !s->between;
    to->zeros[row] = s->zeros;
    to->nonfinite[row] = s->nonfinite;
    to->minimum[row] = s->minimum;
    to->maximum[row] = s->maximum;
    store_digits(s->sum, to->sum + row * QL_SUM_DIGITS, QL_SUM_DIGITS);
    store_digits(s->squares, to->squares + row * QL_SQUARES_DIGITS, QL_SQUARES_DIGITS);
}

/* --- the whole ------------------------------------------------------------------------------ */

/* What a part works with: a state, and room that its pointers lead to. */
typedef struct {
    summary state;
    int64_t counts[2 * QL_BINS]; /* of a part of a row */
    uint16_t tables[QL_TABLES * QL_TABLE];
    double widened[BLOCK], finite[BLOCK], small[BLOCK];
} place;

typedef struct {
    const char *x;
    int real_type;
    int64_t rows, columns, parts;
    place *places; /* one for each part */
    const ql_summaries *to;
} walk;

static const char *value_at(const walk *w, int64_t row, int64_t column) {
    return w->x + (row * w->columns + column) * size_of(w->real_type);
}

/* A stretch of the only row, to be merged. */
static void summarize_part(const walk *w, long part) {
    place *at = w->places + part;
    const int64_t step = ql_ceil_div(w->columns, w->parts);
    const int64_t first = ql_min(part * step, w->columns);
    begin(&at->state, part == 0 ? w->to->counts : at->counts);
    add_stretch(&at->state, value_at(w, 0, first), w->real_type, ql_min(step, w->columns - first));
}

static void summarize_rows(const walk *w, long part) {
    summary *s = &w->places[part].state;
    const int64_t step = ql_ceil_div(w->rows, w->parts);
    for (int64_t row = part * step; row < ql_min((part + 1) * step, w->rows); row++) {
        begin(s, w->to->counts + row * 2 * QL_BINS);
        add_stretch(s, value_at(w, row, 0), w->real_type, w->columns);
        store(s, w->to, row);
    }
}

static void run_part(void *w_, long part) {
    const walk *w = w_;
    place *at = w->places + part;
    at->state = (summary){.kernels = ql_current_kernels(),
                          .tables = at->tables,
                          .widened = at->widened,
                          .finite = at->finite,
                          .small = at->small};
    memset(at->tables, 0, sizeof at->tables);
    if (w->rows == 1)
        summarize_part(w, part);
    else
        summarize_rows(w, part);
}

/* Twice as many parts as threads, so that none waits long for the last, if there is enough to do.
 */
static int64_t count_parts(int64_t rows, int64_t columns) {
    const int64_t threads = ql_threads();
    const int64_t worth = columns / PART * rows + columns % PART * rows / PART;
    const int64_t parts = ql_max(1, ql_min(threads == 1 ? 1 : 2 * threads, worth));
    return rows == 1 ? parts : ql_max(1, ql_min(parts, rows));
}

int ql_summarize(const void *x, int real_type, int64_t rows, int64_t columns,
                 const ql_summaries *to) {
    walk w = {.x = x,
              .real_type = real_type,
              .rows = rows,
              .columns = columns,
              .parts = count_parts(rows, columns),
              .to = to};
    w.places = ql_borrow((size_t)w.parts * sizeof *w.places);
    if (w.places == NULL)
        return QL_NO_MEMORY;
    ql_run_chunks((long)w.parts, run_part, &w);
    if (rows == 1) {
        for (int64_t part = 1; part < w.parts; part++)
            merge(&w.places[0].state, &w.places[part].state);
        store(&w.places[0].state, to, 0);
    }
    ql_return(w.places);
    return QL_OK;
}

/* --- tails ---------------------------------------------------------------------------------- */

enum { STRETCH = 64 };

#define DEFINE_TAILS(real)                                                                         \
    typedef struct {                                                                               \
        real least, low, high, greatest;                                                           \
    } tails_of_##real;                                                                             \
    static inline int is_tail_##real(real x, const tails_of_##real *tails) {                       \
        return ((tails->least < x) & (x <= tails->low)) |                                          \
               ((tails->high <= x) & (x < tails->greatest));                                       \
    }                                                                                              \
    /* Most stretches have none, which vectors see. */                                             \
    static int has_##real(const real *x, const tails_of_##real *tails) {                           \
        int any = 0;                                                                               \
        for (int i = 0; i < STRETCH; i++)                                                          \
            any |= is_tail_##real(x[i], tails);                                                    \
        return any;                                                                                \
    }                                                                                              \
    static int64_t collect_##real(const real *x, int64_t count, tails_of_##real tails, real *to,   \
                                  int64_t room) {                                                  \
        int64_t found = 0;                                                                         \
        for (int64_t start = 0; start < count; start += STRETCH) {                                 \
            const int64_t end = ql_min(start + STRETCH, count);                                    \
            if (end - start == STRETCH && !has_##real(x + start, &tails))                          \
                continue;                                                                          \
            for (int64_t i = start; i < end && found < room; i++) {                                \
                to[found] = x[i];                                                                  \
                found += is_tail_##real(x[i], &tails);                                             \
            }                                                                                      \
        }                                                                                          \
        return found;                                                                              \
    }

DEFINE_TAILS(float)
DEFINE_TAILS(double)

int64_t ql_tails(const void *x, int real_type, int64_t count, double least, double low, double high,
                 double greatest, void *to, int64_t room) {
    if (real_type == QL_FLOAT64)
        return collect_double(x, count, (tails_of_double){least, low, high, greatest}, to, room);
    const tails_of_float tails = {(float)least, (float)low, (float)high, (float)greatest};
    return collect_float(x, count, tails, to, room);
}
