/* Parts of data of shape (outer, length, inner), for threads to share. */
#include "core.h"

enum {
    CHUNK = 1 << 17, /* elements: some twenty microseconds, against a few for waking a thread */
    COLUMNS = 64     /* of which inner parts are made up: whole cache lines, whatever the type */
};

static int64_t unit(const ql_layout *at, int axis) {
    return axis == 2 ? COLUMNS : axis == 1 && at->kind == QL_BLOCKED ? at->block : 1;
}

static int64_t units(const ql_layout *at, int axis) {
    return ql_ceil_div(at->extent[axis], unit(at, axis));
}

ql_layout ql_layout_of(int kind, int64_t outer, int64_t length, int64_t inner, int64_t block) {
    if (kind == QL_PER_TENSOR)
        return (ql_layout){kind, {1, 1, outer * length * inner}, 1};
    return (ql_layout){kind, {outer, length, inner}, block};
}

int64_t ql_elements(const ql_layout *at) {
    return at->extent[0] * at->extent[1] * at->extent[2];
}

/* The outermost axis that is long enough, so that parts are contiguous, or else the longest. */
ql_cut ql_cut_layout(const ql_layout *at) {
    const int64_t wanted = ql_elements(at) / CHUNK;
    int longest = 0;
    for (int axis = 0; axis < 3; axis++) {
        if (units(at, axis) >= wanted)
            return (ql_cut){axis, ql_max(wanted, 1)};
        if (units(at, axis) > units(at, longest))
            longest = axis;
    }
    return (ql_cut){longest, ql_max(units(at, longest), 1)};
}

ql_part ql_part_of(const ql_layout *at, const ql_cut *cut, long chunk) {
    ql_part part = {{0, 0, 0}, {at->extent[0], at->extent[1], at->extent[2]}};
    const int64_t size = unit(at, cut->axis), count = units(at, cut->axis);
    const int64_t share = count / cut->chunks, rest = count % cut->chunks;
    const int64_t first = chunk * share + ql_min(chunk, rest);
    const int64_t limit = first + share + (chunk < rest);
    part.first[cut->axis] = first * size;
    part.limit[cut->axis] = ql_min(limit * size, at->extent[cut->axis]);
    return part;
}
