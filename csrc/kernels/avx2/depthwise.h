/* Depthwise convolution with channels last on vectors of 256 bits: see csrc/depthwise.c. To be
 * included within a target region, after codes.h and `add_products` of the instruction set.
 *
 * A group is 32 channels, four vectors; two pixels of it have eight sums in registers, and each
 * load of weights serves both. */

enum { GROUP = 32 };

/* How often planes are gone through, how many, and their taps. */
typedef struct {
    int64_t repeats, planes, taps;
} depth;

/* sum_i32x8[pixel][vector], of `vectors` vectors of channels for `pixels` pixels from x on. */
QL_INLINE void sum_pixels(const int vectors, const int pixels, const depth d, const ql_line *line,
                          const char *x, const char *w, const int32_t *start, __m256i *sum_i32x8) {
    const int64_t pixel_step = line->pixel_step, tap_step = line->tap_step;
    const int64_t plane_step = line->plane_step;
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum_i32x8[p * vectors + v] =
                _mm256_loadu_si256((const __m256i *)(const void *)(start + 8 * v));
    for (int64_t repeat = 0; repeat < d.repeats; repeat++) {
        const char *plane = x;
        for (int64_t i = 0; i < d.planes; i++, plane += plane_step) {
            const char *tap = plane;
            for (int64_t j = 0; j < d.taps; j++, tap += tap_step, w += 32 * vectors)
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) {
                    const __m256i weights = _mm256_loadu_si256((const __m256i *)w + v);
#pragma GCC unroll 4
                    for (int p = 0; p < pixels; p++)
                        sum_i32x8[p * vectors + v] = add_products(
                            sum_i32x8[p * vectors + v],
                            _mm256_loadu_si256((const __m256i *)(tap + p * pixel_step + 32 * v)),
                            weights);
                    QL_LOADS_IN_ORDER;
                }
        }
    }
}

QL_INLINE depth depth_of(const ql_line *line) {
    return (depth){line->repeats, line->planes, line->taps};
}

QL_INLINE void sum_line(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    const depth d = depth_of(line);
    const int64_t elements = d.repeats * d.planes * d.taps;
    int64_t c = 0;
    for (; c + GROUP <= line->channels; c += GROUP)
        for (int64_t p = 0; p < line->pixels; p++) {
            __m256i sum_i32x8[4];
            sum_pixels(4, 1, d, line, line->x + 4 * c + p * line->pixel_step,
                       line->w + 4 * c * elements, line->start + c, sum_i32x8);
            store_sums(sums + p * sums_stride + c, sum_i32x8);
        }
    for (; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p++) {
            const int64_t channels = ql_min(QL_STRIP, line->channels - c);
            __m256i sum_i32x8[2];
            sum_pixels(2, 1, d, line, line->x + 4 * c + p * line->pixel_step,
                       line->w + 4 * c * elements, line->start + c, sum_i32x8);
            memcpy(sums + p * sums_stride + c, sum_i32x8, (size_t)channels * sizeof *sums);
        }
}

QL_INLINE void convolve_line(const ql_line *line, const ql_codes *codes, uint8_t *y,
                             int64_t y_stride) {
    const depth d = depth_of(line);
    const int64_t elements = d.repeats * d.planes * d.taps, step = line->pixel_step;
    const stage s = stage_of(codes);
    int64_t c = 0;
    for (; c + GROUP <= line->channels; c += GROUP) {
        const float *multiplier = codes->multiplier + c;
        for (int64_t p = 0; p < line->pixels; p += 2) {
            __m256i sum_i32x8[2][4];
            sum_pixels(4, 2, d, line, line->x + 4 * c + p * step, line->w + 4 * c * elements,
                       line->start + c, &sum_i32x8[0][0]);
            store_group(&s, sum_i32x8[0], multiplier, y + p * y_stride + c);
            if (p + 1 < line->pixels)
                store_group(&s, sum_i32x8[1], multiplier, y + (p + 1) * y_stride + c);
        }
    }
    for (; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p += 2) {
            __m256i sum_i32x8[2][2];
            sum_pixels(2, 2, d, line, line->x + 4 * c + p * step, line->w + 4 * c * elements,
                       line->start + c, &sum_i32x8[0][0]);
            store_strip(&s, sum_i32x8, codes->multiplier + c, ql_min(2, line->pixels - p),
                        ql_min(QL_STRIP, line->channels - c), y + p * y_stride + c, y_stride);
        }
}
