/* Compares instruction sets with loops that a reader can check.
 *
 *     compare_sets [set ...]
 *
 * Each set that is named, or that the processor has, runs every case, and every result is
 * compared, bit for bit, with plain loops in 64-bit integers and in the C library's own rounding,
 * which share nothing with the kernels. The C core is called without Python, so that this runs
 * wherever a C program does: test_compare_sets.py also builds it for other processors and runs it
 * on emulated ones.
 *
 * Inputs end at a page that may not be touched, results are surrounded by bytes that must not
 * change. The process fails at the first difference and says where. */
#include <signal.h>
#include <stdio.h>

#include "compare.h"

static void compare_set(int set) {
    ql_isa_select(set);
    count_codes();
    seed();            /* the same cases for each */
    ql_set_threads(1); /* few products but large ones are shared */
    compare_products();
    compare_narrow_products();
    compare_large_products();
    for (int threads = 1; threads <= 3; threads += 2) {
        ql_set_threads(threads);
        compare_dynamic_products();
        compare_convolutions();
    }
    compare_long_products();
    compare_affine();
    compare_transposes();
    compare_layers();
    require_free_codes();
    printf("%s: no difference\n", ql_isa_name(set));
}

/* Whether a set was asked for: by name, or by being there where none was. */
static int is_wanted(int set, int count, char **names) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], ql_isa_name(set)) == 0)
            return 1;
    return count == 0 && ql_isa_available(set);
}

int main(int count, char **arguments) {
    signal(SIGSEGV, on_bad_access);
    signal(SIGBUS, on_bad_access);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int compared = 0;
    for (int set = 0; set < ql_isa_count(); set++) {
        if (!is_wanted(set, count - 1, arguments + 1))
            continue;
        if (!ql_isa_available(set)) {
            printf("%s: not on this processor\n", ql_isa_name(set));
            return 1;
        }
        compare_set(set);
        compared++;
    }
    if (compared < count - 1)
        printf("this build has not all of these sets\n");
    return compared < count - 1;
}
