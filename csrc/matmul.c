/* Matrix products: rows that lie in memory, one after the other. */
#include "core.h"

static void load_rows(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t count,
                      char *panel, int64_t stride) {
    const int64_t k = *(const int64_t *)rows->source;
    for (int64_t i = 0; i < count; i++)
        kernels->load(panel + i * stride, rows->bytes + (first + i) * rows->stride, k, rows->flip);
}

int ql_matmul(const ql_matrix *b, const void *a, int64_t rows, int64_t a_stride, int a_signed,
              const int32_t *a_zero_point, int64_t a_zero_point_step, const ql_output *output,
              void *y, int64_t y_stride) {
    const int64_t zero_points = a_zero_point_step ? rows : 1;
    const int to_signed = b->kernels->left_signed;
    int32_t one;
    int32_t *shifted = &one;
    if (zero_points > 1 && (shifted = ql_allocate((size_t)zero_points * 4)) == NULL)
        return QL_NO_MEMORY;
    for (int64_t i = 0; i < zero_points; i++)
        shifted[i] = a_zero_point[i] + ql_shift(a_signed, to_signed);
    const ql_rows source = {.count = rows,
                            .load = load_rows,
                            .bytes = a,
                            .stride = a_stride,
                            .flip = ql_flip(a_signed, to_signed),
                            .zero_point = shifted,
                            .zero_point_step = a_zero_point_step,
                            .source = &b->k};
    const int status = ql_product(b, &source, output, y, y_stride);
    if (shifted != &one)
        ql_release(shifted);
    return status;
}
