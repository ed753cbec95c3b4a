#include "watchdog.h"

#include "log.h"
#include "sandbox.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
    LOOKS_PER_LIMIT = 5,
    PLACE_BYTES = 512,
};

struct watchdog {
    struct sandbox *sandbox;
    const struct log *log;
    int64_t limit_us;
    clockid_t clock; /* processor time of the loop's thread */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stop;
    bool stopping;
};

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void bite(const struct watchdog *watchdog)
{
    char place[PLACE_BYTES];
    sandbox_stretch_place(watchdog->sandbox, place, sizeof place);
    if (watchdog->log) {
        log_line(watchdog->log, LOG_LEVEL_ERROR, "watchdog",
                 "%s does not give way for %lld ms: the process ends", place,
                 (long long)watchdog->limit_us / 1000);
        if (watchdog->log->stream)
            fflush(watchdog->log->stream);
    }
    abort();
}

/* True while nobody says that it shall stop. */
static bool wait_a_while(struct watchdog *watchdog)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + watchdog->limit_us / LOOKS_PER_LIMIT * 1000;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&watchdog->mutex);
    int error = 0;
    while (!watchdog->stopping && !error)
        error = pthread_cond_timedwait(&watchdog->stop, &watchdog->mutex, &until);
    bool goes_on = !watchdog->stopping;
    pthread_mutex_unlock(&watchdog->mutex);
    return goes_on;
}

/* A frozen process and a busy machine cost no processor time, and so are no reason. */
static void *watch(void *arg)
{
    struct watchdog *watchdog = arg;
    unsigned stretch = 0;
    int64_t since_us = 0;
    while (wait_a_while(watchdog)) {
        unsigned now = sandbox_stretch(watchdog->sandbox);
        int64_t now_us = read_clock(watchdog->clock);
        if (!now || now != stretch)
            since_us = now_us;
        else if (now_us - since_us >= watchdog->limit_us)
            bite(watchdog);
        stretch = now;
    }
    return NULL;
}

/* Signals are for the threads of the caller. */
static int start_thread(struct watchdog *watchdog)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&watchdog->thread, NULL, watch, watchdog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

bool watchdog_start(struct sandbox *sandbox, const struct log *log, int64_t limit_us,
                    struct watchdog **out, struct fault *fault)
{
    pthread_condattr_t monotonic;
    struct watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (!watchdog)
        return fault_no_memory(fault);
    *watchdog = (struct watchdog){.sandbox = sandbox, .log = log, .limit_us = limit_us};
    pthread_mutex_init(&watchdog->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_getcpuclockid(pthread_self(), &watchdog->clock) != 0 ||
        start_thread(watchdog) != 0) {
        pthread_cond_destroy(&watchdog->stop);
        pthread_mutex_destroy(&watchdog->mutex);
        free(watchdog);
        return fault_set(fault, FAULT_EXHAUSTED, "no thread for the watchdog");
    }
    *out = watchdog;
    return true;
}

void watchdog_free(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->mutex);
    watchdog->stopping = true;
    pthread_cond_signal(&watchdog->stop);
    pthread_mutex_unlock(&watchdog->mutex);
    pthread_join(watchdog->thread, NULL);
    pthread_cond_destroy(&watchdog->stop);
    pthread_mutex_destroy(&watchdog->mutex);
    free(watchdog);
}
