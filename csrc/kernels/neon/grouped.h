/* Convolutions of narrow groups for NEON: see csrc/grouped.c. To be included after codes.h and what
 * belongs to the instruction set, within its target region: PIXELS that have sums in registers
 * together, `elements` of PARTS vectors and `load_elements`, `partial` sums of four elements,
 * `start_sums`, `add_products` and `whole_sums`.
 *
 * A quarter of the 64 channels of a pixel is four elements, which have four vectors of sums. Each
 * load of weights serves all pixels. */

enum { CHANNELS = 64, QUARTER = 16, VECTOR_STEP = 64 };

/* Each element becomes the next one of its group of `turns`. */
QL_INLINE elements turned(const int turns, elements x) {
#pragma GCC unroll 2
    for (int part = 0; part < PARTS; part++) {
        const uint32x4_t element_u32x4 = vreinterpretq_u32_u8(x.part[part]);
        x.part[part] = vreinterpretq_u8_u32(
            turns == 2 ? vrev64q_u32(element_u32x4) : vextq_u32(element_u32x4, element_u32x4, 1));
    }
    return x;
}

/* The sums of `PIXELS` pixels from x on, of the quarter whose weights begin at w. */
QL_INLINE void sum_pixels(const int turns, const ql_grouped_line *line, const char *x,
                          const char *w, const int32_t *start, partial sum[PIXELS][4]) {
    const int64_t step = line->pixel_step;
#pragma GCC unroll 4
    for (int p = 0; p < PIXELS; p++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[p][j] = start_sums(start + 16 * j);
    for (int64_t tap = 0; tap < line->taps; tap++) {
        const uint8_t *at = (const uint8_t *)x + line->offsets[tap];
        elements here[PIXELS];
#pragma GCC unroll 4
        for (int p = 0; p < PIXELS; p++)
            here[p] = load_elements(at + p * step);
#pragma GCC unroll 4
        for (int turn = 0; turn < turns; turn++) {
#pragma GCC unroll 4
            for (int p = 0; turn > 0 && p < PIXELS; p++)
                here[p] = turned(turns, here[p]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
#pragma GCC unroll 2
                for (int part = 0; part < PARTS; part++, w += VECTOR_STEP) {
                    const uint8x16_t weights = vld1q_u8((const uint8_t *)w);
#pragma GCC unroll 4
                    for (int p = 0; p < PIXELS; p++)
                        sum[p][j] = add_products(sum[p][j], here[p].part[part], weights);
                }
        }
    }
}

/* The last pixels overlap those before; if there are fewer, the first ones of them count. */
QL_INLINE void convolve_quarter(const int turns, const ql_grouped_line *line, int64_t quarter,
                                int32_t *sums, const ql_codes *codes, uint8_t *y,
                                int64_t y_stride) {
    const int64_t last = ql_max(line->pixels - PIXELS, 0);
    for (int64_t i = 0; i < line->pixels; i += PIXELS) {
        const int64_t first = ql_min(i, last);
        partial sum[PIXELS][4];
        sum_pixels(turns, line, line->x + quarter + first * line->pixel_step, line->w + quarter,
                   line->start + quarter / 4, sum);
        for (int64_t p = 0; p < PIXELS && first + p < line->pixels; p++) {
            const int64_t pixel = first + p;
            int32x4_t sum_i32x4[4];
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum_i32x4[j] = whole_sums(sum[p][j]);
            if (codes == NULL) /* the four outputs of an element, side by side */
                vst4q_s32(sums + pixel * CHANNELS + quarter,
                          (int32x4x4_t){{sum_i32x4[0], sum_i32x4[1], sum_i32x4[2], sum_i32x4[3]}});
            else
                store_first(woven(codes_by(codes, sum_i32x4, codes->multiplier + quarter / 4, 16)),
                            line->channels - quarter, y + pixel * y_stride + quarter);
        }
    }
}

QL_INLINE void convolve_groups(const int turns, const ql_grouped_line *line, int32_t *sums,
                               const ql_codes *codes, uint8_t *y, int64_t y_stride) {
    for (int64_t quarter = 0; quarter < line->channels; quarter += QUARTER)
        convolve_quarter(turns, line, quarter, sums, codes, y, y_stride);
}

QL_INLINE void convolve_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes,
                                uint8_t *y, int64_t y_stride) {
    if (line->turns == 1)
        convolve_groups(1, line, sums, codes, y, y_stride);
    else if (line->turns == 2)
        convolve_groups(2, line, sums, codes, y, y_stride);
    else
        convolve_groups(4, line, sums, codes, y, y_stride);
}
