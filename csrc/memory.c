/* Aligned memory. The pointer that malloc gave is kept in front of the aligned block, so that one
 * code serves every C library. */
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
