#include "http_crowd.h"

#include "http_client.h"
#include "message_database.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ANSWER_BYTES = 8 << 10,
    REQUEST_BYTES = 256,
    TURN_MS = 100,
};

struct client {
    char answer[ANSWER_BYTES]; /* as much as has come of it */
    size_t length;
};

struct http_crowd {
    struct http_crowd_count count;
    int n_clients;
    int64_t n_posted;
    struct client *clients;
    struct pollfd *fds; /* one a client; -1 = gone */
};

static void post(struct http_crowd *crowd, int i)
{
    char request[REQUEST_BYTES], body[32];
    int id = (int)(crowd->n_posted++ % MESSAGE_DATABASE_MESSAGES) + 1;
    snprintf(body, sizeof body, "{\"input\":{\"id\":%d}}", id);
    snprintf(request, sizeof request,
             "POST /v1/workflows/read/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
             "Content-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    crowd->clients[i].length = 0;
    http_write_chars(crowd->fds[i].fd, request);
}

static void leave(struct http_crowd *crowd, int i)
{
    close(crowd->fds[i].fd);
    crowd->fds[i].fd = -1;
    crowd->count.n_here--;
}

/* Of the whole answer; 0 as long as it is not known. */
static size_t length_of(const struct client *client)
{
    const char *end = strstr(client->answer, "\r\n\r\n");
    const char *field = strcasestr(client->answer, "\r\nContent-Length:");
    if (!end || !field || field > end)
        return 0;
    return (size_t)(end - client->answer) + 4 + strtoul(field + 17, NULL, 10);
}

static void take(struct http_crowd *crowd, int i)
{
    const struct client *client = &crowd->clients[i];
    int status = 0;
    sscanf(client->answer, "HTTP/1.1 %d", &status);
    if (status == 200)
        crowd->count.ok++;
    else if (status == 503)
        crowd->count.refused++;
    else
        crowd->count.odd++;
    if (strcasestr(client->answer, "\r\nConnection: close"))
        leave(crowd, i);
    else
        post(crowd, i);
}

static void receive(struct http_crowd *crowd, int i)
{
    struct client *client = &crowd->clients[i];
    size_t room = sizeof client->answer - 1 - client->length;
    assert_true(room > 0);
    ssize_t n = recv(crowd->fds[i].fd, client->answer + client->length, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (client->length)
            crowd->count.cut++;
        else
            crowd->count.unanswered++;
        leave(crowd, i);
        return;
    }
    client->length += (size_t)n;
    client->answer[client->length] = '\0';
    size_t whole = length_of(client);
    if (whole && client->length >= whole)
        take(crowd, i);
}

void http_crowd_turn(struct http_crowd *crowd)
{
    if (poll(crowd->fds, (nfds_t)crowd->n_clients, TURN_MS) <= 0)
        return;
    for (int i = 0; i < crowd->n_clients; i++)
        if (crowd->fds[i].fd >= 0 && crowd->fds[i].revents)
            receive(crowd, i);
}

const struct http_crowd_count *http_crowd_count(const struct http_crowd *crowd)
{
    return &crowd->count;
}

struct http_crowd *http_crowd_new(int port, int n_clients)
{
    struct http_crowd *crowd = calloc(1, sizeof *crowd);
    if (!crowd)
        return NULL;
    crowd->clients = calloc((size_t)n_clients, sizeof *crowd->clients);
    crowd->fds = calloc((size_t)n_clients, sizeof *crowd->fds);
    if (!crowd->clients || !crowd->fds) {
        http_crowd_free(crowd);
        return NULL;
    }
    for (; crowd->n_clients < n_clients; crowd->n_clients++) {
        int fd = http_connect(port, NULL);
        assert_true(fd >= 0);
        crowd->fds[crowd->n_clients] = (struct pollfd){.fd = fd, .events = POLLIN};
        crowd->count.n_here++;
        post(crowd, crowd->n_clients);
    }
    return crowd;
}

void http_crowd_free(struct http_crowd *crowd)
{
    if (!crowd)
        return;
    for (int i = 0; i < crowd->n_clients; i++)
        if (crowd->fds[i].fd >= 0)
            close(crowd->fds[i].fd);
    free(crowd->clients);
    free(crowd->fds);
    free(crowd);
}
