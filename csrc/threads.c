/* A small pool of threads.
 *
 * A job is a number of chunks. The caller publishes it, wakes the workers, and takes chunks like
 * they do; it returns when all chunks are done. It never waits for a worker that has not taken one:
 * a worker that the system has put to sleep costs nothing but its share. Workers hold a reference
 * to the job, whose memory lives until the last has let go, but they look at the caller's context
 * only with a chunk in hand, for which the caller waits.
 *
 * To be put to sleep and woken takes 5 to 10 us, as long as a small job. So who waits, a worker for
 * the next job or a caller for the last chunk, watches for a short while before it sleeps. Where
 * processors are fewer than threads, nobody watches.
 *
 * One job runs at a time. A caller that finds the pool busy, as when many Python threads call at
 * once, does its work alone: the processors are in use already. Workers start at the first job that
 * wants them. A forked child has no workers and starts afresh. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "core.h"

#if QL_THREADS

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_THREADS = 256,
    WATCH_NANOSECONDS = 100 * 1000, /* before sleeping; networks have a job every 10 to 100 us */
};

/* Each thread has a share of the chunks, one after the other, which it begins with: so the next job
 * on the same data finds the share of it in the caches of the same processor. Then it takes from
 * the shares of the others. */
typedef struct {
    atomic_long done;
    atomic_int references;
    atomic_int sleeper; /* whether the caller sleeps until the last chunk is done */
    int watching;       /* whether it watches before */
    long chunks;
    ql_chunk *run;
    void *context;
    long shares;
    atomic_long taken[]; /* of each share */
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
static int watching;         /* whether there are as many processors */
/* The serial of the job that was published last, set when the mutex is free again. */
static atomic_ulong published;

static void let_go(job *j) {
    if (atomic_fetch_sub(&j->references, 1) == 1)
        free(j);
}

/* Wakes a caller that sleeps if this chunk was the last one of all. */
static void count_done(job *j) {
    if (atomic_fetch_add(&j->done, 1) + 1 < j->chunks || !atomic_load(&j->sleeper))
        return;
    pthread_mutex_lock(&mutex);
    pthread_cond_broadcast(&finished);
    pthread_mutex_unlock(&mutex);
}

/* Takes chunks until none is left. `number` counts the threads, the caller's first. */
static void take_chunks(job *j, int number) {
    for (long i = 0; i < j->shares; i++) {
        const long share = (number + i) % j->shares;
        const long first = share * j->chunks / j->shares;
        const long limit = (share + 1) * j->chunks / j->shares;
        for (long chunk; (chunk = first + atomic_fetch_add(&j->taken[share], 1)) < limit;) {
            j->run(j->context, chunk);
            count_done(j);
        }
    }
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Watches for a job after that of a serial, until a time. */
static void watch_for_job(unsigned long last, int64_t until) {
    while (atomic_load(&published) == last && nanoseconds() < until)
        ;
}

/* Watches for the last chunks, which others do. */
static void watch_for_end(job *j) {
    const int64_t until = nanoseconds() + WATCH_NANOSECONDS;
    while (atomic_load(&j->done) < j->chunks && nanoseconds() < until)
        ;
}

/* Waits for a job after the one that was seen, which a worker is wanted for. With the mutex held.
 */
static job *next_job(int number, unsigned long seen) {
    const int64_t until = nanoseconds() + WATCH_NANOSECONDS;
    while (current == NULL || serial == seen || number >= wanted) {
        if (!watching || number >= wanted || nanoseconds() >= until) {
            pthread_cond_wait(&work, &mutex);
            continue;
        }
        const unsigned long last = serial;
        pthread_mutex_unlock(&mutex);
        watch_for_job(last, until);
        pthread_mutex_lock(&mutex);
    }
    return current;
}

/* `number` counts workers from 1; those beyond the wanted threads sit a job out. */
static void *worker(void *number_) {
    const int number = (int)(intptr_t)number_;
    unsigned long seen = 0;
    pthread_mutex_lock(&mutex);
    for (;;) {
        job *mine = next_job(number, seen);
        seen = serial;
        atomic_fetch_add(&mine->references, 1);
        pthread_mutex_unlock(&mutex);
        take_chunks(mine, number);
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

/* How many processors this process may use. */
static long processors(void) {
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        return CPU_COUNT(&allowed);
#endif
    return sysconf(_SC_NPROCESSORS_ONLN);
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

/* A job of so many shares, with a reference of the caller, or NULL. */
static job *new_job(long chunks, ql_chunk *run, void *context, long shares) {
    job *mine = malloc(sizeof *mine + (size_t)shares * sizeof *mine->taken);
    if (mine == NULL)
        return NULL;
    *mine = (job){.chunks = chunks, .run = run, .context = context, .shares = shares};
    atomic_store(&mine->references, 1);
    for (long share = 0; share < shares; share++)
        atomic_init(&mine->taken[share], 0);
    return mine;
}

/* The published job, or NULL if the pool is busy or memory is short. */
static job *publish(long chunks, ql_chunk *run, void *context) {
    pthread_once(&fork_handlers, register_fork_handlers);
    job *mine = NULL;
    unsigned long number = 0;
    pthread_mutex_lock(&mutex);
    if (current == NULL && wanted > 1 &&
        (mine = new_job(chunks, run, context, wanted < chunks ? wanted : chunks)) != NULL) {
        mine->watching = watching;
        start_workers();
        current = mine;
        number = ++serial;
        pthread_cond_broadcast(&work);
    }
    pthread_mutex_unlock(&mutex);
    if (mine != NULL)
        atomic_store(&published, number);
    return mine;
}

void ql_run_chunks(long chunks, ql_chunk *run, void *context) {
    job *mine = chunks > 1 ? publish(chunks, run, context) : NULL;
    if (mine == NULL) {
        for (long chunk = 0; chunk < chunks; chunk++)
            run(context, chunk);
        return;
    }
    take_chunks(mine, 0);
    if (mine->watching)
        watch_for_end(mine);
    atomic_store(&mine->sleeper, 1);
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
    watching = processors() >= wanted;
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
