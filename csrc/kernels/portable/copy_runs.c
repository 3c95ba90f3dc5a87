/* Copies of short runs, such as the channels of pixels, in plain C. A run of 4 bytes or more is
 * copied in pieces of one size, of which the last overlaps the one before. */
#include "kernels.h"

QL_INLINE void copy_run(char *to, const char *from, int64_t bytes, const int64_t piece) {
    for (int64_t at = 0; at + piece <= bytes; at += piece)
        memcpy(to + at, from + at, (size_t)piece);
    memcpy(to + bytes - piece, from + bytes - piece, (size_t)piece);
}

#define DEFINE_COPY(piece)                                                                         \
    static void copy_by_##piece(char *to, int64_t to_step, const char *from, int64_t from_step,    \
                                int64_t runs, int64_t bytes) {                                     \
        for (; runs > 0; runs--, to += to_step, from += from_step)                                 \
            copy_run(to, from, bytes, piece);                                                      \
    }

DEFINE_COPY(16)
DEFINE_COPY(8)
DEFINE_COPY(4)
DEFINE_COPY(1)

void ql_portable_copy_runs(char *to, int64_t to_step, const char *from, int64_t from_step,
                           int64_t runs, int64_t bytes) {
    if (bytes >= 16)
        copy_by_16(to, to_step, from, from_step, runs, bytes);
    else if (bytes >= 8)
        copy_by_8(to, to_step, from, from_step, runs, bytes);
    else if (bytes >= 4)
        copy_by_4(to, to_step, from, from_step, runs, bytes);
    else if (bytes > 0)
        copy_by_1(to, to_step, from, from_step, runs, bytes);
}
