/* A malloc that fails for one library only: preloaded, it counts the calls that come from the
 * compiled module of quantlib, and returns NULL for the one that fail_malloc_at() names. It also
 * counts what that module frees, so that a leak shows, and how many bytes it holds at a time. Built
 * and used by test_allocation_failure.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static atomic_long calls, live, failures, fail_at, held, most_held;

void fail_malloc_at(long call) {
    atomic_store(&calls, 0);
    atomic_store(&failures, 0);
    atomic_store(&fail_at, call);
}

long failed_mallocs(void) {
    return atomic_load(&failures);
}

long live_mallocs(void) {
    return atomic_load(&live);
}

long held_bytes(void) {
    return atomic_load(&held);
}

/* The most since the last call of this. */
long most_held_bytes(void) {
    return atomic_exchange(&most_held, atomic_load(&held));
}

static void *count(void *memory) {
    atomic_fetch_add(&live, 1);
    const long size = (long)malloc_usable_size(memory);
    const long now = atomic_fetch_add(&held, size) + size;
    long most = atomic_load(&most_held);
    while (most < now && !atomic_compare_exchange_weak(&most_held, &most, now))
        ;
    return memory;
}

static int is_ours(const void *address) {
    Dl_info where;
    return dladdr(address, &where) && where.dli_fname &&
           strstr(where.dli_fname, "_quantlib") != NULL;
}

void *malloc(size_t size) {
    static void *(*real)(size_t);
    if (real == NULL)
        real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    if (!is_ours(__builtin_return_address(0)))
        return real(size);
    if (atomic_fetch_add(&calls, 1) + 1 == atomic_load(&fail_at)) {
        atomic_fetch_add(&failures, 1);
        return NULL;
    }
    return count(real(size));
}

void free(void *memory) {
    static void (*real)(void *);
    if (real == NULL)
        real = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    if (memory != NULL && is_ours(__builtin_return_address(0))) {
        atomic_fetch_sub(&live, 1);
        atomic_fetch_sub(&held, (long)malloc_usable_size(memory));
    }
    real(memory);
}
