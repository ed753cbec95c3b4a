#include "samples_tests.h"

#include <stdlib.h>

int main(void)
{
    static const char *const variables[] = {
        "LATCHKEY_DATABASE", "LATCHKEY_SCHEMA", "PGHOST",    "PGHOSTADDR",   "PGPORT",
        "PGDATABASE",        "PGUSER",          "PGSERVICE", "PGSERVICEFILE"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    int n_failed = invoice_payment_tests() + package_race_tests() + package_latest_tests();
    return n_failed ? 1 : 0;
}
