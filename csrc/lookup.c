/* Tables of 256 bytes: cut into pieces for the threads. */
#include "core.h"

enum { PIECE = 64 * 1024 }; /* elements that are worth a chunk of their own */

typedef struct {
    ql_look_up_run *run;
    const uint8_t *x, *table;
    uint8_t *y;
    int64_t rows, columns, y_stride;
    int64_t pieces, chunk_units; /* a unit is a piece of a row */
} job;

static void run_chunk(void *context, long chunk) {
    const job *j = context;
    const int64_t first = chunk * j->chunk_units;
    const int64_t last = ql_min(first + j->chunk_units, j->rows * j->pieces);
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t row = unit / j->pieces, start = unit % j->pieces * PIECE;
        j->run(j->x + row * j->columns + start, j->table, j->y + row * j->y_stride + start,
               ql_min(PIECE, j->columns - start));
    }
}

int ql_look_up(const void *x, const void *table, void *y, int64_t rows, int64_t columns,
               int64_t y_stride) {
    job j = {.run = ql_current_kernels()->look_up,
             .x = x,
             .table = table,
             .y = y,
             .rows = rows,
             .columns = columns,
             .y_stride = y_stride};
    if (rows == 0 || columns == 0)
        return QL_OK;
    j.pieces = ql_ceil_div(columns, PIECE);
    j.chunk_units = ql_max(1, PIECE / columns);
    ql_run_chunks((long)ql_ceil_div(rows * j.pieces, j.chunk_units), run_chunk, &j);
    return QL_OK;
}
