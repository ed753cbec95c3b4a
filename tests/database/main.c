/* test_database [GROUP]: all groups of tests, or one. */
#include "database_tests.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"pg_array", pg_array_tests},
    {"pg_column", pg_column_tests},
    {"pg_pipeline", pg_pipeline_tests},
    {"pg_statements", pg_statements_tests},
    {"pg_conn", pg_conn_tests},
    {"pg_gate", pg_gate_tests},
    {"pg_conn_loss", pg_conn_loss_tests},
    {"pg_conninfo", pg_conninfo_tests},
    {"pg_pool", pg_pool_tests},
    {"pg_proxy", pg_proxy_tests},
    {"catalogue", catalogue_tests},
    {"catalogue_glance", catalogue_glance_tests},
    {"migration", migration_tests},
    {"pg_server", pg_server_tests},
    {"pg_server_programs", pg_server_programs_tests},
};

int main(int argc, char **argv)
{
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed != 0;
}
