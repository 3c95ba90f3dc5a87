/* Packing of a right operand: [strip of 16 columns][group of k][16][dot], int8, with the sum of
 * each column beside it.
 *
 * uint8 codes are stored less 128, and so are their zero points: the difference of the two, which
 * is all that counts, stays the same. Beyond k and n the strips hold zeros, which add nothing. */
#include "core.h"

enum {
    /* Groups that are packed before the columns beside them are: few enough that the pages of their
     * rows stay in the translation buffer, for a row may be a page or more. */
    GROUPS_PER_VISIT = 32,
    WORTH_SHARING = 1 << 20 /* codes */
};

static uint8_t flip_of(const ql_operand *b) {
    return b->is_signed ? 0 : 0x80;
}

/* A group that may reach outside the operand: element by element, zero there. */
static void pack_element_wise(const ql_operand *b, int64_t k, int64_t n, int dot, int8_t *to) {
    const int64_t columns = ql_min(QL_STRIP, b->n - n), products = ql_min(dot, b->k - k);
    memset(to, 0, (size_t)(QL_STRIP * dot));
    for (int64_t j = 0; j < columns; j++)
        for (int64_t d = 0; d < products; d++) {
            const int64_t at = (k + d) * b->k_stride + (n + j) * b->n_stride;
            to[j * dot + d] = (int8_t)(b->bytes[at] ^ flip_of(b));
        }
}

static void add_columns(const int8_t *group, int dot, int64_t sums[QL_STRIP]) {
    for (int j = 0; j < QL_STRIP; j++)
        for (int d = 0; d < dot; d++)
            sums[j] += group[j * dot + d];
}

/* Groups `first` to `last` of one strip, for operands and edges that no kernel takes; those beyond
 * K are zeros. */
static void pack_edge(const ql_operand *b, ql_matrix *matrix, int64_t strip, int64_t first,
                      int64_t last) {
    const int dot = matrix->kernels->dot;
    const int64_t n = strip * QL_STRIP;
    int8_t *to = matrix->strips + strip * matrix->strip_stride + first * dot * QL_STRIP;
    const int64_t used = ql_min(last, ql_ceil_div(b->k, dot));
    for (int64_t group = first; group < used; group++, to += dot * QL_STRIP) {
        pack_element_wise(b, group * dot, n, dot, to);
        add_columns(to, dot, matrix->sums + n);
    }
    memset(to, 0, (size_t)(ql_max(last - ql_max(used, first), 0) * dot * QL_STRIP));
}

/* `groups` whole groups of `strips` whole strips, whose rows or whose columns are contiguous. */
static void pack_whole(const ql_operand *b, ql_matrix *matrix, int64_t group, int64_t groups,
                       int64_t strip, int64_t strips) {
    const ql_kernels *kernels = matrix->kernels;
    const uint8_t *from =
        b->bytes + group * kernels->dot * b->k_stride + strip * QL_STRIP * b->n_stride;
    int8_t *to = matrix->strips + strip * matrix->strip_stride + group * kernels->dot * QL_STRIP;
    int32_t sums[QL_PACK_STRIPS * QL_STRIP] = {0};
    if (b->n_stride == 1)
        kernels->pack_groups(from, b->k_stride, groups, strips, flip_of(b), to,
                             matrix->strip_stride, sums);
    else
        for (int64_t s = 0; s < strips; s++)
            kernels->pack_columns(from + s * QL_STRIP * b->n_stride, b->n_stride, groups,
                                  flip_of(b), to + s * matrix->strip_stride, sums + s * QL_STRIP);
    for (int64_t j = 0; j < strips * QL_STRIP; j++)
        matrix->sums[strip * QL_STRIP + j] += sums[j];
}

static void pack_all(const ql_operand *b, ql_matrix *matrix) {
    const int64_t strips = ql_ceil_div(b->n, QL_STRIP);
    const int contiguous = b->n_stride == 1 || b->k_stride == 1;
    const int64_t whole_strips = contiguous ? b->n / QL_STRIP : 0;
    const int64_t whole_groups = b->k / matrix->kernels->dot;
    memset(matrix->sums, 0, (size_t)(strips * QL_STRIP * 8));
    for (int64_t group = 0; group < whole_groups; group += GROUPS_PER_VISIT)
        for (int64_t strip = 0; strip < whole_strips; strip += QL_PACK_STRIPS)
            pack_whole(b, matrix, group, ql_min(GROUPS_PER_VISIT, whole_groups - group), strip,
                       ql_min(QL_PACK_STRIPS, whole_strips - strip));
    for (int64_t strip = 0; strip < strips; strip++)
        pack_edge(b, matrix, strip, strip < whole_strips ? whole_groups : 0, matrix->groups);
}

/* Zero points in int8, and what follows from them. */
static void set_zero_points(ql_matrix *matrix, const ql_operand *b) {
    matrix->has_zero_point = 0;
    matrix->reach = 0;
    for (int64_t j = 0; j < b->n; j++) {
        const int32_t zero = b->zero_points[j] - (b->is_signed ? 0 : 128);
        if (matrix->zero_point != NULL)
            matrix->zero_point[j] = zero;
        matrix->has_zero_point |= zero != 0;
        const int32_t reach = zero + 128 > 127 - zero ? zero + 128 : 127 - zero;
        matrix->reach = reach > matrix->reach ? reach : matrix->reach;
    }
}

/* The geometry of an operand of k times n, without memory. */
static ql_matrix geometry(const ql_kernels *kernels, int64_t k, int64_t n) {
    const int64_t step = (int64_t)kernels->dot * kernels->group_step;
    const int64_t groups = n > 0 ? ql_ceil_div(k, step) * kernels->group_step : 0;
    return (ql_matrix){
        .kernels = kernels,
        .k = k,
        .n = n,
        .groups = groups,
        /* One line more than the codes take: strips a power of two apart would share cache sets. */
        .strip_stride = groups * kernels->dot * QL_STRIP + QL_ALIGNMENT,
    };
}

ql_matrix ql_matrix_describe(const ql_kernels *kernels, const ql_operand *b) {
    ql_matrix matrix = geometry(kernels, b->k, b->n);
    set_zero_points(&matrix, b);
    return matrix;
}

ql_matrix *ql_matrix_room(const ql_kernels *kernels, int64_t k, int64_t n, int borrowed) {
    /* An operand may be a view that repeats one byte, and so be larger than any memory. Below, the
     * sizes are less than this product. Without columns there is nothing to pack, whatever k is. */
    if (n > 0 && (k > PTRDIFF_MAX / 64 || n + QL_STRIP > PTRDIFF_MAX / (k + 128)))
        return NULL;
    ql_matrix shape = geometry(kernels, k, n);
    const int64_t strips = ql_ceil_div(n, QL_STRIP), columns = strips * QL_STRIP;
    const int64_t header = (int64_t)(sizeof(ql_matrix) + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    shape.size = header + strips * shape.strip_stride + columns * (8 + 4);
    char *memory = borrowed ? ql_borrow((size_t)shape.size) : ql_allocate((size_t)shape.size);
    if (memory == NULL)
        return NULL;
    shape.strips = (int8_t *)(memory + header);
    shape.sums = (int64_t *)(memory + header + strips * shape.strip_stride);
    shape.zero_point = (int32_t *)(shape.sums + columns);
    memset(shape.zero_point, 0, (size_t)columns * 4);
    return memcpy(memory, &shape, sizeof shape);
}

ql_operand ql_operand_from(const ql_operand *b, int64_t column, int64_t columns) {
    ql_operand part = *b;
    part.bytes += column * b->n_stride;
    part.zero_points += column;
    part.n = columns;
    return part;
}

void ql_matrix_fill(ql_matrix *matrix, const ql_operand *b, int64_t column, int64_t columns) {
    const ql_operand part = ql_operand_from(b, column, columns);
    matrix->n = columns;
    set_zero_points(matrix, &part);
    pack_all(&part, matrix);
}

/* A packing cut into chunks of columns for the threads. */
typedef struct {
    ql_matrix *matrix;
    const ql_operand *operand;
    int64_t chunk_columns;
} packing;

static void pack_chunk(void *context, long chunk) {
    const packing *all = context;
    const int64_t column = chunk * all->chunk_columns;
    const int64_t columns = ql_min(all->chunk_columns, all->operand->n - column);
    const ql_operand part = ql_operand_from(all->operand, column, columns);
    ql_matrix view = *all->matrix;
    view.strips += column / QL_STRIP * view.strip_stride;
    view.sums += column;
    pack_all(&part, &view);
}

ql_matrix *ql_matrix_pack(const void *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                          int is_signed, const int32_t *zero_points) {
    enum { CHUNK = QL_PACK_STRIPS * QL_STRIP, CHUNKS_PER_THREAD = 4 };
    const ql_operand operand = {b, k, n, k_stride, n_stride, is_signed, zero_points};
    ql_matrix *matrix = ql_matrix_room(ql_current_kernels(), k, n, 0);
    if (matrix == NULL)
        return NULL;
    set_zero_points(matrix, &operand);
    packing all = {matrix, &operand, ql_max(n, 1)};
    const int64_t wanted = (int64_t)ql_threads() * CHUNKS_PER_THREAD;
    if (n > 0 && k > WORTH_SHARING / n)
        all.chunk_columns = ql_ceil_div(ql_ceil_div(n, wanted), CHUNK) * CHUNK;
    ql_run_chunks((long)ql_ceil_div(n, all.chunk_columns), pack_chunk, &all);
    if (!ql_is_narrow(matrix->kernels, k, n) || ql_narrow_pack(matrix, &operand) == QL_OK)
        return matrix;
    ql_matrix_free(matrix);
    return NULL;
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
    if (matrix != NULL)
        ql_release(matrix->columns);
    ql_release(matrix);
}

int64_t ql_matrix_size(const ql_matrix *matrix) {
    return matrix->size;
}
