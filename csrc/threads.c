/* A small pool of threads.
 *
 * A job is a number of chunks. The caller publishes it, wakes the workers, and takes chunks like
 * they do; it returns when all chunks are done. It never waits for a worker that has not taken one:
 * a worker that the system has put to sleep costs nothing but its share. Workers hold a reference
 * to the job, whose memory lives until the last has let go, but they look at the caller's context
 * only with a chunk in hand, for which the caller waits.
 *
 * One job runs at a time. A caller that finds the pool busy, as when many Python threads call at
 * once, does its work alone: the processors are in use already. Workers start at the first job that
 * wants them. A forked child has no workers and starts afresh. */
#include "core.h"

#if QL_THREADS

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MOST_THREADS = 256 };

typedef struct {
    atomic_long next, done;
    atomic_int references;
    long chunks;
    ql_chunk *run;
    void *context;
} job;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static pthread_once_t fork_handlers = PTHREAD_ONCE_INIT;
/* Guarded by the mutex. */
static job *current;
static unsigned long serial; /* of the current job */
static int workers;          /* started */
static int wanted = 1;       /* threads that a job may use, the caller included */

static void let_go(job *j) {
    if (atomic_fetch_sub(&j->references, 1) == 1)
        free(j);
}

/* Takes chunks until none is left; signals when the last one of all is done. */
static void take_chunks(job *j) {
    for (;;) {
        const long chunk = atomic_fetch_add(&j->next, 1);
        if (chunk >= j->chunks)
            return;
        j->run(j->context, chunk);
        if (atomic_fetch_add(&j->done, 1) + 1 == j->chunks) {
            pthread_mutex_lock(&mutex);
            pthread_cond_broadcast(&finished);
            pthread_mutex_unlock(&mutex);
        }
    }
}

/* `number` counts workers from 1; those beyond the wanted threads sit a job out. */
static void *worker(void *number_) {
    const int number = (int)(intptr_t)number_;
    unsigned long seen = 0;
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (current == NULL || serial == seen || number >= wanted)
            pthread_cond_wait(&work, &mutex);
        job *mine = current;
        seen = serial;
        atomic_fetch_add(&mine->references, 1);
        pthread_mutex_unlock(&mutex);
        take_chunks(mine);
        let_go(mine);
        pthread_mutex_lock(&mutex);
    }
    return NULL;
}

static void before_fork(void) {
    pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void) {
    pthread_mutex_init(&mutex, NULL);
    pthread_cond_init(&work, NULL);
    pthread_cond_init(&finished, NULL);
    current = NULL;
    workers = 0;
}

static void register_fork_handlers(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Starts the workers that are missing; fewer if the system refuses. With the mutex held. */
static void start_workers(void) {
    pthread_attr_t detached;
    if (workers >= wanted - 1 || pthread_attr_init(&detached) != 0)
        return;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    while (workers < wanted - 1 &&
           pthread_create(&thread, &detached, worker, (void *)(intptr_t)(workers + 1)) == 0)
        workers++;
    pthread_attr_destroy(&detached);
}

/* The published job, or NULL if the pool is busy or memory is short. */
static job *publish(long chunks, ql_chunk *run, void *context) {
    pthread_once(&fork_handlers, register_fork_handlers);
    job *mine = NULL;
    pthread_mutex_lock(&mutex);
    if (current == NULL && wanted > 1 && (mine = malloc(sizeof *mine)) != NULL) {
        *mine = (job){.chunks = chunks, .run = run, .context = context};
        atomic_store(&mine->references, 1);
        start_workers();
        current = mine;
        serial++;
        pthread_cond_broadcast(&work);
    }
    pthread_mutex_unlock(&mutex);
    return mine;
}

void ql_run_chunks(long chunks, ql_chunk *run, void *context) {
    job *mine = chunks > 1 ? publish(chunks, run, context) : NULL;
    if (mine == NULL) {
        for (long chunk = 0; chunk < chunks; chunk++)
            run(context, chunk);
        return;
    }
    take_chunks(mine);
    pthread_mutex_lock(&mutex);
    current = NULL;
    while (atomic_load(&mine->done) < chunks)
        pthread_cond_wait(&finished, &mutex);
    pthread_mutex_unlock(&mutex);
    let_go(mine);
}

int ql_threads(void) {
    pthread_mutex_lock(&mutex);
    const int threads = wanted;
    pthread_mutex_unlock(&mutex);
    return threads;
}

void ql_set_threads(int threads) {
    pthread_mutex_lock(&mutex);
    wanted = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    pthread_mutex_unlock(&mutex);
}

#else

void ql_run_chunks(long chunks, ql_chunk *run, void *context) {
    for (long chunk = 0; chunk < chunks; chunk++)
        run(context, chunk);
}

int ql_threads(void) {
    return 1;
}

void ql_set_threads(int threads) {
    (void)threads;
}

#endif
