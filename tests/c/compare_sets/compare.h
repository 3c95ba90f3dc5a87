/* What the files of compare_sets share: see main.c. */
#ifndef COMPARE_H
#define COMPARE_H

#include <math.h>
#include <stdlib.h>

#include "core.h"

#define COUNT(array) ((int64_t)(sizeof(array) / sizeof *(array)))

/* --- messages, random numbers and arrays (inputs.c) --- */

enum fill { ANY, ENDS, LEAST, MOST, FILLS };

/* Says what is being compared, for messages; and that there is a difference, which ends it. */
void describe(const char *format, ...);
void fail(const char *format, ...);
/* A byte was touched that is not of the array: says in which case. */
void on_bad_access(int signal_number);
uint32_t draw(void);
int64_t draw_below(int64_t bound);
double draw_real(void);
/* `size` bytes, the last of which ends a page; the page after it may not be touched. */
void *allocate(int64_t size);
/* Gives back all of them. */
void release_all(void);
/* Bytes as codes: any, all the least or the most of their kind, or one end or the other. */
uint8_t *codes(int64_t count, int is_signed, enum fill fill);
int32_t value_of(uint8_t byte, int is_signed);
int32_t draw_code(int is_signed);
/* A zero point for codes of such a fill: as far from them as it can be. */
int32_t draw_zero_point(int is_signed, enum fill fill);
/* Zero points, one in two times none but 0. */
int32_t *draw_zero_points(int64_t count, int is_signed, enum fill fill);
int32_t *draw_codes(int64_t count, int is_signed);
int64_t bytes_of(int type);
/* Begins the random numbers anew. */
void seed(void);

/* --- results of products (outputs.c) --- */

enum { CANARY = 0xA5 }; /* what results are surrounded by */

/* `count` numbers between `least` and `most`. */
float *draw_floats(int64_t count, double least, double most);
/* An output stage for `rows` times `columns`, of a depth that says how large sums are. */
ql_output draw_output(int64_t rows, int64_t columns, int64_t depth, int by_row);
/* Whether the sums are as exact ones, or QL_OVERFLOW where one does not fit int32; compares all of
 * the result with its surroundings. `y` has rows of `stride` entries. */
void compare_result(const ql_output *output, int status, const int64_t *exact, int64_t rows,
                    int64_t columns, const uint8_t *y, int64_t stride);
uint8_t *draw_result(const ql_output *output, int64_t rows, int64_t columns, int64_t stride);
/* Counts compared codes from here on, and fails if most of them were saturated, which proves
 * little. */
void count_codes(void);
void require_free_codes(void);

/* --- all the cases of a kind --- */

void compare_products(void);
/* With one column or a few. */
void compare_narrow_products(void);
/* Of several blocks of rows, and such as threads share: many rows, or a large right operand. */
void compare_large_products(void);
/* Sums that need 64 bits on the way, some of which do not fit int32 in the end. */
void compare_long_products(void);
void compare_dynamic_products(void);

void compare_convolutions(void);

void compare_affine(void);

void compare_transposes(void);
void compare_layers(void);

#endif
