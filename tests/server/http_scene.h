/*
 * A host with the HTTP API, as a real process, with a database of its own and the definitions of
 * the tests: what each workflow is for stands in http_scene.c.
 */
#pragma once
#include "http_client.h"
#include "message_database.h"
#include "program.h"

enum {
    HTTP_SCENE_PATIENCE_MS = 60 * 1000,
};

struct http_scene {
    struct message_database *database;
    struct program host;
    bool runs;
    int port;
    char directory[64]; /* of definitions */
};

/* For cmocka: *state becomes a struct http_scene with a host that runs, without tokens. */
int http_scene_set_up(void **state);
int http_scene_tear_down(void **state);

/* The same without a host yet. */
int http_scene_prepare(void **state);

/* Starts the host with further arguments, ended by NULL, on a port of its own. */
void http_scene_start(struct http_scene *scene, const char *const *arguments);

/* Ends it and checks its exit code. */
void http_scene_stop(struct http_scene *scene, int exit_code);

/* The same for a host that was sent its signal: a second one would cut short what is under way. */
void http_scene_end(struct http_scene *scene, int exit_code);

/* Waits until the host has said it, at least so often. */
void http_scene_wait_for(const struct http_scene *scene, const char *part, int times);

/* Whether the host has said it by now. */
bool http_scene_has_said(const struct http_scene *scene, const char *part);

/* Starts an instance; which must be answered so. The result is yours. */
json_t *http_scene_run(const struct http_scene *scene, const char *workflow, const char *input,
                       int status);

/* A member of an object, which must be that text. */
void http_expect_text(const json_t *object, const char *name, const char *text);
