/* What the files of the job runner share: job_runner.c (life, timers, take-over), job_claim.c (what
 * it has claimed), job_work.c (what runs), job_end.c (what became of it). */
#pragma once
#include "job_runner.h"

#include "errand.h"
#include "execution_status.h"
#include "runtime_state.h"
#include "text.h"

#include <sys/queue.h>

enum {
    JOB_TICK_US = 200 * 1000,
    JOB_SOON_US = 1000,
    JOB_CLAIM_MS = 60 * 1000,
    JOB_ANSWER_US = 10 * 1000 * 1000,
    JOB_IDS_BYTES_MAX = 4 << 20,
};

enum job_fate {
    JOB_GONE,   /* deleted with the work, or not known: nothing to write */
    JOB_BACK,   /* was not begun: anybody may have it */
    JOB_AGAIN,  /* costs no attempt */
    JOB_FAILED, /* costs one; after the last it is dead */
    JOB_ENDED,  /* nothing will make it succeed */
};

struct job {
    struct job_runner *runner;
    char id[UUID_TEXT_BYTES];
    char instance[UUID_TEXT_BYTES];
    bool starts; /* a new instance; otherwise it delivers to one that is there */
    bool alone;
    bool worn_out; /* it had all its attempts */
    bool counts;   /* among what the runtime has under way, though it does not run */
    bool runs;     /* submitted: its done will come */
    int version;   /* of the workflow that it starts; 0 = the latest */
    int64_t claimed_us;
    json_t *input; /* or the payload of the event */
    char *workflow;
    char *event; /* NULL: it goes on */
    char *key;   /* idempotency key; NULL = none */
    struct workflow_load *load;
    enum job_fate fate;
    enum execution_status status;
    char *error;
    TAILQ_ENTRY(job) link;
};

TAILQ_HEAD(job_line, job);

struct job_runner {
    struct runtime *runtime;
    struct background_options options;
    struct event *timer;
    struct errand *claim;
    struct errand *care;
    struct errand *end;
    struct job_line waiting; /* claimed ahead: they run when others have ended */
    struct job_line running;
    struct job_line ended; /* what became of them is to be written */
    struct job_line writing;
    int n_waiting;
    int n_running;
    int n_alone;
    bool draining;
    bool claim_counts; /* among what is under way: what it takes is to be given back */
    /* claims */
    bool claim_lost;         /* what an earlier claim took is not known */
    bool claims_lost;        /* the claim under way asks for that too */
    int64_t doubts_until_us; /* so long there may be jobs that ended unknown */
    bool hungry;             /* the last claim took all that it might: there is more */
    int n_asked;             /* of the claim under way */
    int64_t asked_us;
    int at_fresh, at_left, at_alone; /* its statements */
    int64_t left_us;                 /* not before then, what dead processes left is asked for */
    int64_t alone_us;                /* the same for what is to be tried again without neighbours */
    /* how many were done within a while */
    int64_t pace_us;
    int n_done, n_done_before;
    /* care */
    int64_t care_us;
    int64_t extend_us;
    int64_t sweep_us;
};

void job_runner_warn(const struct job_runner *runner, const char *what, const struct fault *fault);

/* Its next tick comes after about so long; 0 = when the loop turns. */
void job_runner_arm(struct job_runner *runner, int64_t delay_us);

/* All that it knows to be its own, as an array. */
void job_runner_add_ids(const struct job_runner *runner, struct text *ids);

/* Starts what waits, as far as there is room. */
void job_work_start_waiting(struct job_runner *runner);

/* Begins with a job that is in no line. */
void job_work_start(struct job *job);

/* Asks for as many as there is room for, and some ahead. */
void job_claim_send(struct job_runner *runner);

/* How many may run at a time now. */
int job_claim_running_max(struct job_runner *runner);

/* Gives back what has waited for too long, or all of it. */
void job_claim_give_back(struct job_runner *runner, bool all);

/* A job did its work: how many do within a while tells how many may be claimed ahead. */
void job_claim_note_done(struct job_runner *runner);

/* It is in no line any more, and owned by what follows from its fate. error may be NULL. */
void job_end(struct job *job, enum job_fate fate, enum execution_status status, const char *error);

/* Writes what is to be known of those that have ended. */
void job_end_write(struct job_runner *runner);

void job_end_free(struct job *job);
