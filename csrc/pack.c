/* Packing of a right operand: [strip of 16 columns][group of k][16][dot], int8, with the sum of
 * each column beside it.
 *
 * uint8 codes are stored less 128, and so are their zero points: the difference of the two, which
 * is all that counts, stays the same. Beyond k and n the strips hold zeros, which add nothing. */
#include "core.h"

/* Where the operand lies. */
typedef struct {
    const uint8_t *bytes;
    int64_t k, n, k_stride, n_stride;
    uint8_t flip; /* turns the byte into int8: 0x80 for uint8, 0 for int8 */
} operand;

/* Sixteen columns of up to four rows; rows are contiguous, so that the compiler interleaves with
 * shuffles. */
static inline void interleave(const uint8_t *const rows[4], int dot, uint8_t flip, int8_t *to) {
    for (int j = 0; j < QL_STRIP; j++)
        for (int d = 0; d < dot; d++)
            to[j * dot + d] = (int8_t)(rows[d][j] ^ flip);
}

static inline void add_columns(const int8_t *group, int dot, int32_t sums[QL_STRIP]) {
    for (int j = 0; j < QL_STRIP; j++)
        for (int d = 0; d < dot; d++)
            sums[j] += group[j * dot + d];
}

/* A group that lies wholly inside contiguous rows. */
static void pack_group_inside(const operand *b, int64_t k, int64_t n, int dot, int8_t *to) {
    const uint8_t *rows[4] = {0};
    for (int d = 0; d < dot; d++)
        rows[d] = b->bytes + (k + d) * b->k_stride + n;
    if (dot == 4)
        interleave(rows, 4, b->flip, to);
    else
        interleave(rows, 2, b->flip, to);
}

/* Any group: element by element, zero outside. */
static void pack_group(const operand *b, int64_t k, int64_t n, int dot, int8_t *to) {
    const int64_t columns = ql_min(QL_STRIP, b->n - n), products = ql_min(dot, b->k - k);
    memset(to, 0, (size_t)(QL_STRIP * dot));
    for (int64_t j = 0; j < columns; j++)
        for (int64_t d = 0; d < products; d++) {
            const int64_t at = (k + d) * b->k_stride + (n + j) * b->n_stride;
            to[j * dot + d] = (int8_t)(b->bytes[at] ^ b->flip);
        }
}

static void pack_strip(const operand *b, int64_t n, int dot, int64_t groups, int8_t *strip,
                       int64_t totals[QL_STRIP]) {
    enum { GROUPS_PER_SUM = 1 << 20 }; /* int32 holds the sum of so many groups of int8 */
    const int inside = b->n_stride == 1 && n + QL_STRIP <= b->n;
    int32_t sums[QL_STRIP] = {0};
    memset(totals, 0, QL_STRIP * sizeof *totals);
    for (int64_t group = 0; group < groups; group++, strip += QL_STRIP * dot) {
        if (inside && (group + 1) * dot <= b->k)
            pack_group_inside(b, group * dot, n, dot, strip);
        else
            pack_group(b, group * dot, n, dot, strip);
        if (dot == 4)
            add_columns(strip, 4, sums);
        else
            add_columns(strip, 2, sums);
        if ((group + 1) % GROUPS_PER_SUM && group + 1 < groups)
            continue;
        for (int j = 0; j < QL_STRIP; j++) {
            totals[j] += sums[j];
            sums[j] = 0;
        }
    }
}

/* The zero points in int8, and what follows from them. */
static void set_zero_points(ql_matrix *matrix, const int32_t *zero_points, int is_signed) {
    for (int64_t j = 0; j < matrix->n; j++) {
        const int32_t zero = zero_points[j] - (is_signed ? 0 : 128);
        matrix->zero_point[j] = zero;
        matrix->has_zero_point |= zero != 0;
        const int32_t reach = zero + 128 > 127 - zero ? zero + 128 : 127 - zero;
        matrix->reach = reach > matrix->reach ? reach : matrix->reach;
    }
}

ql_matrix *ql_matrix_pack(const void *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                          int is_signed, const int32_t *zero_points) {
    const ql_kernels *kernels = ql_current_kernels();
    const int64_t groups = ql_ceil_div(k, kernels->dot), strips = ql_ceil_div(n, QL_STRIP);
    /* One line more than the codes take: strips a power of two apart would share cache sets. */
    const int64_t strip_stride = groups * kernels->dot * QL_STRIP + QL_ALIGNMENT;
    const int64_t columns = strips * QL_STRIP;
    const int64_t header = (int64_t)(sizeof(ql_matrix) + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    const int64_t size = header + strips * strip_stride + columns * (8 + 4);
    ql_matrix *matrix = ql_allocate((size_t)size);
    if (matrix == NULL)
        return NULL;
    char *memory = (char *)matrix;
    *matrix = (ql_matrix){
        .kernels = kernels,
        .k = k,
        .n = n,
        .groups = groups,
        .strip_stride = strip_stride,
        .strips = (int8_t *)(memory + header),
        .sums = (int64_t *)(memory + header + strips * strip_stride),
        .zero_point = (int32_t *)(memory + header + strips * strip_stride + columns * 8),
        .size = size,
    };
    memset(matrix->zero_point, 0, (size_t)columns * 4);
    set_zero_points(matrix, zero_points, is_signed);
    const operand from = {b, k, n, k_stride, n_stride, is_signed ? 0 : 0x80};
    for (int64_t strip = 0; strip < strips; strip++)
        pack_strip(&from, strip * QL_STRIP, kernels->dot, groups,
                   matrix->strips + strip * strip_stride, matrix->sums + strip * QL_STRIP);
    return matrix;
}

void ql_matrix_free(ql_matrix *matrix) {
    ql_release(matrix);
}

int64_t ql_matrix_size(const ql_matrix *matrix) {
    return matrix->size;
}
