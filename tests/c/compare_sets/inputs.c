/* Messages, random numbers, and arrays between bytes that may not be touched. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compare.h"

/* --- what is being compared, for messages --------------------------------------------------- */

static char current_case[400];

void describe(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(current_case, sizeof current_case, format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%s, %s: ", ql_isa_name(ql_isa_current()), current_case);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    exit(1);
}

void on_bad_access(int signal_number) {
    const char *name = ql_isa_name(ql_isa_current());
    (void)signal_number;
    if (write(1, name, strlen(name)) < 0 || write(1, ", ", 2) < 0 ||
        write(1, current_case, strlen(current_case)) < 0 ||
        write(1, ": touched a byte outside an array\n", 34) < 0)
        _exit(3);
    _exit(2);
}

/* --- random numbers and arrays -------------------------------------------------------------- */

static uint64_t state;

void seed(void) {
    state = 20180615;
}

uint32_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

int64_t draw_below(int64_t bound) {
    return (int64_t)(draw() % (uint64_t)bound);
}

double draw_real(void) {
    return draw() / 4294967296.0;
}

/* The arrays of a case, which release_all gives back. */
static struct {
    void *memory;
    size_t size;
} arrays[64];
static int array_count;

void *allocate(int64_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t used = ((size_t)size + page - 1) / page * page;
    char *memory =
        mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + used, page, PROT_NONE) != 0 ||
        array_count == COUNT(arrays)) {
        fail("no memory for the test");
        return NULL;
    }
    arrays[array_count].memory = memory;
    arrays[array_count++].size = used + page;
    return memory + used - size;
}

void release_all(void) {
    while (array_count > 0) {
        array_count--;
        munmap(arrays[array_count].memory, arrays[array_count].size);
    }
}

uint8_t *codes(int64_t count, int is_signed, enum fill fill) {
    uint8_t *array = allocate(count);
    const uint8_t least = is_signed ? 0x80 : 0, most = is_signed ? 0x7F : 0xFF;
    for (int64_t i = 0; i < count; i++)
        array[i] = fill == ANY     ? (uint8_t)draw()
                   : fill == LEAST ? least
                   : fill == MOST  ? most
                   : draw() % 2    ? least
                                   : most;
    return array;
}

int32_t value_of(uint8_t byte, int is_signed) {
    return is_signed ? (int8_t)byte : byte;
}

int32_t draw_code(int is_signed) {
    return (int32_t)draw_below(256) - (is_signed ? 128 : 0);
}

int32_t draw_zero_point(int is_signed, enum fill fill) {
    const int32_t least = is_signed ? -128 : 0;
    if (fill == ANY)
        return draw_code(is_signed);
    return fill == LEAST || (fill == ENDS && draw() % 2) ? least + 255 : least;
}

int32_t *draw_zero_points(int64_t count, int is_signed, enum fill fill) {
    const int any = draw() % 2;
    int32_t *array = allocate(count * 4);
    for (int64_t i = 0; i < count; i++)
        array[i] = any ? draw_zero_point(is_signed, fill) : 0;
    return array;
}

int32_t *draw_codes(int64_t count, int is_signed) {
    int32_t *array = allocate(count * 4);
    for (int64_t i = 0; i < count; i++)
        array[i] = draw_code(is_signed);
    return array;
}

int64_t bytes_of(int type) {
    return type == QL_FLOAT64                       ? 8
           : type == QL_FLOAT32 || type == QL_INT32 ? 4
           : type == QL_INT16 || type == QL_UINT16  ? 2
                                                    : 1;
}
