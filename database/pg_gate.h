/*
 * Internal to pg_conn: bounds what the server may send in answer to one pipeline. libpq reads
 * without a limit: rows pile up until the statement is over, and a single value may have a
 * gigabyte.
 *
 *   server ==socket==> gate: counts, hands on 8 KiB at a time ==pair==> libpq
 *
 * libpq reads by the number of its socket. For the moment of each read the gate puts one end of a
 * pair of sockets under that number, in which there is exactly what was counted; then the server's
 * socket is put back, so that sending, and the event loop, never see another. The first 16 KiB or
 * so of an answer pass without the gate: most answers end there. So does the little that libpq
 * reads by itself while it sends.
 */
#pragma once
#include "fault.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct pg_gate {
    int server; /* a duplicate of the server's socket; -1 = not open */
    int inside; /* the end that is lent to libpq */
    int outside;
    int64_t n_bytes; /* of the answer under way */
    int64_t most;    /* 0 = no limit */
};

enum pg_gate_read {
    PG_GATE_READ,   /* took what was there: drain libpq, then wait for the socket */
    PG_GATE_MORE,   /* there may be more: drain libpq, then read again */
    PG_GATE_BROKEN, /* as when PQconsumeInput fails */
    PG_GATE_OVER,   /* the answer is larger than allowed */
};

void pg_gate_init(struct pg_gate *gate, int64_t most);
void pg_gate_done(struct pg_gate *gate);

/* The next answer begins. */
void pg_gate_begin(struct pg_gate *gate);

/* In place of PQconsumeInput. */
enum pg_gate_read pg_gate_read(struct pg_gate *gate, PGconn *pq);
