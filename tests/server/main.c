#include "server_tests.h"

#include <stdlib.h>

int main(void)
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
    int n_failed = run_plan_tests() + run_totals_tests() + command_line_tests() +
                   command_check_tests() + hostile_file_tests() + command_key_tests() +
                   database_choice_tests() + command_db_tests() + command_run_tests() +
                   command_publish_tests() + command_serve_tests() + run_hosts_tests() +
                   command_demo_tests();
    return n_failed ? 1 : 0;
}
