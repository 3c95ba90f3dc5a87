/* One table of kernels for each instruction set, one of them in use. */
#include "core.h"

#include "kernels/registry.h"

typedef struct {
    const char *name;
    int (*available)(void);
    void (*fill)(ql_kernels *kernels);
} instruction_set;

static int always(void) {
    return 1;
}

/* Slowest first: each is filled on top of those before it that the processor has. */
static const instruction_set instruction_sets[] = {
    {"portable", always, ql_fill_portable},
#if QL_BUILDS_AVX2
    {"avx2", ql_cpu_has_avx2, ql_fill_avx2},
#endif
#if QL_BUILDS_AVXVNNI
    {"avxvnni", ql_cpu_has_avxvnni, ql_fill_avxvnni},
#endif
#if QL_BUILDS_AVX512VNNI
    {"avx512vnni", ql_cpu_has_avx512vnni, ql_fill_avx512vnni},
#endif
#if QL_BUILDS_AMX
    {"amx", ql_cpu_has_amx, ql_fill_amx},
#endif
#if QL_BUILDS_NEON
    {"neon", always, ql_fill_neon},
#endif
#if QL_BUILDS_NEONDOT
    {"neondot", ql_cpu_has_neondot, ql_fill_neondot},
#endif
#if QL_BUILDS_NEONI8MM
    {"neoni8mm", ql_cpu_has_neoni8mm, ql_fill_neoni8mm},
#endif
};

enum { SET_COUNT = sizeof instruction_sets / sizeof instruction_sets[0] };

static ql_kernels tables[SET_COUNT];
static int available[SET_COUNT];
static int current = -1;

int ql_isa_count(void) {
    return SET_COUNT;
}

const char *ql_isa_name(int index) {
    return instruction_sets[index].name;
}

/* Called once while the module is imported, under the interpreter's import lock. A probe takes tens
 * of microseconds on a virtual processor, so each is asked once. */
static void fill_tables(void) {
    for (int set = 0; set < SET_COUNT; set++)
        available[set] = instruction_sets[set].available();
    for (int set = 0; set < SET_COUNT; set++) {
        for (int below = 0; below <= set; below++)
            if (available[below])
                instruction_sets[below].fill(&tables[set]);
        if (available[set])
            current = set;
    }
}

int ql_isa_current(void) {
    if (current < 0)
        fill_tables();
    return current;
}

int ql_isa_available(int index) {
    ql_isa_current();
    return available[index];
}

void ql_isa_select(int index) {
    ql_isa_current();
    current = index;
}

const ql_kernels *ql_current_kernels(void) {
    return &tables[current];
}
