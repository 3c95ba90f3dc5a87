/* Shows that a product with both parts of a reciprocal rounds to the same integer as the quotient
 * (csrc/affine.c): for scales from 1 to 2, for every half-way point between steps of 8-bit codes,
 * for the floats around it.
 *
 *     reciprocal [stride [offset]]
 *
 * takes every `stride`-th float32 scale; with the stride 1, all 2**23 of them, which takes about a
 * minute. Prints how many products differ from the quotient, without the reciprocal's second part
 * and with it.
 *
 * That is every case. Other scales differ by powers of two; negative elements by the sign; elements
 * further away from half-way points are too far away for an error of two units in the last place.
 * Compile with optimization, -ffp-contract=off, and FMA instructions (-mfma), lest it take hours.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HALVES = 256, AROUND = 4, NEIGHBOURS = 2 * AROUND + 1 };

int main(int count, char **arguments) {
    const long stride = count > 1 ? atol(arguments[1]) : 1;
    const long offset = count > 2 ? atol(arguments[2]) : 0;
    long one_part = 0, two_parts = 0;
    for (long mantissa = offset; mantissa < 1L << 23; mantissa += stride) {
        const float scale = 1.0f + (float)mantissa * 0x1p-23f;
        const float reciprocal = 1.0f / scale;
        const float rest = (float)(1.0 / (double)scale - (double)reciprocal);
        for (int neighbour = -AROUND; neighbour <= AROUND; neighbour++)
            for (int half = 0; half < HALVES; half++) {
                const float middle = ((float)half + 0.5f) * scale;
                float x;
                int32_t bits;
                memcpy(&bits, &middle, sizeof bits);
                bits += neighbour;
                memcpy(&x, &bits, sizeof x);
                /* Adding this rounds a float below 2**22 to an integer, half to even. */
                const float round = 12582912.0f;
                const float step = x / scale + round;
                one_part += step != x * reciprocal + round;
                two_parts += step != __builtin_fmaf(x, reciprocal, x * rest) + round;
            }
    }
    printf("%ld %ld\n", one_part, two_parts);
    return 0;
}
