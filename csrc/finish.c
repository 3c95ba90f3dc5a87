/* What becomes of sums: the output stage of a product, and where its results go.
 *
 * Sums are finished tile by tile, straight into the array of results. Where that has channels
 * first, a few columns of a block of rows are finished side by side, and put into their places
 * transposed: so both are done in the cache. */
#include "core.h"

#include <math.h>

ql_output ql_output_from(const ql_output *output, int64_t column) {
    ql_output part = *output;
    if (part.bias != NULL)
        part.bias += column;
    if (part.multiplier != NULL)
        part.multiplier += column;
    if (part.bias_real != NULL)
        part.bias_real += column;
    if (part.residual != NULL)
        part.residual += column;
    return part;
}

static void requantize_rows(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                            int64_t sums_stride, int64_t row, int64_t rows, const float *multiplier,
                            int64_t columns, uint8_t *y, int64_t y_stride) {
    const int64_t code = row * o->code_step;
    kernels->requantize(sums, sums_stride, rows, columns, multiplier, o->zero_point[code],
                        o->lower[code], o->upper[code], y, y_stride);
}

ql_residual ql_residual_at(const ql_output *o, int64_t at, int64_t stride) {
    return (ql_residual){
        .codes = o->residual + at,
        .stride = stride,
        .flip = ql_flip(o->residual_signed, 0),
        .zero = (float)(o->residual_zero_point + ql_shift(o->residual_signed, 0)),
        .factor = o->residual_factor,
    };
}

static void requantize_sums(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                            int64_t sums_stride, int64_t rows, int64_t column, int64_t columns,
                            const ql_residual *residual, uint8_t *y, int64_t y_stride) {
    kernels->requantize_sum(sums, sums_stride, rows, columns, o->multiplier + column, residual,
                            o->zero_point[0], o->lower[0], o->upper[0], y, y_stride);
}

/* Adds a residual to reals that have not been kept between their bounds yet. */
static void add_residual(const ql_output *o, const ql_residual *r, int64_t rows, int64_t columns,
                         float *y, int64_t y_stride) {
    for (int64_t i = 0; i < rows; i++) {
        const uint8_t *restrict codes = r->codes + i * r->stride;
        float *restrict real = y + i * y_stride;
        for (int64_t j = 0; j < columns; j++) {
            const float term = ((float)(codes[j] ^ r->flip) - r->zero) * r->factor;
            const float sum = real[j] + term;
            const float value = sum > o->lower_real ? sum : o->lower_real;
            real[j] = value < o->upper_real ? value : o->upper_real;
        }
    }
}

/* A row that has multipliers of its own, which are written out for a few columns at a time. */
static void requantize_row(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                           int64_t row, int64_t column, int64_t columns, uint8_t *y) {
    const float factor = o->row_factor == NULL ? 1 : o->row_factor[row * o->row_step];
    const float divisor = o->row_divisor == NULL ? 1 : o->row_divisor[row * o->row_step];
    float multiplier[QL_TILE_COLUMNS];
    for (int64_t first = 0; first < columns; first += QL_TILE_COLUMNS) {
        const int64_t count = ql_min(QL_TILE_COLUMNS, columns - first);
        for (int64_t j = 0; j < count; j++)
            multiplier[j] = factor * o->multiplier[column + first + j] / divisor;
        requantize_rows(kernels, o, sums + first, 0, row, 1, multiplier, count, y + first, 0);
    }
}

static void rescale_rows(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                         int64_t sums_stride, int64_t row, int64_t rows, int64_t column,
                         int64_t columns, float *y, int64_t y_stride) {
    static const float one = 1;
    const float *factor = &one;
    const int64_t step = o->row_factor == NULL ? 0 : o->row_step;
    if (o->row_factor != NULL)
        factor = o->row_factor + row * step;
    const float *bias = o->bias_real == NULL ? NULL : o->bias_real + column;
    kernels->rescale(sums, sums_stride, rows, columns, o->multiplier + column, factor, step, bias,
                     o->lower_real, o->upper_real, y, y_stride);
}

/* Tiles to which codes are added. */
static void finish_sums(const ql_kernels *kernels, const ql_output *o, const int32_t *sums,
                        int64_t sums_stride, int64_t row, int64_t rows, int64_t column,
                        int64_t columns, void *y, int64_t y_stride) {
    const int64_t at = row * y_stride + column;
    const ql_residual residual = ql_residual_at(o, at, y_stride);
    if (o->type != QL_FLOAT32) {
        requantize_sums(kernels, o, sums, sums_stride, rows, column, columns, &residual,
                        (uint8_t *)y + at, y_stride);
        return;
    }
    ql_output unbounded = *o;
    unbounded.lower_real = -INFINITY;
    unbounded.upper_real = INFINITY;
    rescale_rows(kernels, &unbounded, sums, sums_stride, row, rows, column, columns,
                 (float *)y + at, y_stride);
    add_residual(o, &residual, rows, columns, (float *)y + at, y_stride);
}

void ql_finish(const ql_kernels *kernels, const ql_output *output, const int32_t *sums,
               int64_t sums_stride, int64_t row, int64_t rows, int64_t column, int64_t columns,
               void *y, int64_t y_stride) {
    const int64_t at = row * y_stride + column;
    uint8_t *codes = (uint8_t *)y + at;
    if (output->type == QL_INT32)
        kernels->copy(sums, sums_stride, rows, columns, (int32_t *)y + at, y_stride);
    else if (output->residual != NULL)
        finish_sums(kernels, output, sums, sums_stride, row, rows, column, columns, y, y_stride);
    else if (output->type == QL_FLOAT32)
        rescale_rows(kernels, output, sums, sums_stride, row, rows, column, columns,
                     (float *)y + at, y_stride);
    else if (!output->code_step && output->row_factor == NULL && output->row_divisor == NULL)
        requantize_rows(kernels, output, sums, sums_stride, row, rows, output->multiplier + column,
                        columns, codes, y_stride);
    else
        for (int64_t i = 0; i < rows; i++)
            requantize_row(kernels, output, sums + i * sums_stride, row + i, column, columns,
                           codes + i * y_stride);
}

/* --- where results go ----------------------------------------------------------------------- */

/* The results of rows from one on, up to the end of their line. */
typedef struct {
    int64_t first, count; /* results; count may be 0 */
    int64_t rows;         /* up to the next line */
} stretch;

/* A line of results, in their order, where lines of images take turns. */
static int64_t line_of_results(const ql_lines *lines, int64_t line) {
    if (lines->images <= 1)
        return line;
    const int64_t together = lines->images * lines->height;
    const int64_t image = line / together * lines->images + line % lines->images;
    return image * lines->height + line % together / lines->images;
}

static stretch stretch_from(const ql_lines *lines, int64_t row) {
    if (lines->rows == 0)
        return (stretch){row, INT64_MAX, INT64_MAX};
    const int64_t line = row / lines->rows, place = row % lines->rows;
    const int64_t across = line % lines->parts * lines->results;
    const int64_t results = ql_min(lines->results, lines->width - across);
    const int64_t place_of_line = line_of_results(lines, line / lines->parts) * lines->width;
    return (stretch){.first = place_of_line + across + ql_min(place, results),
                     .count = ql_max(results - place, 0),
                     .rows = lines->rows - place};
}

int64_t ql_rows_alike(const ql_lines *lines, int64_t row) {
    const int64_t together = lines->images * lines->height * lines->rows;
    return together == 0 ? INT64_MAX : together - row % together;
}

int64_t ql_first_result(const ql_lines *lines, int64_t row) {
    return stretch_from(lines, row).first;
}

int ql_has_result(const ql_lines *lines, int64_t row) {
    return stretch_from(lines, row).count > 0;
}

int64_t ql_last_useful_row(const ql_lines *lines, int64_t limit) {
    if (lines->rows == 0)
        return limit;
    const int64_t part = limit - lines->rows;
    return part + stretch_from(lines, part).count;
}

void ql_finish_tile(const ql_kernels *kernels, const ql_output *output, const ql_lines *lines,
                    const int32_t *sums, int64_t row, int64_t rows, int64_t column, int64_t columns,
                    const ql_target *to) {
    ql_output part = ql_output_from(output, column);
    part.residual = to->staged_residual;
    while (rows > 0) {
        const stretch at = stretch_from(lines, row);
        const int64_t count = ql_min(at.count, rows), step = ql_min(at.rows, rows);
        if (count > 0 && to->staging == NULL)
            ql_finish(kernels, output, sums, QL_TILE_COLUMNS, at.first, count, column, columns,
                      to->y, to->y_stride);
        else if (count > 0)
            ql_finish(kernels, &part, sums, QL_TILE_COLUMNS, at.first - to->first_staged, count, 0,
                      columns, to->staging, QL_TILE_COLUMNS);
        sums += step * QL_TILE_COLUMNS;
        row += step;
        rows -= step;
    }
}

void ql_places_of_rows(const ql_lines *lines, int64_t row, int64_t rows, int64_t column,
                       const ql_target *to, int64_t size, char *unused, char **y) {
    const int is_staged = to->staging != NULL;
    char *start = is_staged ? to->staging : to->y + column * size;
    const int64_t step_of_row = (is_staged ? QL_TILE_COLUMNS : to->y_stride) * size;
    for (const int64_t last = row + rows; row < last;) {
        const stretch at = stretch_from(lines, row);
        const int64_t step = ql_min(at.rows, last - row);
        const int64_t results = ql_min(at.count, step);
        char *place = start + (at.first - (is_staged ? to->first_staged : 0)) * step_of_row;
        for (int64_t i = 0; i < results; i++)
            y[i] = place + i * step_of_row;
        for (int64_t i = results; i < step; i++)
            y[i] = unused;
        y += step;
        row += step;
    }
}

void ql_stage_residual(const ql_kernels *kernels, const ql_output *output, int64_t last,
                       int64_t column, int64_t columns, const ql_target *to) {
    const int64_t image = to->image;
    uint8_t *staged = to->staged_residual;
    for (int64_t first = to->first_staged; first < last;) {
        const int64_t pixel = first % image, count = ql_min(last - first, image - pixel);
        const int64_t at = (first / image * to->y_stride + column) * image + pixel;
        ql_transpose_part(kernels, output->residual + at, image, columns, count, staged,
                          QL_TILE_COLUMNS, 1);
        staged += count * QL_TILE_COLUMNS;
        first += count;
    }
}

void ql_place_staged(const ql_kernels *kernels, const ql_output *output, int64_t last,
                     int64_t column, int64_t columns, const ql_target *to) {
    const int64_t size = ql_size_of_result(output->type), image = to->image;
    const char *from = to->staging;
    for (int64_t first = to->first_staged; first < last;) {
        const int64_t pixel = first % image, count = ql_min(last - first, image - pixel);
        const int64_t at = (first / image * to->y_stride + column) * image + pixel;
        ql_transpose_part(kernels, from, QL_TILE_COLUMNS, count, columns, (char *)to->y + at * size,
                          image, size);
        from += count * QL_TILE_COLUMNS * size;
        first += count;
    }
}

/* --- for kernels that make codes at once ------------------------------------------------------ */

/* The bits that some magnitude has are less than twice the largest one: found without comparing,
 * for which vectors of SSE2 have no instruction. */
int64_t ql_largest_sum(int64_t depth, const int32_t *bias, int64_t channels) {
    int32_t bits = 0;
    for (int64_t i = 0; bias != NULL && i < channels; i++)
        bits |= bias[i] < 0 ? ~bias[i] : bias[i];
    return depth * 255 * 255 + bits + 1;
}

void ql_start_sums(const int32_t *restrict totals, const int32_t *restrict bias, int32_t zero_point,
                   int64_t channels, int32_t *restrict start) {
    for (int64_t i = 0; i < channels; i++)
        start[i] = (int32_t)(0 - (uint32_t)zero_point * (uint32_t)totals[i]);
    for (int64_t i = 0; bias != NULL && i < channels; i++)
        start[i] = (int32_t)((uint32_t)start[i] + (uint32_t)bias[i]);
}

int ql_makes_codes(const ql_output *o, int64_t channels, int64_t largest) {
    if (o->code_step || o->residual || ql_size_of_result(o->type) != 1 || o->row_factor != NULL ||
        o->row_divisor != NULL)
        return 0;
    const float most = 0x1p30f / (float)largest;
    int within = 1;
    for (int64_t i = 0; i < channels; i++)
        within &= (o->multiplier[i] <= most) & (o->multiplier[i] >= -most);
    return within;
}

ql_codes ql_codes_of(const ql_output *o, const float *multiplier) {
    const int32_t shift = ql_shift(o->type == QL_INT8, 0);
    return (ql_codes){.multiplier = multiplier,
                      .zero_point = *o->zero_point + shift,
                      .lower = *o->lower + shift,
                      .upper = *o->upper + shift,
                      .flip = ql_flip(0, o->type == QL_INT8)};
}

int ql_is_fused(const ql_kernels *kernels, const ql_output *o) {
    return kernels->fuses && o->fused_addend != NULL;
}

void ql_add_starts(const int32_t *restrict fused_start, int64_t channels, int32_t *restrict start) {
    for (int64_t i = 0; i < channels; i++)
        start[i] = (int32_t)((uint32_t)start[i] + (uint32_t)fused_start[i]);
}

/* The number is rounded together with magic, of which half-way cases must not see whether the zero
 * point is even: where it is odd, 255 - number is made of the opposite products. */
int ql_is_opposed(const ql_output *o) {
    return *o->zero_point % 2 != 0;
}

void ql_oppose(float *restrict multiplier, float *restrict addend, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        multiplier[i] = -multiplier[i];
        addend[i] = -addend[i];
    }
}

ql_codes ql_fused_codes_of(const ql_output *o, const float *multiplier, const float *addend) {
    ql_codes codes = ql_codes_of(o, multiplier);
    if (ql_is_opposed(o)) {
        const int32_t lower = codes.lower;
        codes.zero_point = 255 - codes.zero_point;
        codes.lower = 255 - codes.upper;
        codes.upper = 255 - lower;
        codes.flip ^= 255;
    }
    codes.addend = addend;
    codes.magic = -12582912.0f - (float)codes.zero_point;
    return codes;
}

/* If one does not fit, the sum has another sign than both of its terms. Looked at all together, so
 * that the loop vectorizes. */
int ql_add_bias(int32_t *restrict sums, const int32_t *restrict bias, int64_t channels) {
    uint32_t overflow = 0;
    for (int64_t c = 0; c < channels; c++) {
        const uint32_t sum = (uint32_t)sums[c] + (uint32_t)bias[c];
        overflow |= ((uint32_t)sums[c] ^ sum) & ((uint32_t)bias[c] ^ sum);
        sums[c] = (int32_t)sum;
    }
    return overflow >> 31 ? QL_OVERFLOW : QL_OK;
}
