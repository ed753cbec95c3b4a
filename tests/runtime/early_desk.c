#include "early_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

int64_t early_desk_n_early(const struct early_desk *desk)
{
    struct runtime_figures figures;
    runtime_read_figures(host_runtime(desk->host), &figures);
    return figures.n_early;
}

int64_t early_desk_n_missed(const struct early_desk *desk)
{
    struct runtime_figures figures;
    runtime_read_figures(host_runtime(desk->host), &figures);
    return figures.n_early_missed;
}

struct outcome early_desk_run(struct early_desk *desk)
{
    struct outcome outcome;
    host_submit(desk->host, desk->workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(desk->fixture);
    return outcome;
}

void early_desk_run_well(struct early_desk *desk)
{
    struct outcome outcome = early_desk_run(desk);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.attempts, 1);
}

void early_desk_open_with(struct early_desk *desk, void **state, const char *tables,
                          const char *yaml, const struct runtime_options *options)
{
    *desk = (struct early_desk){.fixture = *state};
    runtime_fixture_tables(desk->fixture, tables);
    desk->host = host_start(desk->fixture, options);
    desk->workflow = host_publish(desk->host, yaml);
    desk->other = fixture_connect(desk->fixture->conninfo);
    for (int i = 0; i < 3; i++)
        early_desk_run_well(desk);
    assert_int_equal(early_desk_n_early(desk), 1);
}

struct runtime_options early_desk_options(void **state)
{
    struct runtime_options options = runtime_fixture_options(*state);
    options.row_memory_us = 600 * 1000 * 1000;
    return options;
}

void early_desk_open(struct early_desk *desk, void **state, const char *yaml)
{
    struct runtime_options options = early_desk_options(state);
    early_desk_open_with(desk, state, FLOW_TABLES, yaml, &options);
}

void early_desk_close(struct early_desk *desk, int n_completed, int n)
{
    PQfinish(desk->other);
    assert_nothing_held(desk->fixture);
    assert_sql_int(desk->fixture, "SELECT n FROM counter WHERE id = 1", n);
    assert_sql_int(desk->fixture,
                   "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'",
                   n_completed);
    assert_sql_int(desk->fixture,
                   "SELECT count(*) FROM latchkey.execution WHERE status = 'completed'"
                   " AND paths = '{counter/1}'",
                   n_completed);
    host_stop(desk->host);
}

void early_desk_until_somebody_waits(struct early_desk *desk)
{
    runtime_fixture_until(desk->fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE datname ="
                          " current_database() AND wait_event_type = 'Lock'",
                          1);
}
