/*
 * Hosts over a real database, as a C program makes them: what the tests of the library share.
 */
#pragma once
#include "latchkey.h"
#include "postgres_fixture.h"

struct event_base;

struct desk {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *sql; /* a plain session beside the hosts */
    struct event_base *base;
};

/* A copy of what a request was told. */
struct answer {
    bool told;
    enum latchkey_status status;
    char id[40];
    char workflow[64];
    char activity[64];
    char output[512];
    char reason[512];
    char path[256]; /* the first one */
    char json[2048];
    int version;
    int n_paths;
    bool replayed;
};

/* The same of a publishing, a report or a start. */
struct word {
    bool told;
    bool failed;
    struct latchkey_fault fault;
    char workflow[64];
    int version;
    bool changed;
    char report[1024];
};

/* For cmocka_run_group_tests and its tests. */
int desk_open(void **state);
int desk_close(void **state);
int desk_clear(void **state);

/* A host that is not started, with the desk's database. */
struct latchkey *desk_host(struct desk *desk);

/* The same, started. */
struct latchkey *desk_start(struct desk *desk);

/* Publishes, and waits until that is told. */
void desk_publish(struct desk *desk, struct latchkey *host, const char *yaml);

/* Runs one and waits. */
struct answer desk_run(struct desk *desk, struct latchkey *host, const char *workflow,
                       const char *input);

/* Runs the loop until it is true, at most a minute. */
void desk_wait(struct desk *desk, const bool *told);
void desk_turn(struct desk *desk, int ms);

/* Callbacks: arg is a struct answer or a struct word. */
void on_answer(const struct latchkey_result *result, void *arg);
void on_published(const char *workflow, int version, bool changed,
                  const struct latchkey_fault *fault, void *arg);
void on_report(const char *report, const struct latchkey_fault *fault, void *arg);
void on_started(struct latchkey *host, const struct latchkey_fault *fault, void *arg);

/* A call that must succeed. */
#define OK(call)                                                                                   \
    do {                                                                                           \
        struct latchkey_fault why;                                                                 \
        if (!(call))                                                                               \
            fail_msg("%s", why.text);                                                              \
    } while (0)

int action_tests(void);
int host_tests(void);
int installed_tests(void);
int loop_tests(void);
int requests_tests(void);

/* Adds one to counter `id` and says what it found. */
extern const char *const counting;
