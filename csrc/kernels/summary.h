/* What a stretch of values adds to a summary: counts in bins, and exact sums. Here in plain C for
 * compilers to vectorize: each instruction set compiles it between its target marks, under its own
 * names, or writes the same with intrinsics.
 *
 * Counts. A value v belongs to bin k = trunc(|v| / width), counted from 0 to either side: the width
 * is a power of two, so that `factor`, its reciprocal, divides exactly (or, far below the first
 * edge, rounds to something that is still below it). Neighbouring values are counted in different
 * tables, because an increment that follows one of the same count waits for it; counts have 16 bits
 * so that the tables stay in the first cache. An increment is a load and a store, at best one for
 * each cycle; the rest, vectors, runs beside them.
 *
 * Sums are exact because nothing in them rounds: terms are multiples of a unit, and so few of them
 * are added up (QL_TALLY / QL_LANES = 2**11 in a lane) that the sum fits the 53 bits of a double.
 *
 * Of floats: all |v| < 2**E, and those below 2**(E - 19) are left out, so that v is a multiple of
 * 2**(E - 42). Its square has 48 bits, and is a double; adding and subtracting `magic` cuts it into
 * a multiple of 2**(2 * E - 42) and a rest that is one of 2**(2 * E - 84). Three terms.
 *
 * Of doubles: those below 2**(E - 27) are left out, so that v is a multiple of 2**(E - 80), and is
 * cut into four parts a + b + c + d, multiples of 2**(E - 20), 2**(E - 40) and so on, each of 20
 * bits. Four terms, and for the square those of a * a, a * b, 2 * a * c + b * b, a * d + b * c,
 * 2 * b * d + c * c, c * d and d * d, multiples of 2**(2 * E - 40), of 2**(2 * E - 60) and so on.
 * ../summary.c has the table of them, and of which stand for two products. */
#ifndef QL_KERNELS_SUMMARY_H
#define QL_KERNELS_SUMMARY_H

#include <math.h>

#include "../core.h"
#include "target.h"

enum { QL_STRETCH = 64 };

/* Adding and subtracting it rounds to multiples of 2**exponent. */
QL_INLINE double ql_magic(int exponent) {
    return ldexp(1.5, 52 + exponent);
}

#if QL_X86

/* Vectors of bins, counted outwards from the middle, are stored in a ring and counted LAG values
 * later, when they have left the store buffer: to load sixteen bins from a store that is still in
 * it takes longer than to count them. */
enum { QL_LAG = 64, QL_RING = 2 * QL_LAG };

/* Counts one table after the other. Compilers would add 1, which takes the whole a fifth longer, or
 * put the bins into vectors and take them out again. */
QL_INLINE void ql_count_up(uint16_t *tables, const int32_t *bins, int count) {
    QL_LOADS_IN_ORDER;
#pragma GCC unroll 16
    for (int i = 0; i < count; i++)
        __asm__("incw %0"
                : "+m"(tables[i % QL_TABLES * QL_TABLE + QL_BINS + (int64_t)bins[i]])
                :
                : "cc");
}

/* Counts the bins that were stored LAG values before `at`, `lanes` of them or what is left. */
QL_INLINE void ql_count_behind(uint16_t *tables, const int32_t *ring, int64_t at, int64_t count,
                               int lanes) {
    const int64_t behind = at - QL_LAG;
    if (behind < 0)
        return;
    if (behind + lanes <= count)
        ql_count_up(tables, ring + behind % QL_RING, lanes);
    else
        ql_count_up(tables, ring + behind % QL_RING, (int)ql_max(count - behind, 0));
}

#endif

#define QL_DEFINE_COUNTING(name, real, absolute)                                                   \
    QL_INLINE int name##_has_between(const real *x, int count, real factor, real width) {          \
        int between = 0;                                                                           \
        for (int i = 0; i < count; i++) {                                                          \
            const real magnitude = absolute(x[i]);                                                 \
            between |= (real)(int32_t)(magnitude * factor) * width != magnitude;                   \
        }                                                                                          \
        return between;                                                                            \
    }                                                                                              \
    QL_INLINE void name##_count(const real *x, int count, real factor, uint16_t *tables) {         \
        uint16_t at[QL_STRETCH];                                                                   \
        for (int i = 0; i < count; i++) {                                                          \
            const real magnitude = absolute(x[i]);                                                 \
            const int32_t k = (int32_t)(magnitude * factor) | (-(magnitude == 0) & QL_BINS);       \
            at[i] = (uint16_t)(QL_BINS + (k ^ -(x[i] < 0)));                                       \
        }                                                                                          \
        int i = 0;                                                                                 \
        for (; i + QL_TABLES <= count; i += QL_TABLES)                                             \
            for (int table = 0; table < QL_TABLES; table++)                                        \
                tables[table * QL_TABLE + at[i + table]]++;                                        \
        for (; i < count; i++)                                                                     \
            tables[at[i]]++;                                                                       \
    }                                                                                              \
    QL_INLINE int name##_has_small(const real *x, int count, real least) {                         \
        int small = 0;                                                                             \
        for (int i = 0; i < count; i++) {                                                          \
            const real magnitude = absolute(x[i]);                                                 \
            small |= (magnitude < least) & (magnitude != 0);                                       \
        }                                                                                          \
        return small;                                                                              \
    }                                                                                              \
    /* Keeps a stretch of the values to sum, with 0 for the small ones, which it copies. */        \
    static void name##_sift(const real *x, int count, ql_tally *to, real *kept) {                  \
        for (int i = 0; i < count; i++) {                                                          \
            const int small = absolute(x[i]) < (real)to->least;                                    \
            kept[i] = small ? 0 : x[i];                                                            \
            if (small && x[i] != 0)                                                                \
                ((real *)to->small)[to->smalls++] = x[i];                                          \
        }                                                                                          \
        for (int i = count; i < QL_STRETCH; i++)                                                   \
            kept[i] = 0;                                                                           \
    }                                                                                              \
    void name(const void *x_, int64_t count, ql_tally *to) {                                       \
        const real factor = (real)to->factor, width = (real)to->width, least = (real)to->least;    \
        const name##_cuts cuts = name##_cuts_of(to->bound);                                        \
        double sums[name##_terms][QL_STRETCH] = {{0}};                                             \
        to->smalls = 0;                                                                            \
        for (int64_t start = 0; start < count; start += QL_STRETCH) {                              \
            const real *x = (const real *)x_ + start;                                              \
            const int size = (int)ql_min(QL_STRETCH, count - start);                               \
            real kept[QL_STRETCH];                                                                 \
            to->between = to->between || name##_has_between(x, size, factor, width);               \
            name##_count(x, size, factor, to->tables);                                             \
            const int whole = size == QL_STRETCH && !name##_has_small(x, size, least);             \
            if (!whole)                                                                            \
                name##_sift(x, size, to, kept);                                                    \
            name##_add(whole ? x : kept, &cuts, sums);                                             \
        }                                                                                          \
        for (int term = 0; term < name##_terms; term++)                                            \
            for (int lane = 0; lane < QL_LANES; lane++) {                                          \
                to->sums[term][lane] = 0;                                                          \
                for (int part = lane; part < QL_STRETCH; part += QL_LANES)                         \
                    to->sums[term][lane] += sums[term][part];                                      \
            }                                                                                      \
    }

#define QL_DEFINE_FLOAT_TALLY(name)                                                                \
    enum { name##_terms = 3 };                                                                     \
    typedef struct {                                                                               \
        double magic;                                                                              \
    } name##_cuts;                                                                                 \
    QL_INLINE name##_cuts name##_cuts_of(int bound) {                                              \
        return (name##_cuts){ql_magic(2 * bound - 42)};                                            \
    }                                                                                              \
    QL_INLINE void name##_add(const float *x, const name##_cuts *cuts,                             \
                              double(*sums)[QL_STRETCH]) {                                         \
        for (int i = 0; i < QL_STRETCH; i++) {                                                     \
            const double value = x[i], square = value * value;                                     \
            const double coarse = (square + cuts->magic) - cuts->magic;                            \
            sums[0][i] += value;                                                                   \
            sums[1][i] += coarse;                                                                  \
            sums[2][i] += square - coarse;                                                         \
        }                                                                                          \
    }                                                                                              \
    QL_DEFINE_COUNTING(name, float, fabsf)

#define QL_DEFINE_DOUBLE_TALLY(name)                                                               \
    enum { name##_terms = 11 };                                                                    \
    typedef struct {                                                                               \
        double a, b, c;                                                                            \
    } name##_cuts;                                                                                 \
    QL_INLINE name##_cuts name##_cuts_of(int bound) {                                              \
        return (name##_cuts){ql_magic(bound - 20), ql_magic(bound - 40), ql_magic(bound - 60)};    \
    }                                                                                              \
    QL_INLINE void name##_add(const double *x, const name##_cuts *cuts,                            \
                              double(*sums)[QL_STRETCH]) {                                         \
        for (int i = 0; i < QL_STRETCH; i++) {                                                     \
            const double a = (x[i] + cuts->a) - cuts->a, after_a = x[i] - a;                       \
            const double b = (after_a + cuts->b) - cuts->b, after_b = after_a - b;                 \
            const double c = (after_b + cuts->c) - cuts->c, d = after_b - c;                       \
            sums[0][i] += a;                                                                       \
            sums[1][i] += b;                                                                       \
            sums[2][i] += c;                                                                       \
            sums[3][i] += d;                                                                       \
            sums[4][i] += a * a;                                                                   \
            sums[5][i] += a * b;                                                                   \
            sums[6][i] += 2 * a * c + b * b;                                                       \
            sums[7][i] += a * d + b * c;                                                           \
            sums[8][i] += 2 * b * d + c * c;                                                       \
            sums[9][i] += c * d;                                                                   \
            sums[10][i] += d * d;                                                                  \
        }                                                                                          \
    }                                                                                              \
    QL_DEFINE_COUNTING(name, double, fabs)

#endif
