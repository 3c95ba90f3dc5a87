/* How bytes of a vector move for depthwise convolutions with channels first (channelwise.h): words
 * to other places, and bytes within lanes. Included within the target region. */

/* What puts packed codes in order within lanes, before vpermq where the step is 2. */
QL_INLINE __m512i order_of(const int step) {
    return _mm512_broadcast_i32x4(
        step == 1 ? _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
                  : _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
}

/* And that vpermq's: of two vectors of 32 outputs. */
QL_INLINE __m512i halves_in_order(void) {
    return _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
}

typedef struct {
    __m512i order_u8x64; /* of codes */
    __m512i word_i16x32, byte_u8x64;
} steps_mover;

QL_INLINE steps_mover steps_for_lines(const ql_regrouping *regrouping) {
    return (steps_mover){.word_i16x32 = _mm512_loadu_si512(regrouping->word),
                         .byte_u8x64 = _mm512_loadu_si512(regrouping->byte)};
}

QL_INLINE steps_mover steps_for_codes(const int step, const ql_regrouping *regrouping) {
    steps_mover m = {.order_u8x64 = order_of(step)};
    if (regrouping == NULL)
        return m;
    m.word_i16x32 = _mm512_loadu_si512(regrouping->word);
    m.byte_u8x64 = _mm512_loadu_si512(regrouping->byte);
    if (step == 1)
        m.order_u8x64 = _mm512_shuffle_epi8(m.order_u8x64, m.byte_u8x64);
    return m;
}

/* Lines with `zero` between them, where bytes are not kept. */
QL_INLINE __m512i move_lines_in_steps(const steps_mover *m, __m512i zero_u8x64, __mmask64 kept,
                                      __m512i lines_u8x64) {
    lines_u8x64 = _mm512_permutexvar_epi16(m->word_i16x32, lines_u8x64);
    return _mm512_mask_shuffle_epi8(zero_u8x64, kept, lines_u8x64, m->byte_u8x64);
}

QL_INLINE __m512i move_codes_in_steps(const int step, const int gathers, const steps_mover *m,
                                      __m512i codes_u8x64) {
    codes_u8x64 = _mm512_shuffle_epi8(codes_u8x64, m->order_u8x64);
    if (step == 2)
        codes_u8x64 = _mm512_permutexvar_epi64(halves_in_order(), codes_u8x64);
    if (gathers && step == 2)
        codes_u8x64 = _mm512_shuffle_epi8(codes_u8x64, m->byte_u8x64);
    return gathers ? _mm512_permutexvar_epi16(m->word_i16x32, codes_u8x64) : codes_u8x64;
}
