/* A table of 256 bytes for AVX-512: four vectors of words, of which two permutations, of the lower
 * and of the upper half, take one for each byte by its upper seven bits; bit 7 chooses between
 * them, bit 0 between the bytes of the word. Even and odd bytes take turns. About 12 cycles for 64
 * bytes. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

typedef struct {
    __m512i words_u16x32[4];
} dictionary;

/* The entries of the bytes in the lower halves of 32 words, whose upper halves are 0. */
QL_INLINE __m512i entries_of(const dictionary *d, __m512i bytes_u16x32) {
    const __m512i index_u16x32 = _mm512_srli_epi16(bytes_u16x32, 1);
    const __mmask32 upper = _mm512_test_epi16_mask(bytes_u16x32, _mm512_set1_epi16(0x80));
    __m512i words_u16x32 =
        _mm512_permutex2var_epi16(d->words_u16x32[0], index_u16x32, d->words_u16x32[1]);
    words_u16x32 = _mm512_mask_mov_epi16(
        words_u16x32, upper,
        _mm512_permutex2var_epi16(d->words_u16x32[2], index_u16x32, d->words_u16x32[3]));
    const __m512i shift_u16x32 =
        _mm512_slli_epi16(_mm512_and_si512(bytes_u16x32, _mm512_set1_epi16(1)), 3);
    return _mm512_and_si512(_mm512_srlv_epi16(words_u16x32, shift_u16x32), _mm512_set1_epi16(0xFF));
}

void ql_avx512vnni_look_up(const uint8_t *x, const uint8_t *table, uint8_t *y, int64_t count) {
    dictionary d;
    for (int part = 0; part < 4; part++)
        d.words_u16x32[part] = _mm512_loadu_si512(table + 64 * part);
    for (int64_t i = 0; i < count; i += 64) {
        const __mmask64 mask = first_bytes(count - i);
        const __m512i x_u8x64 = _mm512_maskz_loadu_epi8(mask, x + i);
        const __m512i even_u16x32 =
            entries_of(&d, _mm512_and_si512(x_u8x64, _mm512_set1_epi16(0xFF)));
        const __m512i odd_u16x32 = entries_of(&d, _mm512_srli_epi16(x_u8x64, 8));
        _mm512_mask_storeu_epi8(y + i, mask,
                                _mm512_or_si512(even_u16x32, _mm512_slli_epi16(odd_u16x32, 8)));
    }
}

QL_TARGET_END

#endif
