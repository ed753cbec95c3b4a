#include "own_server.h"

#include "pg_server.h"
#include "pg_server_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

void own_server_start(struct own_server *server)
{
    struct text conninfo;
    struct fault fault;
    text_init(&conninfo, FIXTURE_CONNINFO_BYTES - 1);
    if (!pg_server_start(server->data, &conninfo, /* started= */ NULL, &fault)) {
        print_error("%s\n", fault.text);
        fail();
    }
    snprintf(server->conninfo, sizeof server->conninfo, "%s", text_chars(&conninfo));
    text_done(&conninfo);
}

void own_server_stop(struct own_server *server)
{
    struct fault fault;
    if (!pg_server_stop(server->data, /* stopped= */ NULL, &fault)) {
        print_error("%s\n", fault.text);
        fail();
    }
}

int own_server_set_up(void **state)
{
    struct own_server *server = calloc(1, sizeof *server);
    if (!server)
        return -1;
    *state = server;
    snprintf(server->base, sizeof server->base, "/var/tmp/latchkey-own-XXXXXX");
    if (!mkdtemp(server->base) || chmod(server->base, 0755) != 0)
        return -1;
    snprintf(server->data, sizeof server->data, "%s/data", server->base);
    return 0;
}

int own_server_tear_down(void **state)
{
    struct own_server *server = *state;
    struct fault fault;
    bool ok = pg_server_stop(server->data, NULL, &fault);
    pg_server_dir_remove_tree(server->base);
    free(server);
    return ok ? 0 : -1;
}
