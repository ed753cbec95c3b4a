/* Figures for Prometheus. Labels are routes, statuses and names of states: never a lock path, an id
 * or anything else that a caller chooses. */
#include "http_figures.h"
#include "http_guard.h"
#include "http_handlers.h"
#include "http_route.h"
#include "http_server.h"
#include "http_stream.h"
#include "runtime.h"
#include "text.h"

enum {
    METRICS_BYTES_MAX = 4 << 20,
};

static void add_head(struct text *out, const char *name, const char *type, const char *help)
{
    text_addf(out, "# HELP latchkey_%s %s\n# TYPE latchkey_%s %s\n", name, help, name, type);
}

static void add_one(struct text *out, const char *name, const char *type, const char *help,
                    double value)
{
    add_head(out, name, type, help);
    text_addf(out, "latchkey_%s %.17g\n", name, value);
}

static void add_histogram(struct text *out, const char *name, const char *help,
                          const struct runtime_histogram *histogram)
{
    int64_t n = 0;
    add_head(out, name, "histogram", help);
    for (int i = 0; i < RUNTIME_BUCKETS; i++) {
        n += histogram->buckets[i];
        text_addf(out, "latchkey_%s_bucket{le=\"%g\"} %lld\n", name,
                  (double)runtime_bucket_us(i) / 1e6, (long long)n);
    }
    text_addf(out, "latchkey_%s_bucket{le=\"+Inf\"} %lld\n", name, (long long)histogram->n);
    text_addf(out, "latchkey_%s_sum %.6f\nlatchkey_%s_count %lld\n", name,
              (double)histogram->sum_us / 1e6, name, (long long)histogram->n);
}

static void add_sizes(struct text *out, const struct runtime_figures *figures)
{
    int64_t n = 0;
    add_head(out, "batch_size", "histogram", "Executions of one transaction.");
    for (int i = 0; i < RUNTIME_SIZES - 1; i++) {
        n += figures->sizes[i];
        text_addf(out, "latchkey_batch_size_bucket{le=\"%d\"} %lld\n", 1 << i, (long long)n);
    }
    text_addf(out,
              "latchkey_batch_size_bucket{le=\"+Inf\"} %lld\nlatchkey_batch_size_sum %lld\n"
              "latchkey_batch_size_count %lld\n",
              (long long)figures->n_batches, (long long)figures->n_members,
              (long long)figures->n_batches);
}

/* One row of a gauge by state. */
struct state_figure {
    const char *state;
    int64_t n;
};

static void add_states(struct text *out, const char *name, const char *help,
                       const struct state_figure *states, int n_states)
{
    add_head(out, name, "gauge", help);
    for (int i = 0; i < n_states; i++)
        text_addf(out, "latchkey_%s{state=\"%s\"} %lld\n", name, states[i].state,
                  (long long)states[i].n);
}

static void add_queue(struct text *out, const struct runtime_figures *figures)
{
    const struct state_figure states[] = {
        {"queued", figures->n_queued}, {"ready", figures->n_ready}, {"refused", figures->n_delayed},
        {"leased", figures->n_leased}, {"waiter", figures->n_slot}, {"taken", figures->n_taken},
    };
    add_states(out, "queue_executions",
               "Executions of this host not yet answered, by where they stand.", states,
               (int)(sizeof states / sizeof *states));
}

static void add_lock_table(struct text *out, const struct runtime_figures *figures)
{
    if (!figures->lock_table_size)
        return;
    add_one(out, "lock_table_used_entries", "gauge",
            "Entries of the server's lock table in use, by everybody, as seen every few seconds.",
            (double)figures->lock_table_used);
    add_one(out, "lock_table_size_entries", "gauge", "About how many there are.",
            (double)figures->lock_table_size);
    add_one(out, "hosts", "gauge", "Hosts of the schema that live.", figures->n_hosts);
}

static void add_jobs(struct text *out, struct http_figures *figures)
{
    struct job_figures jobs;
    if (!http_figures_read(figures, &jobs))
        return;
    const struct state_figure states[] = {{"due", jobs.n_due},
                                          {"later", jobs.n_later},
                                          {"claimed", jobs.n_claimed},
                                          {"dead", jobs.n_dead}};
    add_states(out, "jobs", "Background jobs of all hosts, up to 100,000, by state.", states,
               (int)(sizeof states / sizeof *states));
    add_one(out, "jobs_oldest_due_seconds", "gauge", "For how long the first job has been due.",
            jobs.oldest_due_seconds);
    add_one(out, "jobs_age_seconds", "gauge", "How old the figures about jobs are.",
            jobs.age_seconds);
}

static void add_executions(struct text *out, const struct runtime_figures *figures)
{
    add_head(out, "executions_total", "counter",
             "Runs of instances that were answered, by status.");
    for (int i = 0; i < STATUS_COUNT; i++)
        text_addf(out, "latchkey_executions_total{status=\"%s\"} %lld\n",
                  execution_status_row((enum execution_status)i)->name,
                  (long long)figures->ended[i]);
    add_histogram(out, "lock_wait_seconds", "From the submission to the grant of the locks.",
                  &figures->waited);
    add_histogram(out, "lock_hold_seconds", "From the grant of the locks to their release.",
                  &figures->held);
    add_one(out, "batches_total", "counter", "Transactions that committed executions.",
            (double)figures->n_batches);
    add_one(out, "batch_members_total", "counter", "Executions in them.",
            (double)figures->n_members);
    add_sizes(out, figures);
    add_one(out, "early_executions_total", "counter",
            "Executions by themselves whose script ran before their locks were asked for.",
            (double)figures->n_early);
    add_one(out, "early_missed_total", "counter",
            "Scripts that ran so and then had to run again: a lock was held, the row was another, "
            "or the script wanted more.",
            (double)figures->n_early_missed);
    add_one(out, "busy_polls_total", "counter",
            "Answers to executions by themselves that the loop stayed awake for.",
            (double)figures->n_busy_polls);
    add_one(out, "execution_attempts_total", "counter",
            "Runs of activities of runs that were answered: more than there were activities, where "
            "conflicts and errors of the database were met by running again.",
            (double)figures->n_attempts);
}

static void add_requests(struct text *out, const struct http_server *server)
{
    add_head(out, "http_requests_total", "counter", "Requests answered, by route and status.");
    for (int i = 0; http_routes[i].method; i++) {
        const int64_t *counts = http_server_counts(server, i);
        for (int status = 0; status < HTTP_COUNTED_STATUSES; status++)
            if (counts[status])
                text_addf(out,
                          "latchkey_http_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} "
                          "%lld\n",
                          http_routes[i].method, http_routes[i].pattern, status,
                          (long long)counts[status]);
    }
}

void http_metrics(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    const struct http_guard *guard = http_server_guard(server);
    struct runtime *runtime = http_server_runtime(server);
    struct runtime_figures figures;
    struct text out;
    struct fault fault;
    runtime_read_figures(runtime, &figures);
    text_init(&out, METRICS_BYTES_MAX);
    add_executions(&out, &figures);
    add_one(&out, "executions_running", "gauge", "Executions submitted and not yet answered.",
            runtime_n_running(runtime));
    add_queue(&out, &figures);
    add_lock_table(&out, &figures);
    add_jobs(&out, http_server_figures(server));
    add_one(&out, "processors_short", "gauge",
            "1 while the host waits for a processor much longer than it runs.", figures.crowded);
    add_one(&out, "pool_connections_open", "gauge", "Connections to the database.",
            figures.pool_open);
    add_one(&out, "pool_connections_max", "gauge", "How many there may be.", figures.pool_max);
    add_one(&out, "pool_connections_free", "gauge", "How many could be taken at once now.",
            figures.pool_free);
    add_one(&out, "batch_lock_entries_max", "gauge",
            "Entries of the server's lock table that a batch may take.", figures.entries_max);
    add_requests(&out, server);
    add_one(&out, "http_connections", "gauge", "Open connections.",
            http_guard_n_connections(guard));
    add_one(&out, "http_refused_total", "counter", "Requests and connections that were refused.",
            (double)http_guard_n_refused(guard));
    add_one(&out, "http_streams", "gauge", "Clients of the stream of events.",
            http_stream_n_clients(*http_server_stream(server)));
    add_one(&out, "loop_lag_seconds", "gauge", "How late timers came, at most, in the last minute.",
            (double)http_server_lag_us(server) / 1e6);
    if (text_ok(&out, &fault))
        http_reply(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text_chars(&out),
                   out.length);
    else
        http_reply_fault(exchange, &fault);
    text_done(&out);
}
