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

enum { GROUPS_PER_SUM = 1 << 20 }; /* int32 holds the sum of so many groups of int8 */

/* A group that may reach outside the operand: element by element, zero there. */
static void pack_element_wise(const operand *b, int64_t k, int64_t n, int dot, int8_t *to) {
    const int64_t columns = ql_min(QL_STRIP, b->n - n), products = ql_min(dot, b->k - k);
    memset(to, 0, (size_t)(QL_STRIP * dot));
    for (int64_t j = 0; j < columns; j++)
        for (int64_t d = 0; d < products; d++) {
            const int64_t at = (k + d) * b->k_stride + (n + j) * b->n_stride;
            to[j * dot + d] = (int8_t)(b->bytes[at] ^ b->flip);
        }
}

/* A whole group of an operand whose columns are contiguous: a transposed matrix. */
static inline void pack_column_wise(const operand *b, int64_t k, int64_t n, const int dot,
                                    int8_t *to) {
    const uint8_t *from = b->bytes + k + n * b->n_stride;
    for (int j = 0; j < QL_STRIP; j++, from += b->n_stride)
        for (int d = 0; d < dot; d++)
            to[j * dot + d] = (int8_t)(from[d] ^ b->flip);
}

static void pack_whole_group(const operand *b, int64_t k, int64_t n, int dot, int8_t *to) {
    switch (dot) {
    case 1:
        pack_column_wise(b, k, n, 1, to);
        break;
    case 2:
        pack_column_wise(b, k, n, 2, to);
        break;
    case 4:
        pack_column_wise(b, k, n, 4, to);
        break;
    default:
        pack_column_wise(b, k, n, 8, to);
    }
}

static void add_columns(const int8_t *group, int dot, int64_t sums[QL_STRIP]) {
    for (int j = 0; j < QL_STRIP; j++)
        for (int d = 0; d < dot; d++)
            sums[j] += group[j * dot + d];
}

/* Groups `first` to `last` of one strip, for operands and edges that pack_groups does not take. */
static void pack_strip(const operand *b, ql_matrix *matrix, int64_t strip, int64_t first,
                       int64_t last) {
    const int dot = matrix->kernels->dot;
    const int64_t n = strip * QL_STRIP;
    const int whole = b->k_stride == 1 && n + QL_STRIP <= b->n;
    int8_t *to = matrix->strips + strip * matrix->strip_stride + first * dot * QL_STRIP;
    for (int64_t group = first; group < last; group++, to += dot * QL_STRIP) {
        if (whole && (group + 1) * dot <= b->k)
            pack_whole_group(b, group * dot, n, dot, to);
        else
            pack_element_wise(b, group * dot, n, dot, to);
        add_columns(to, dot, matrix->sums + n);
    }
}

/* `strips` whole strips of an operand whose rows are contiguous, but for a last partial group. */
static void pack_strips(const operand *b, ql_matrix *matrix, int64_t strip, int64_t strips) {
    const int dot = matrix->kernels->dot;
    const int64_t whole = b->k / dot;
    int8_t *to = matrix->strips + strip * matrix->strip_stride;
    for (int64_t group = 0; group < whole; group += GROUPS_PER_SUM) {
        int32_t sums[QL_PACK_STRIPS * QL_STRIP] = {0};
        matrix->kernels->pack_groups(b->bytes + group * dot * b->k_stride + strip * QL_STRIP,
                                     b->k_stride, ql_min(GROUPS_PER_SUM, whole - group), strips,
                                     b->flip, to + group * dot * QL_STRIP, matrix->strip_stride,
                                     sums);
        for (int64_t j = 0; j < strips * QL_STRIP; j++)
            matrix->sums[strip * QL_STRIP + j] += sums[j];
    }
    for (int64_t s = strip; s < strip + strips; s++)
        pack_strip(b, matrix, s, whole, matrix->groups);
}

static void pack_all(const operand *b, ql_matrix *matrix) {
    const int64_t strips = ql_ceil_div(b->n, QL_STRIP);
    const int64_t whole = b->n_stride == 1 ? b->n / QL_STRIP : 0;
    for (int64_t strip = 0; strip < whole; strip += QL_PACK_STRIPS)
        pack_strips(b, matrix, strip, ql_min(QL_PACK_STRIPS, whole - strip));
    for (int64_t strip = whole; strip < strips; strip++)
        pack_strip(b, matrix, strip, 0, matrix->groups);
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
    /* An operand may be a view that repeats one byte, and so be larger than any memory. Below, the
     * sizes are less than this product. Without columns there is nothing to pack, whatever k is. */
    if (n > 0 && (k > PTRDIFF_MAX / 64 || n + QL_STRIP > PTRDIFF_MAX / (k + 128)))
        return NULL;
    const ql_kernels *kernels = ql_current_kernels();
    const int64_t step = (int64_t)kernels->dot * kernels->group_step;
    const int64_t groups = n > 0 ? ql_ceil_div(k, step) * kernels->group_step : 0;
    const int64_t strips = ql_ceil_div(n, QL_STRIP);
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
    memset(matrix->sums, 0, (size_t)columns * (8 + 4)); /* and the zero points behind them */
    set_zero_points(matrix, zero_points, is_signed);
    const operand from = {b, k, n, k_stride, n_stride, is_signed ? 0 : 0x80};
    pack_all(&from, matrix);
    return matrix;
}

void ql_matrix_unpack(const ql_matrix *matrix, void *b, int is_signed) {
    const int64_t dot = matrix->kernels->dot;
    const uint8_t flip = is_signed ? 0 : 0x80;
    uint8_t *to = b;
    for (int64_t k = 0; k < matrix->k; k++)
        for (int64_t n = 0; n < matrix->n; n += QL_STRIP) {
            const int8_t *group = matrix->strips + n / QL_STRIP * matrix->strip_stride +
                                  k / dot * dot * QL_STRIP + k % dot;
            for (int64_t j = 0; j < ql_min(QL_STRIP, matrix->n - n); j++)
                *to++ = (uint8_t)group[j * dot] ^ flip;
        }
}

void ql_matrix_free(ql_matrix *matrix) {
    ql_release(matrix);
}

int64_t ql_matrix_size(const ql_matrix *matrix) {
    return matrix->size;
}
