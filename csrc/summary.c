/* Summaries: what calibration needs to know of data, such that two summaries of parts merge to the
 * bits of the summary of the whole.
 *
 * Data is taken a block at a time, while it is in the cache: its extremes, from them the width of
 * the bins, then the counts and the sums. A block that widens the range widens the bins, and merges
 * counts in pairs, which gives what counting again would have given. Values that are not finite are
 * counted and left out.
 *
 * Sums are exact integers, in units of 2**-1074 (the smallest double) and of its square. They are
 * held as digits of 32 bits in words of 64, so that digits can be added without looking at carries,
 * which are passed on once for each block. Most float32 values never come to digits one by one:
 * kernels/summary.h says how. */
#include "core.h"

#include <math.h>

enum {
    BLOCK = QL_LANES << 11, /* values: as many as the exactness of ql_moments_run allows */
    UNIT = 1074,            /* the smallest double is 2**-UNIT */
    SPAN = 19,              /* powers of two below the largest value that ql_moments_run takes in */
    SMALLEST_EXPONENT = -1022,
    LARGEST_FLOAT_EXPONENT = 126 /* of widths that float32 can multiply and divide by */
};

typedef struct {
    const ql_kernels *kernels;
    uint32_t *tables;  /* [QL_TABLES][2 * QL_BINS], counts not yet in `counts` */
    int64_t uncounted; /* values in the tables */
    double *widened;   /* [BLOCK], float32 values as doubles */
    double *finite;    /* [BLOCK], the values of a block that are finite */
    int64_t *counts;
    int32_t exponent;
    int between; /* whether a value lies between two edges of bins */
    int64_t zeros, nonfinite;
    double minimum, maximum;
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

static void add_value(int64_t *digits, double value, int unit) {
    int position, negative;
    const uint64_t mantissa = split(value, &position, &negative);
    add_at(digits, mantissa, position + unit, negative);
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

/* Adds the `left` values that are not 0 and smaller than `least`. */
static void add_small_ones(summary *s, const float *x, float least, int64_t left) {
    for (int64_t i = 0; left; i++)
        if ((fabsf(x[i]) < least) & (x[i] != 0)) {
            add_value(s->sum, x[i], 0);
            add_square(s->squares, x[i]);
            left--;
        }
}

static void add_doubles(summary *s, const double *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        add_value(s->sum, x[i], 0);
        add_square(s->squares, x[i]);
    }
}

static void add_floats(summary *s, const float *x, int64_t count, int bound) {
    const float least = ldexpf(1, (int)ql_max(bound - SPAN, -149));
    const double magic = ldexp(1.5, 52 + 2 * bound - 42);
    double sums[3 * QL_LANES];
    add_small_ones(s, x, least, s->kernels->moments(x, count, least, magic, sums));
    for (int lane = 0; lane < QL_LANES; lane++) {
        add_value(s->sum, sums[lane], 0);
        add_value(s->squares, sums[QL_LANES + lane], UNIT);
        add_value(s->squares, sums[2 * QL_LANES + lane], UNIT);
    }
}

/* All values are below 2**bound. */
static void add_moments(summary *s, const void *x, int real_type, int64_t count, int bound) {
    if (real_type == QL_FLOAT32)
        add_floats(s, x, count, bound);
    else
        add_doubles(s, x, count);
    carry(s->sum, QL_SUM_DIGITS);
    carry(s->squares, QL_SQUARES_DIGITS);
}

/* --- counts --------------------------------------------------------------------------------- */

static uint32_t total_of(const uint32_t *bin) {
    uint32_t total = 0;
    for (int table = 0; table < QL_TABLES; table++)
        total += bin[table * 2 * QL_BINS];
    return total;
}

static void empty_tables(summary *s) {
    if (s->uncounted == 0)
        return;
    for (int bin = 0; bin < 2 * QL_BINS; bin++)
        s->counts[bin] += total_of(s->tables + bin);
    memset(s->tables, 0, QL_TABLES * 2 * QL_BINS * sizeof *s->tables);
    s->uncounted = 0;
}

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
    if (doublings > 0) {
        empty_tables(s);
        coarsen_side(s->counts + QL_BINS, 1, doublings, &s->between);
        coarsen_side(s->counts + QL_BINS - 1, -1, doublings, &s->between);
    }
    s->exponent = exponent;
}

static int float32_divides_by(int32_t exponent) {
    return -LARGEST_FLOAT_EXPONENT <= exponent && exponent <= LARGEST_FLOAT_EXPONENT;
}

static void count_bins(summary *s, const void *x, int real_type, int64_t count) {
    if (s->uncounted > INT32_MAX)
        empty_tables(s);
    s->uncounted += count;
    if (real_type == QL_FLOAT32 && !float32_divides_by(s->exponent)) {
        for (int64_t i = 0; i < count; i++)
            s->widened[i] = ((const float *)x)[i];
        x = s->widened;
        real_type = QL_FLOAT64;
    }
    const int64_t zeros = s->kernels->histogram[real_type](
        x, count, ldexp(1, -s->exponent), ldexp(1, s->exponent), s->tables, &s->between);
    s->zeros += zeros;
    s->tables[QL_BINS] -= (uint32_t)zeros; /* tables are added up modulo 2**32 */
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
    count_bins(s, x, real_type, count);
    add_moments(s, x, real_type, count, bound);
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

static void summarize_row(summary *s, const char *x, int real_type, int64_t count) {
    s->exponent = SMALLEST_EXPONENT;
    s->between = 0;
    s->zeros = s->nonfinite = 0;
    s->minimum = INFINITY;
    s->maximum = -INFINITY;
    memset(s->sum, 0, sizeof s->sum);
    memset(s->squares, 0, sizeof s->squares);
    memset(s->counts, 0, 2 * QL_BINS * sizeof *s->counts);
    for (int64_t start = 0; start < count; start += BLOCK)
        add_block(s, x + start * size_of(real_type), real_type, ql_min(BLOCK, count - start));
    empty_tables(s);
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

int ql_summarize(const void *x, int real_type, int64_t rows, int64_t columns,
                 const ql_summaries *to) {
    const size_t tables = QL_TABLES * 2 * QL_BINS * sizeof(uint32_t);
    const size_t block = BLOCK * sizeof(double);
    char *memory = ql_allocate(tables + 2 * block);
    if (memory == NULL)
        return QL_NO_MEMORY;
    memset(memory, 0, tables);
    summary s = {.kernels = ql_current_kernels(),
                 .tables = (uint32_t *)memory,
                 .widened = (double *)(memory + tables),
                 .finite = (double *)(memory + tables + block)};
    for (int64_t row = 0; row < rows; row++) {
        s.counts = to->counts + row * 2 * QL_BINS;
        summarize_row(&s, (const char *)x + row * columns * size_of(real_type), real_type, columns);
        store(&s, to, row);
    }
    ql_release(memory);
    return QL_OK;
}
