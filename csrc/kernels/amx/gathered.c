/* Depthwise convolutions of 3 x 3 of planes with short lines, for processors that have AMX and with
 * it vpermb: see csrc/gathered.c.
 *
 *     sums[i] = start + sum over lines, j = 0..3 of bytes[place[4 * i + j]] * w[j]
 *
 * For 64 outputs there are 12 vpdpbusd, 12 instructions for the codes and one that orders them, of
 * which two can start in a cycle; and vpermb, of which one can: 4 of lines one step apart, 8 of
 * lines two steps apart, 6 of planes of up to 64 bytes, and 12 of others. */
#include "../target.h"

#if QL_BUILDS_AMX

#include "kernels.h"

QL_TARGET_BEGIN_AMX

#include "../avx512vnni/codes.h"
#include "../avx512vnni/lanes.h"

enum { VECTORS = 4, SIDE = 3, TABLES = 6 };

/* What is the same for all planes; padding as a byte and as a number. */
typedef struct {
    stage codes;
    __m512i byte_u8x64, code_u8x64, flip_u8x64, place_u8x64[TABLES], order_u8x64, before_i32x16;
    __mmask64 inside[TABLES], last;
} source;

QL_INLINE source source_of(const ql_gathered *some, const ql_codes *codes) {
    const ql_gathering *g = some->gathering;
    source s = {.codes = stage_of(codes)};
    s.flip_u8x64 = _mm512_set1_epi8((char)some->flip);
    s.byte_u8x64 = _mm512_set1_epi8((char)some->code);
    s.code_u8x64 = _mm512_xor_si512(s.byte_u8x64, s.flip_u8x64);
    s.order_u8x64 = _mm512_loadu_si512(g->order);
    s.before_i32x16 = _mm512_loadu_si512(g->before);
    s.last = g->last;
#pragma GCC unroll 6
    for (int i = 0; i < TABLES; i++) {
        s.place_u8x64[i] = _mm512_loadu_si512(g->place[i]);
        s.inside[i] = g->inside[i];
    }
    return s;
}

/* A channel's. */
typedef struct {
    __m512i w_i8x64[SIDE], start_i32x16;
    factors by;
} filter;

QL_INLINE filter filter_of(const int way, const ql_gathered *g, const ql_codes *codes,
                           int64_t channel) {
    const uint32_t *weights = g->weights + SIDE * channel;
    return (filter){.w_i8x64 = {_mm512_set1_epi32((int32_t)weights[0]),
                                _mm512_set1_epi32((int32_t)weights[1]),
                                _mm512_set1_epi32((int32_t)weights[2])},
                    .start_i32x16 = _mm512_set1_epi32(g->start[channel]),
                    .by = factors_of(way, codes, channel)};
}

/* Bytes as numbers. */
QL_INLINE __m512i flipped(const int way, const source *s, __m512i x_u8x64) {
    return way == FUSED_PLAINLY ? x_u8x64 : _mm512_xor_si512(x_u8x64, s->flip_u8x64);
}

/* Windows of them, number `table`. */
QL_INLINE __m512i windows_in(const source *s, const int table, __m512i x_u8x64) {
    return _mm512_mask_permutexvar_epi8(s->code_u8x64, s->inside[table], s->place_u8x64[table],
                                        x_u8x64);
}

/* The sums of 16 outputs. */
QL_INLINE __m512i sums_of(const filter *f, __m512i first_u8x64, __m512i second_u8x64,
                          __m512i third_u8x64) {
    const __m512i sum_i32x16 = _mm512_dpbusd_epi32(f->start_i32x16, first_u8x64, f->w_i8x64[0]);
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum_i32x16, second_u8x64, f->w_i8x64[1]),
                               third_u8x64, f->w_i8x64[2]);
}

/* Four vectors of sums that are not codes yet, and where these go: up to 64, of which the first
 * `left` have a place. */
typedef struct {
    __m512i sum_i32x16[VECTORS];
    factors by;
    uint8_t *y;
    int64_t left;
} pending;

/* What is not one of a plane's codes becomes one of the next when that is stored. */
QL_INLINE void finish(const int way, const source *s, const pending *p) {
    const factors by[VECTORS] = {p->by, p->by, p->by, p->by};
    if (p->left > 0)
        store_bytes(
            p->y,
            _mm512_permutexvar_epi8(s->order_u8x64, codes_of(way, &s->codes, p->sum_i32x16, by)),
            p->left);
}

/* --- lines that have vectors of their own ---------------------------------------------------- */

/* The windows of a line of input. */
QL_INLINE void windows_of_line(const int way, const int parts, const source *s, const uint8_t *x,
                               __m512i windows_u8x64[VECTORS]) {
    const __m512i x_u8x64 = flipped(way, s, _mm512_loadu_si512(x));
#pragma GCC unroll 4
    for (int part = 0; part < parts; part++)
        windows_u8x64[part] = windows_in(s, part, x_u8x64);
}

/* The same of a line that may be padding. */
QL_INLINE void windows_at(const int way, const int parts, const source *s, const ql_gathering *g,
                          const uint8_t *x, int64_t line, __m512i windows_u8x64[VECTORS]) {
#pragma GCC unroll 4
    for (int part = 0; part < parts; part++)
        windows_u8x64[part] = s->code_u8x64;
    if (line >= 0 && line < g->in_lines)
        windows_of_line(way, parts, s, x + line * g->in_width, windows_u8x64);
}

/* The sums of `count` lines of output, and the windows of the last lines of input that they see,
 * `held` for the next ones, which see them, too. The first line of input is number `line`; if the
 * others are not known to be inside, they are looked at. */
QL_INLINE void sum_lines(const int way, const int parts, const int step, const int count,
                         const int known, const source *s, const ql_gathering *g, const filter *f,
                         const uint8_t *x, int64_t line, __m512i held_u8x64[2][VECTORS],
                         __m512i sum_i32x16[VECTORS]) {
    __m512i windows_u8x64[9][VECTORS];
    const int held = SIDE - step;
#pragma GCC unroll 9
    for (int i = 0; i < (count - 1) * step + SIDE; i++)
        if (i < held)
#pragma GCC unroll 4
            for (int part = 0; part < parts; part++)
                windows_u8x64[i][part] = held_u8x64[i][part];
        else if (known)
            windows_of_line(way, parts, s, x + (line + i) * g->in_width, windows_u8x64[i]);
        else
            windows_at(way, parts, s, g, x, line + i, windows_u8x64[i]);
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        const int first = v / parts % count * step, part = v % parts;
        sum_i32x16[v] = sums_of(f, windows_u8x64[first][part], windows_u8x64[first + 1][part],
                                windows_u8x64[first + 2][part]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < held; i++)
#pragma GCC unroll 4
        for (int part = 0; part < parts; part++)
            held_u8x64[i][part] = windows_u8x64[count * step + i][part];
}

/* All lines of all planes; of the last ones of a plane only half of the vectors if they have all.
 */
QL_INLINE void convolve_lines(const int way, const int parts, const int step,
                              const ql_gathered *some, const ql_codes *codes, uint8_t *y) {
    const ql_gathering g = *some->gathering;
    const source s = source_of(some, codes);
    const uint8_t *const end = y + some->channels * some->outputs;
    const int count = VECTORS / parts, half = parts == VECTORS ? 1 : count / 2;
    pending last = {.left = 0};
    for (int64_t channel = 0; channel < some->channels; channel++, y += some->outputs) {
        const filter f = filter_of(way, some, codes, channel);
        const uint8_t *x = some->x + channel * some->plane;
        __m512i held_u8x64[2][VECTORS];
        uint8_t *to = y;
#pragma GCC unroll 2
        for (int i = 0; i < SIDE - step; i++)
            windows_at(way, parts, &s, &g, x, i - g.top, held_u8x64[i]);
        for (int64_t out = 0; out < g.out_lines; out += count, to += count * g.out_width) {
            pending next = {.by = f.by, .y = to, .left = end - to};
            const int64_t line = out * step - g.top;
            const int known =
                line + SIDE - step >= 0 && line + count * step + 2 - step < g.in_lines;
            if (known)
                sum_lines(way, parts, step, count, 1, &s, &g, &f, x, line, held_u8x64,
                          next.sum_i32x16);
            else if (g.out_lines - out > half)
                sum_lines(way, parts, step, count, 0, &s, &g, &f, x, line, held_u8x64,
                          next.sum_i32x16);
            else
                sum_lines(way, parts, step, half, 0, &s, &g, &f, x, line, held_u8x64,
                          next.sum_i32x16);
            if (parts == VECTORS) { /* and registers are few */
                finish(way, &s, &next);
                continue;
            }
            finish(way, &s, &last); /* neither waits for the other */
            last = next;
        }
    }
    finish(way, &s, &last);
}

/* --- lines that share vectors ----------------------------------------------------------------- */

/* Planes of up to 64 bytes, one step apart. */
QL_INLINE void convolve_planes(const int way, const ql_gathered *some, const ql_codes *codes,
                               uint8_t *y) {
    const source s = source_of(some, codes);
    int64_t left = some->channels * some->outputs;
    pending last = {.left = 0};
    for (int64_t channel = 0; channel < some->channels; channel++) {
        const filter f = filter_of(way, some, codes, channel);
        const __m512i x_u8x64 =
            flipped(way, &s, _mm512_loadu_si512(some->x + channel * some->plane));
        __m512i windows_u8x64[TABLES];
        pending next = {.by = f.by, .y = y, .left = left};
#pragma GCC unroll 6
        for (int i = 0; i < TABLES; i++)
            windows_u8x64[i] = windows_in(&s, i, x_u8x64);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            next.sum_i32x16[v] =
                sums_of(&f, windows_u8x64[v], windows_u8x64[v + 1], windows_u8x64[v + 2]);
        finish(way, &s, &last);
        last = next;
        y += some->outputs;
        left -= some->outputs;
    }
    finish(way, &s, &last);
}

/* Larger ones, two steps apart. */
QL_INLINE void convolve_neighbours(const int way, const ql_gathered *some, const ql_codes *codes,
                                   uint8_t *y) {
    const ql_gathering *g = some->gathering;
    const source s = source_of(some, codes);
    const int64_t load[VECTORS] = {g->load[0], g->load[1], g->load[2], g->load[3]};
    int64_t left = some->channels * some->outputs;
    pending last = {.left = 0};
    for (int64_t channel = 0; channel < some->channels; channel++) {
        const filter f = filter_of(way, some, codes, channel);
        const uint8_t *x = some->x + channel * some->plane;
        __m512i third_u8x64;
        pending next = {.by = f.by, .y = y, .left = left};
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            __m512i x_u8x64 = _mm512_loadu_si512(x + load[v]);
            if (v == VECTORS - 1)
                x_u8x64 = _mm512_mask_loadu_epi8(s.byte_u8x64, s.last, x + load[v]);
            x_u8x64 = flipped(way, &s, x_u8x64);
            const __m512i second_u8x64 = windows_in(&s, 0, x_u8x64), before_u8x64 = third_u8x64;
            third_u8x64 = windows_in(&s, 1, x_u8x64);
            const __m512i first_u8x64 =
                v == 0 ? windows_in(&s, 2, flipped(way, &s, _mm512_loadu_si512(x)))
                       : _mm512_permutex2var_epi32(before_u8x64, s.before_i32x16, third_u8x64);
            next.sum_i32x16[v] = sums_of(&f, first_u8x64, second_u8x64, third_u8x64);
        }
        finish(way, &s, &last);
        last = next;
        y += some->outputs;
        left -= some->outputs;
    }
    finish(way, &s, &last);
}

/* --- all ------------------------------------------------------------------------------------- */

QL_INLINE void convolve(const int way, const ql_gathered *some, const ql_codes *codes, uint8_t *y) {
    const int64_t parts = some->gathering->parts, step = some->gathering->step;
    if (parts == 0 && step == 1)
        convolve_planes(way, some, codes, y);
    else if (parts == 0)
        convolve_neighbours(way, some, codes, y);
    else if (parts == 1 && step == 1)
        convolve_lines(way, 1, 1, some, codes, y);
    else if (parts == 1)
        convolve_lines(way, 1, 2, some, codes, y);
    else if (parts == 2 && step == 1)
        convolve_lines(way, 2, 1, some, codes, y);
    else if (parts == 2)
        convolve_lines(way, 2, 2, some, codes, y);
    else if (step == 1)
        convolve_lines(way, 4, 1, some, codes, y);
    else
        convolve_lines(way, 4, 2, some, codes, y);
}

/* Each way is a function of its own, with registers of its own. */
#define DEFINE_WAY(name, way)                                                                      \
    static __attribute__((noinline)) void name(const ql_gathered *some, const ql_codes *codes,     \
                                               uint8_t *y) {                                       \
        convolve(way, some, codes, y);                                                             \
    }

DEFINE_WAY(convert, CONVERTED)
DEFINE_WAY(fuse, FUSED)
DEFINE_WAY(fuse_plainly, FUSED_PLAINLY)

#undef DEFINE_WAY

void ql_amx_gather_codes(const ql_gathered *gathered, const ql_codes *codes, uint8_t *y) {
    ql_gathered some = *gathered;
    for (int64_t channel = 0; channel < gathered->channels; channel += some.channels) {
        const ql_codes from = ql_codes_from(codes, channel);
        const int way = way_of(&from);
        some.x = gathered->x + channel * gathered->plane;
        some.weights = gathered->weights + channel * SIDE;
        some.start = gathered->start + channel;
        some.channels = channels_alike(&from, gathered->channels - channel);
        uint8_t *to = y + channel * gathered->outputs;
        if (way == FUSED_PLAINLY && gathered->flip == 0)
            fuse_plainly(&some, &from, to);
        else if (way >= FUSED)
            fuse(&some, &from, to);
        else
            convert(&some, &from, to);
    }
}

QL_TARGET_END

#endif
