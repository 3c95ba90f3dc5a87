/* Entropy coding by tables (tANS); quantlib/encoding/definition.py defines it.
 *
 * A decoder's step waits for the one before it: the state says how many bits to read, and these
 * make the next state. So its speed is that of two loads, one from the table, one from the bits.
 * Segments depend on nothing and are decoded on several threads. */
#include "core.h"

int64_t ql_entropy_encode(const uint16_t *symbols, int64_t count, const ql_entropy_coder *coder,
                          uint8_t *bits, uint32_t *last_state) {
    const uint32_t size = UINT32_C(1) << coder->log;
    uint32_t state = size;
    uint64_t waiting = 0;
    int held = 0;
    int64_t written = 0;
    for (int64_t i = count - 1; i >= 0; i--) {
        const uint16_t symbol = symbols[i];
        const uint32_t frequency = coder->frequency[symbol];
        const int most = coder->most_bits[symbol];
        const int given = most - (state >> most < frequency);
        waiting |= (uint64_t)(state & ((UINT32_C(1) << given) - 1)) << held;
        held += given;
        state = size + coder->states[coder->first[symbol] + (state >> given) - frequency];
        while (held >= 8) {
            bits[written++] = (uint8_t)waiting;
            waiting >>= 8;
            held -= 8;
        }
    }
    if (held)
        bits[written] = (uint8_t)waiting;
    *last_state = state - size;
    return 8 * written + held;
}

typedef struct {
    const uint8_t *data;
    const int64_t *start, *bits, *state;
    int64_t length, count;
    const ql_entropy_step *steps;
    int16_t *codes;
    ql_status status;
} decoding;

/* The 32 bits from byte `at` on; there are spare bytes behind the last. */
static uint32_t load_bits(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void decode_chunk(void *d_, long chunk) {
    decoding *d = d_;
    const int64_t first = chunk * d->length, limit = ql_min(d->count, first + d->length);
    const uint8_t *data = d->data + d->start[chunk];
    int64_t left = d->bits[chunk];
    uint32_t state = (uint32_t)d->state[chunk];
    for (int64_t i = first; i < limit; i++) {
        const ql_entropy_step step = d->steps[state];
        d->codes[i] = step.code;
        left -= step.bits;
        if (left < 0) {
            ql_report(&d->status, QL_DAMAGED);
            return;
        }
        state = step.base +
                (load_bits(data + (left >> 3)) >> (left & 7) & ((UINT32_C(1) << step.bits) - 1));
    }
    if (left != 0 || state != 0)
        ql_report(&d->status, QL_DAMAGED);
}

int ql_entropy_decode(const uint8_t *data, const int64_t *start, const int64_t *bits,
                      const int64_t *state, int64_t segments, int64_t length,
                      const ql_entropy_step *steps, int16_t *codes, int64_t count) {
    decoding d = {.data = data,
                  .start = start,
                  .bits = bits,
                  .state = state,
                  .length = length,
                  .count = count,
                  .steps = steps,
                  .codes = codes};
    ql_run_chunks((long)segments, decode_chunk, &d);
    return ql_reported(&d.status);
}
