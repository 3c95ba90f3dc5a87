/* Aligned memory. The pointer that malloc gave is kept in front of the aligned block, so that one
 * code serves every C library.
 *
 * Workspaces of a call are borrowed. Memory that comes fresh from the system is mapped page by page
 * while it is written, which takes longer than the products that large workspaces are for; so each
 * thread keeps its last two, and frees them when it ends. */
#include "core.h"

#include <stdlib.h>

void *ql_allocate(size_t size) {
    const size_t margin = QL_ALIGNMENT + sizeof(void *);
    if (size > SIZE_MAX - margin)
        return NULL;
    char *memory = malloc(size + margin);
    if (memory == NULL)
        return NULL;
    uintptr_t first = (uintptr_t)memory + sizeof(void *);
    char *block = memory + sizeof(void *) + (QL_ALIGNMENT - first % QL_ALIGNMENT) % QL_ALIGNMENT;
    memcpy(block - sizeof(void *), &memory, sizeof(void *));
    return block;
}

void ql_release(void *block) {
    if (block == NULL)
        return;
    void *memory;
    memcpy(&memory, (char *)block - sizeof(void *), sizeof(void *));
    free(memory);
}

#if QL_THREADS

#include <pthread.h>

enum {
    KEPT = 2,                    /* workspaces of a thread */
    LEAST_BYTES = 64 * 1024,     /* what malloc keeps itself */
    MOST_BYTES = 4 * 1024 * 1024 /* beyond which mapping is little beside the work */
};

typedef struct {
    void *block;
    size_t size;
    int lent;
} workspace;

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static int has_key;

static void free_workspaces(void *kept_) {
    workspace *kept = kept_;
    for (int i = 0; i < KEPT; i++)
        ql_release(kept[i].block);
    free(kept);
}

static void make_key(void) {
    has_key = pthread_key_create(&key, free_workspaces) == 0;
}

/* This thread's workspaces, or NULL if there is no memory for the list of them. */
static workspace *workspaces(void) {
    pthread_once(&key_once, make_key);
    if (!has_key)
        return NULL;
    workspace *kept = pthread_getspecific(key);
    if (kept != NULL || (kept = calloc(KEPT, sizeof *kept)) == NULL)
        return kept;
    if (pthread_setspecific(key, kept) == 0)
        return kept;
    free(kept);
    return NULL;
}

/* The smallest that is free and large enough, else the smallest that is free, else NULL. */
static workspace *pick(workspace *kept, size_t size) {
    workspace *best = NULL;
    for (int i = 0; i < KEPT; i++) {
        workspace *candidate = kept + i;
        if (candidate->lent)
            continue;
        const int fits = candidate->size >= size, best_fits = best != NULL && best->size >= size;
        if (best == NULL || (fits && !best_fits) ||
            (fits == best_fits && candidate->size < best->size))
            best = candidate;
    }
    return best;
}

void *ql_borrow(size_t size) {
    workspace *kept = size < LEAST_BYTES || size > MOST_BYTES ? NULL : workspaces();
    workspace *mine = kept == NULL ? NULL : pick(kept, size);
    if (mine == NULL)
        return ql_allocate(size);
    if (mine->size < size) {
        ql_release(mine->block);
        *mine = (workspace){ql_allocate(size), size, 0};
        if (mine->block == NULL) {
            mine->size = 0;
            return NULL;
        }
    }
    mine->lent = 1;
    return mine->block;
}

void ql_return(void *block) {
    pthread_once(&key_once, make_key);
    workspace *kept = block == NULL || !has_key ? NULL : pthread_getspecific(key);
    for (int i = 0; kept != NULL && i < KEPT; i++)
        if (kept[i].block == block) {
            kept[i].lent = 0;
            return;
        }
    ql_release(block);
}

#else

void *ql_borrow(size_t size) {
    return ql_allocate(size);
}

void ql_return(void *block) {
    ql_release(block);
}

#endif
