/*
 * A PostgreSQL of a group's own, to be restarted, or to have settings that the shared one must not
 * have. What goes wrong in starting and stopping it fails the test.
 */
#pragma once
#include "postgres_fixture.h"

struct own_server {
    char base[64];
    char data[96];
    char conninfo[FIXTURE_CONNINFO_BYTES]; /* once it was started */
};

/* For cmocka_run_group_tests: *state becomes a struct own_server, which does not run yet. */
int own_server_set_up(void **state);
int own_server_tear_down(void **state);

void own_server_start(struct own_server *server); /* nothing if it runs */
void own_server_stop(struct own_server *server);
