#include "pg_gate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* libpq has room for so much at each read. */
    CHUNK_BYTES = 8192,
    FIRST_BYTES = 16 << 10,
    /* An encrypted record comes whole, in up to so many reads. */
    READS_OF_RECORD = 3,
};

void pg_gate_init(struct pg_gate *gate, int64_t most)
{
    *gate = (struct pg_gate){.server = -1, .inside = -1, .outside = -1, .most = most};
}

void pg_gate_done(struct pg_gate *gate)
{
    if (gate->server >= 0) {
        close(gate->server);
        close(gate->inside);
        close(gate->outside);
    }
    pg_gate_init(gate, gate->most);
}

void pg_gate_begin(struct pg_gate *gate)
{
    gate->n_bytes = 0;
}

/* libpq also sends when it reads. Nothing may go into the pair: its way out is stuffed. */
static bool stuff(int inside)
{
    char nothing[CHUNK_BYTES] = {0};
    int smallest = 1;
    if (setsockopt(inside, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest) != 0)
        return false;
    for (size_t n = sizeof nothing; n > 0; n /= 2)
        while (send(inside, nothing, n, MSG_NOSIGNAL) > 0)
            ;
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static bool open_gate(struct pg_gate *gate, PGconn *pq)
{
    int pair[2];
    if (gate->server >= 0)
        return true;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    int server = fcntl(PQsocket(pq), F_DUPFD_CLOEXEC, 0);
    if (server < 0 || !stuff(pair[0])) {
        close(pair[0]);
        close(pair[1]);
        if (server >= 0)
            close(server);
        return false;
    }
    gate->server = server;
    gate->inside = pair[0];
    gate->outside = pair[1];
    return true;
}

static bool put(int fd, int under)
{
    int result;
    do
        result = dup3(fd, under, O_CLOEXEC);
    while (result < 0 && (errno == EINTR || errno == EBUSY));
    return result >= 0;
}

static bool consume(PGconn *pq)
{
    int n_reads = PQsslInUse(pq) || PQgssEncInUse(pq) ? READS_OF_RECORD : 1;
    bool ok = true;
    while (ok && n_reads-- > 0)
        ok = PQconsumeInput(pq) == 1;
    return ok;
}

/* False if libpq cannot have its socket back, or failed. */
static bool hand_on(struct pg_gate *gate, PGconn *pq, const char *bytes, size_t n_bytes)
{
    int fd = PQsocket(pq);
    if (send(gate->outside, bytes, n_bytes, MSG_NOSIGNAL) != (ssize_t)n_bytes)
        return false;
    if (!put(gate->inside, fd))
        return false;
    bool ok = consume(pq);
    return put(gate->server, fd) && ok;
}

enum pg_gate_read pg_gate_read(struct pg_gate *gate, PGconn *pq)
{
    char bytes[CHUNK_BYTES];
    if (!gate->most)
        return consume(pq) ? PG_GATE_READ : PG_GATE_BROKEN;
    if (gate->n_bytes == 0) {
        gate->n_bytes = FIRST_BYTES;
        return consume(pq) ? PG_GATE_READ : PG_GATE_BROKEN;
    }
    if (!open_gate(gate, pq))
        return PG_GATE_BROKEN;
    ssize_t n_bytes = recv(gate->server, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n_bytes <= 0) /* nothing, or the end, which libpq puts into words */
        return consume(pq) ? PG_GATE_READ : PG_GATE_BROKEN;
    gate->n_bytes += n_bytes;
    if (gate->n_bytes > gate->most)
        return PG_GATE_OVER;
    return hand_on(gate, pq, bytes, (size_t)n_bytes) ? PG_GATE_MORE : PG_GATE_BROKEN;
}
