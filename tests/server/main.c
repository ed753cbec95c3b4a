/* test_server [GROUP]: all groups of tests, or one. */
#include "server_tests.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"run_plan", run_plan_tests},
    {"run_totals", run_totals_tests},
    {"command_line", command_line_tests},
    {"command_locks", command_locks_tests},
    {"command_check", command_check_tests},
    {"hostile_file", hostile_file_tests},
    {"command_key", command_key_tests},
    {"database_choice", database_choice_tests},
    {"command_db", command_db_tests},
    {"command_run", command_run_tests},
    {"command_publish", command_publish_tests},
    {"command_serve", command_serve_tests},
    {"http_head", http_head_tests},
    {"http_guard", http_guard_tests},
    {"http_stop", http_stop_tests},
    {"http_idle", http_idle_tests},
    {"http_files", http_files_tests},
    {"http_instances", http_instances_tests},
    {"http_workflows", http_workflows_tests},
    {"http_live", http_live_tests},
    {"log", log_tests},
    {"run_hosts", run_hosts_tests},
    {"same_key", same_key_tests},
    {"status", status_tests},
    {"take_over", take_over_tests},
    {"run_lookup", run_lookup_tests},
    {"instance_commands", instance_commands_tests},
    {"manual", manual_tests},
    {"command_jobs", command_jobs_tests},
    {"command_demo", command_demo_tests},
};

int main(int argc, char **argv)
{
    static const char *const variables[] = {"LATCHKEY_DATABASE",
                                            "LATCHKEY_SCHEMA",
                                            "PGHOST",
                                            "PGHOSTADDR",
                                            "PGPORT",
                                            "PGDATABASE",
                                            "PGUSER",
                                            "PGSERVICE",
                                            "PGSERVICEFILE",
                                            "LATCHKEY_DEFINITIONS"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("LATCHKEY_LOG", "plain", 1); /* tests wait for lines; log_test looks at others */
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed ? 1 : 0;
}
