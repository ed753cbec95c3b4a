/*
 * Figures that only the database knows: one look at it every few seconds, for however many ask, and
 * none while nobody does. Who asks is told what the last look saw, at once.
 *
 *   RESTING --asked--> LOOKING --answered--> PAUSED --a few seconds--> LOOKING, or RESTING when
 *                                                                      nobody has asked for a
 * minute
 */
#pragma once
#include "fault.h"

#include <stdint.h>

struct event_base;
struct http_figures;
struct runtime;

struct job_figures {
    int64_t n_due;
    int64_t n_later;
    int64_t n_claimed;
    int64_t n_dead;
    double oldest_due_seconds;
    double age_seconds; /* since they were seen */
};

/* *out is yours to http_figures_free. */
MUST_CHECK bool http_figures_new(struct event_base *base, struct runtime *runtime,
                                 struct http_figures **out, struct fault *fault);
void http_figures_free(struct http_figures *figures); /* NULL is fine */

/* False while nothing is known: before the first look is over, or after one that failed. */
bool http_figures_read(struct http_figures *figures, struct job_figures *out);
