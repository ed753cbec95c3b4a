/* test_samples [GROUP]: all groups of tests, or one. */
#include "samples_tests.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"invoice_payment", invoice_payment_tests},
    {"two_hosts", two_hosts_tests},
    {"package_race", package_race_tests},
    {"package_latest", package_latest_tests},
};

int main(int argc, char **argv)
{
    static const char *const variables[] = {
        "LATCHKEY_DATABASE", "LATCHKEY_SCHEMA", "PGHOST",    "PGHOSTADDR",   "PGPORT",
        "PGDATABASE",        "PGUSER",          "PGSERVICE", "PGSERVICEFILE"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed ? 1 : 0;
}
