/*
 * What the tests of published definitions share: a directory of files, definitions of one activity
 * that answers a number, requests that are waited for, and a session that hears the notices.
 */
#pragma once
#include "json.h"
#include "runtime_fixture.h"

enum {
    DIRECTORY_BYTES = 64,
};

/* An empty directory; removed with all that is in it. */
void directory_make(char path[DIRECTORY_BYTES]);
void directory_remove(const char *path);

/* Puts a file in its place in one go, as a deployment does. */
void directory_write(const char *path, const char *file, const char *text);
void directory_delete(const char *path, const char *file);

/* The definition of workflow `name` that answers {"answer":N}, in that file. */
void directory_put(const char *path, const char *file, const char *name, int answer);
const char *definition_text(const char *name, int answer); /* until the next call */

/* A request under way. */
struct asked {
    bool told;
    json_t *report; /* NULL: fault says why */
    struct fault fault;
};

void ask_reload(struct host *host, const char *path, struct asked *asked);
void ask_refresh(struct host *host, struct asked *asked, ...); /* ids, ended by NULL */
void asked_wait(struct runtime_fixture *fixture, struct asked *asked);
void asked_done(struct asked *asked);

/* Waits, and fails unless it came to this: JSON with the keys in any order. */
void asked_expect(struct runtime_fixture *fixture, struct asked *asked, const char *key,
                  const char *json);

/* Both at once. */
void reload_expect(struct runtime_fixture *fixture, struct host *host, const char *path,
                   const char *key, const char *json);

/* How many notices this session has received since the last call; payload NULL = any. */
int count_notices(PGconn *listening, const char *payload);
