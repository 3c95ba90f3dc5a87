/* Calls on NumPy's arrays as CPython has them, known by their addresses.
 *
 * Asking an array for its type, shape, memory and layout from Python, and handing the answers to C
 * one by one, takes longer than a small product. Here C reads them itself and declines what is not
 * plainly in order: other types and shapes, gaps between elements, results that overlap operands.
 * Then the caller checks in full, in Python, which knows what to say and whom to copy for.
 *
 * What is read is the head that NumPy's binary interface has fixed since version 1.7, behind the
 * head of every object. quantlib/_native/arrays.py compares it with what arrays say of themselves
 * before it lets anything be read. */
#include "core.h"

/* Behind the head of an object. */
typedef struct {
    char *data;
    int rank;
    const intptr_t *extents, *strides;
    const void *base, *dtype;
    int flags;
} head;

enum { MOST_AXES = 8 };

/* What a call looks at of an array, read once, so that what is checked is what is used even if
 * another thread sets the array's shape meanwhile. */
typedef struct {
    char *data;
    int rank;
    intptr_t extents[MOST_AXES];
    const void *dtype;
    int flags;
} array;

enum { CONTIGUOUS = 0x1, ALIGNED = 0x100, WRITEABLE = 0x400 }; /* flags */
enum { READABLE = CONTIGUOUS | ALIGNED, FILLABLE = READABLE | WRITEABLE };

/* What tells arrays from other objects, and their types from each other; none before it is set. */
static ql_array_types known;

void ql_array_types_are(const ql_array_types *types) {
    known = *types;
}

/* What is behind the head of an object of this type, which ends with its type, or NULL. */
static const void *body_of(uintptr_t object, uintptr_t type) {
    const char *address = (const char *)object; /* NOLINT: an address is what it is */
    const uintptr_t its_type = *(const uintptr_t *)(address + known.head - sizeof(uintptr_t));
    return its_type == type ? address + known.head : NULL;
}

/* The array there, or NULL for other objects, and for arrays of more axes. */
static const array *array_at(uintptr_t object, array *to) {
    const head *a = body_of(object, known.array);
    const int rank = a == NULL ? -1 : a->rank;
    if (rank < 0 || rank > MOST_AXES)
        return NULL;
    to->data = a->data;
    to->rank = rank;
    to->dtype = a->dtype;
    to->flags = a->flags;
    const intptr_t *extents = a->extents;
    for (int i = 0; i < rank; i++)
        to->extents[i] = extents[i];
    return to;
}

int ql_array_read(uintptr_t object, ql_array_seen *seen) {
    const head *a = body_of(object, known.array);
    if (a == NULL)
        return QL_DECLINED;
    *seen = (ql_array_seen){.data = (uintptr_t)a->data,
                            .dtype = (uintptr_t)a->dtype,
                            .base = (uintptr_t)a->base,
                            .rank = a->rank,
                            .is_contiguous = (a->flags & CONTIGUOUS) != 0,
                            .is_aligned = (a->flags & ALIGNED) != 0,
                            .is_writeable = (a->flags & WRITEABLE) != 0};
    for (int i = 0; i < a->rank && i < QL_SEEN_AXES; i++) {
        seen->extents[i] = a->extents[i];
        seen->strides[i] = a->strides[i];
    }
    return QL_OK;
}

/* Whether it is an array of this type, and the flags that are wanted are set. */
static int is_plain(const array *a, int type, int flags) {
    return a != NULL && (uintptr_t)a->dtype == known.types[type] && (a->flags & flags) == flags;
}

/* Whether at its address is an array that holds what it held. */
static int is_unchanged(const ql_array_copy *copy) {
    array now;
    const array *a = array_at(copy->array, &now);
    if (!is_plain(a, copy->type, READABLE) || a->rank != copy->rank)
        return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->extents[i] != copy->extents[i])
            return 0;
    return memcmp(a->data, copy->bytes, (size_t)copy->size) == 0;
}

/* The entries of a tuple and their number, which comes first, or NULL. */
static const uintptr_t *entries_of(uintptr_t object, int64_t *count) {
    const char *body = body_of(object, known.tuple);
    if (body == NULL)
        return NULL;
    *count = *(const intptr_t *)body;
    return (const uintptr_t *)(body + known.tuple_head - known.head);
}

/* Whether these objects are the parameters, and hold what they held. */
static int are(const uintptr_t *objects, int64_t count, const ql_parameters *p) {
    if (p->count != count || memcmp(objects, p->objects, (size_t)count * sizeof *objects) != 0)
        return 0;
    for (int64_t i = 0; i < p->arrays; i++)
        if (!is_unchanged(p->copies + i))
            return 0;
    return 1;
}

int ql_find_parameters(const ql_parameters *const *held, int count, uintptr_t tuple) {
    int64_t entries = 0;
    const uintptr_t *objects = entries_of(tuple, &entries);
    for (int i = 0; objects != NULL && i < count; i++)
        if (are(objects, entries, held[i]))
            return i;
    return -1;
}

static int is_codes(const array *a) {
    return is_plain(a, QL_INT8, READABLE) || is_plain(a, QL_UINT8, READABLE);
}

/* Whether it is what a call's `type` says, in which -1 is either type of codes. */
static int is_operand(const array *a, int type) {
    return type < 0 ? is_codes(a) : is_plain(a, type, READABLE);
}

static int is_signed(const array *a) {
    return (uintptr_t)a->dtype == known.types[QL_INT8];
}

static int is_matrix(const array *a, int64_t rows, int64_t columns) {
    return a->rank == 2 && a->extents[0] == rows && a->extents[1] == columns;
}

/* Whether a result shares no memory with an operand, of so many bytes each. */
static int apart(const array *y, int64_t y_size, const array *a, int64_t a_size) {
    return y->data + y_size <= a->data || a->data + a_size <= y->data;
}

/* Whether y can take what a product of `rows` rows with n columns has. */
static int can_take(const array *y, const ql_output *output, int64_t rows, int64_t n) {
    return is_plain(y, output->type, FILLABLE) && is_matrix(y, rows, n);
}

int ql_call_product(const ql_product_call *call, uintptr_t left, int32_t zero_point,
                    uintptr_t result) {
    array left_array, result_array;
    const array *a = array_at(left, &left_array), *y = array_at(result, &result_array);
    if (!is_operand(a, call->type) || a->rank != 2 || a->extents[1] != call->k ||
        !can_take(y, call->output, a->extents[0], call->n))
        return QL_DECLINED;
    const int64_t rows = a->extents[0], size = rows * call->k;
    const int is_real = call->type == QL_FLOAT32;
    if (!apart(y, rows * call->n * ql_size_of_result(call->output->type), a,
               size * (is_real ? 4 : 1)))
        return QL_DECLINED;
    if (is_real)
        return ql_dynamic_product(call->matrix, (const float *)a->data, rows, call->k,
                                  call->per_row, call->output, y->data, call->n);
    return ql_matmul(call->matrix, a->data, rows, call->k, is_signed(a), &zero_point, 0,
                     call->output, y->data, call->n);
}

int ql_call_product_once(const ql_once_call *call, uintptr_t left, int32_t zero_point,
                         uintptr_t right, uintptr_t result) {
    array left_array, right_array, result_array;
    const array *a = array_at(left, &left_array), *b = array_at(right, &right_array);
    const array *y = array_at(result, &result_array);
    if (!is_operand(a, call->left_type) || !is_operand(b, call->right_type) || a->rank != 2 ||
        b->rank != 2 || a->extents[1] != b->extents[0])
        return QL_DECLINED;
    const int64_t rows = a->extents[0], k = a->extents[1], n = b->extents[1];
    const int64_t size = rows * n * ql_size_of_result(call->output->type);
    if (n < call->least_columns || n > call->most_columns || !can_take(y, call->output, rows, n) ||
        !apart(y, size, a, rows * k) || !apart(y, size, b, k * n))
        return QL_DECLINED;
    return ql_matmul_once(b->data, k, n, n, 1, is_signed(b), call->right_zero_points, a->data, rows,
                          k, is_signed(a), &zero_point, 0, call->output, y->data, n);
}

/* Whether an array has the axes of images: `channels` of them, first or last, and spatial extents
 * that are the last so many of `extents`. */
static int is_images(const array *a, const ql_conv_call *call, int64_t channels,
                     const int64_t *extents) {
    const int axes = call->axes, last = axes + 1;
    if (a->rank != axes + 2 || a->extents[0] != call->shape->batch ||
        a->extents[call->channels_first ? 1 : last] != channels)
        return 0;
    const intptr_t *spatial = a->extents + (call->channels_first ? 2 : 1);
    for (int i = 0; i < axes; i++)
        if (spatial[i] != extents[3 - axes + i])
            return 0;
    return 1;
}

static int64_t places(const int64_t *extents) {
    return extents[0] * extents[1] * extents[2];
}

int ql_call_conv(const ql_conv_call *call, uintptr_t x, int32_t zero_point, uintptr_t residual,
                 uintptr_t result) {
    const ql_conv_shape *s = call->shape;
    array x_array, result_array, residual_array;
    const array *a = array_at(x, &x_array), *y = array_at(result, &result_array);
    const array *added = residual ? array_at(residual, &residual_array) : NULL;
    if (!is_operand(a, call->type) || !is_images(a, call, s->channels, s->in) ||
        !is_plain(y, call->output->type, FILLABLE) || !is_images(y, call, s->out_channels, s->out))
        return QL_DECLINED;
    const int64_t outputs = s->batch * s->out_channels * places(s->out);
    const int64_t size = outputs * ql_size_of_result(call->output->type);
    if (!apart(y, size, a, s->batch * s->channels * places(s->in)) ||
        (residual != 0) != (call->residual_type >= 0))
        return QL_DECLINED;
    if (residual &&
        !(is_plain(added, call->residual_type, READABLE) &&
          is_images(added, call, s->out_channels, s->out) && apart(y, size, added, outputs)))
        return QL_DECLINED;
    return ql_conv(call->filter, a->data, is_signed(a), zero_point, s, call->channels_first,
                   call->output, residual ? added->data : NULL, y->data);
}

/* --- element by element --------------------------------------------------------------------- */

static int64_t size_of(const array *a) {
    int64_t size = 1;
    for (int i = 0; i < a->rank; i++)
        size *= a->extents[i];
    return size;
}

static int same_shape(const array *a, const array *b) {
    if (a->rank != b->rank)
        return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->extents[i] != b->extents[i])
            return 0;
    return 1;
}

static int64_t width(int type) {
    return type == QL_FLOAT64                       ? 8
           : type == QL_FLOAT32 || type == QL_INT32 ? 4
           : type == QL_INT8 || type == QL_UINT8    ? 1
                                                    : 2;
}

int ql_call_affine(const ql_affine_call *call, uintptr_t operand, uintptr_t result) {
    array operand_array, result_array;
    const array *x = array_at(operand, &operand_array), *y = array_at(result, &result_array);
    if (!is_plain(x, call->x_type, READABLE) || !is_plain(y, call->y_type, FILLABLE) ||
        !same_shape(x, y))
        return QL_DECLINED;
    const int64_t size = size_of(x);
    if (!apart(y, size * width(call->y_type), x, size * width(call->x_type)))
        return QL_DECLINED;
    switch (call->what) {
    case QL_TO_CODES:
        return ql_quantize(x->data, call->x_type, y->data, call->y_type, call->scale,
                           call->zero_point, call->qmin, call->qmax, QL_PER_TENSOR, 1, 1, size, 1);
    case QL_TO_REALS:
        return ql_dequantize(x->data, call->x_type, y->data, call->y_type, call->scale,
                             call->zero_point, QL_PER_TENSOR, 1, 1, size, 1);
    default:
        return ql_fake_quantize(x->data, call->x_type, y->data, call->scale, call->zero_point,
                                call->qmin, call->qmax, QL_PER_TENSOR, 1, 1, size, 1);
    }
}

int ql_call_min_max(uintptr_t operand, uintptr_t least, uintptr_t most) {
    array operand_array, least_array, most_array;
    const array *x = array_at(operand, &operand_array);
    const array *lo = array_at(least, &least_array), *hi = array_at(most, &most_array);
    const int type = is_plain(x, QL_FLOAT64, READABLE) ? QL_FLOAT64 : QL_FLOAT32;
    if (!is_plain(x, type, READABLE) || !is_plain(lo, type, FILLABLE) ||
        !is_plain(hi, type, FILLABLE) || lo->rank != 0 || hi->rank != 0)
        return QL_DECLINED;
    const int64_t size = size_of(x);
    if (size == 0)
        return QL_DECLINED;
    return ql_min_max(x->data, type, lo->data, hi->data, QL_PER_TENSOR, 1, 1, size, 1);
}

int ql_call_blend(const ql_blending *blending, int multiplies, uintptr_t left, uintptr_t right,
                  uintptr_t result) {
    array left_array, right_array, result_array;
    const array *a = array_at(left, &left_array), *b = array_at(right, &right_array);
    const array *y = array_at(result, &result_array);
    if (!is_plain(a, blending->a_signed ? QL_INT8 : QL_UINT8, READABLE) ||
        !is_plain(b, blending->b_signed ? QL_INT8 : QL_UINT8, READABLE) ||
        !is_plain(y, blending->y_signed ? QL_INT8 : QL_UINT8, FILLABLE) || !same_shape(a, b) ||
        !same_shape(a, y))
        return QL_DECLINED;
    const int64_t size = size_of(a), step = 1;
    if (!apart(y, size, a, size) || !apart(y, size, b, size))
        return QL_DECLINED;
    const ql_walk walk = {1, &size, &step, &step};
    return (multiplies ? ql_multiply : ql_add)(blending, &walk, a->data, b->data, y->data);
}
