/* Reals of sums by one fused multiply-add, which are as good as those of a conversion and a
 * product.
 *
 *     f32(sum) * multiplier    becomes    fma(f32 with the bits start + sum, multiplier, addend)
 *
 * Floats from 2**23 to 2**24 are the integers there, and their bits, read as one, count them: sums
 * that start from the bits of such a float B leave those of B + sum, without being converted. The
 * addend takes B * multiplier away again. It would have to have 48 bits to do so exactly; rounded
 * to the 24 of a float it is wrong by some error, which moves all products before they are rounded.
 *
 * What counts is that no code changes. A product is rounded to a float, and this to an integer, so
 * a code changes where a product passes the middle between the two floats that are next to each
 * other around k + 1/2, of which one becomes k and the other k + 1. Between neighbouring sums
 * products grow by a multiplier, so that no product is nearer to such a middle than some distance.
 * Of all B some have an error that is less: the first of them is taken. */
#include <math.h>

#include "core.h"

enum {
    LEAST_EXPONENT = -20, /* of multipliers less than 2**0, whose mantissas are 1/2 or more */
    FRACTION = 26,        /* bits that middles have, at least: those around 1/2 have 25 */
    MOST_STEPS = 255,     /* of codes, from a zero point */
    MOST_PRODUCT = 32000, /* which fits 16 bits with a zero point */
    BASE = 1 << 23,       /* integers from BASE to 2 * BASE are floats next to each other */
    BITS_OF_BASE = 0x4B000000
};

/* Products of sums and a multiplier, in units of 2**-fraction. */
typedef struct {
    int64_t multiplier, unit;
    int fraction, exponent_of_unit;
} scaled;

static int scale(float multiplier, scaled *s) {
    int exponent;
    const float mantissa = frexpf(multiplier, &exponent);
    if (!(multiplier > 0) || exponent < LEAST_EXPONENT || exponent > 0)
        return 0;
    const int fraction = 24 - exponent;
    s->fraction = (int)ql_max(fraction, FRACTION);
    const int further = s->fraction - fraction;
    s->multiplier = (int64_t)ldexpf(mantissa, 24) << further;
    s->unit = (int64_t)1 << (24 + further);
    s->exponent_of_unit = 24 + further - s->fraction;
    return 1;
}

/* How near products come to where codes change. The middle of interest around k + 1/2 is that on
 * the far side of it from the even one of k and k + 1, which k + 1/2 itself is rounded to. Those of
 * negative products are the same, mirrored. */
static int64_t distance_to_middles(const scaled *s, int64_t reach) {
    int64_t least = s->multiplier;
    int exponent = -1; /* of k + 1/2 */
    for (int64_t k = 0; k <= MOST_STEPS; k++) {
        const int64_t half = (2 * k + 1) << (s->fraction - 1);
        if (k == 1 << (exponent + 1))
            exponent++;
        const int64_t apart = (int64_t)1 << (s->fraction + exponent - 24);
        const int64_t middle = k % 2 == 0 ? half + apart : half - apart;
        if (middle > (reach + 1) * s->multiplier)
            break;
        const int64_t beyond = middle % s->multiplier;
        least = ql_min(least, ql_min(beyond, s->multiplier - beyond));
    }
    return least;
}

/* The first x from 0 on for which step * x modulo `modulus` is from low to high, both less than the
 * modulus, or -1: if no multiple of the step lies there at once, one comes to lie there when the
 * modulus has been taken away some times, which is the same question with smaller numbers. */
static int64_t first_within(int64_t step, int64_t modulus, int64_t low, int64_t high) {
    if (low == 0)
        return 0;
    if (step == 0)
        return -1;
    if (2 * step > modulus)
        return first_within(modulus - step, modulus, modulus - high, modulus - low);
    const int64_t x = ql_ceil_div(low, step);
    if (x * step <= high)
        return x;
    const int64_t times =
        first_within(modulus % step, step, (step - high % step) % step, (step - low % step) % step);
    return times < 0 ? -1 : ql_ceil_div(low + times * modulus, step);
}

/* Floats are 24 bits of at most 48, so bases are wanted whose products are next to multiples of
 * this unit. */
static int fuse(float multiplier, int64_t reach, int32_t *start, float *addend) {
    scaled s;
    if (!scale(multiplier, &s))
        return 0;
    const int64_t first = BASE + reach, unit = s.unit;
    const int64_t most = distance_to_middles(&s, reach) - 1; /* that the error may be */
    if (most < 0)
        return 0;
    /* first * multiplier + step * x is from -most to most, modulo the unit. */
    const int64_t low = (2 * unit - most - first * s.multiplier % unit) % unit;
    const int64_t high = low + 2 * most;
    const int64_t step = s.multiplier % unit;
    const int64_t x = high >= unit ? 0 : first_within(step, unit, low, high);
    if (x < 0 || first + x > 2 * BASE - reach)
        return 0;
    const int64_t product = (first + x) * s.multiplier;
    *start = (int32_t)(BITS_OF_BASE + (first - BASE + x));
    *addend = -ldexpf((float)((product + unit / 2) / unit), s.exponent_of_unit);
    return 1;
}

/* Some multipliers: all of them, or none. */
static int fuse_together(const float *multiplier, int64_t count, int64_t reach, int32_t *start,
                         float *addend) {
    int fine = 1;
    for (int64_t i = 0; i < count && fine; i++) {
        if (i > 0 && multiplier[i] == multiplier[i - 1]) {
            start[i] = start[i - 1];
            addend[i] = addend[i - 1];
        } else {
            fine = multiplier[i] * (float)reach <= MOST_PRODUCT &&
                   fuse(multiplier[i], reach, start + i, addend + i);
        }
    }
    for (int64_t i = 0; i < count && !fine; i++) {
        start[i] = 0;
        addend[i] = NAN;
    }
    return fine;
}

int ql_fuse(const float *multiplier, int64_t count, int64_t reach, int32_t *start, float *addend) {
    int some = 0;
    for (int64_t i = 0; i < count && reach >= 0 && reach < BASE / 2; i += QL_FUSED_TOGETHER)
        some |= fuse_together(multiplier + i, ql_min(QL_FUSED_TOGETHER, count - i), reach,
                              start + i, addend + i);
    return some ? QL_OK : QL_DECLINED;
}
