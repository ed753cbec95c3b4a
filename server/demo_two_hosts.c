#include "demo_two_hosts.h"

#include "command.h"
#include "command_line.h"
#include "demo_command.h"
#include "demo_place.h"
#include "uuid.h"

#include <stdio.h>
#include <string.h>

#define SAMPLE "two-hosts"

struct step {
    const char *host;
    const char *does;
    const char *picture; /* what that host knows */
    const char *command;
    const char *payload; /* of `send` */
    const char *status;  /* that it must be told */
};

static const struct step steps[] = {
    {"one", "opens a ticket", "", "run", NULL, "idle"},
    {"two", "lists what is open", "", "instances", NULL, "idle"},
    {"one", "sends a message", "step 1: no message", "send", "{\"text\":\"first\"}", "idle"},
    {"two", "sends the last message", "step 2: no message", "send",
     "{\"text\":\"second\",\"close\":true}", "completed"},
    {"one", "sends another message", "step 3: it is open", "send", "{\"text\":\"third\"}",
     "blocked"},
};

enum {
    N_STEPS = sizeof steps / sizeof *steps,
    MESSAGES_TAKEN = 2,
};

struct demo_two_hosts {
    struct demo_place *place;
    bool as_json;
    struct text file;
    char id[UUID_TEXT_BYTES]; /* of the instance, as step 1 was told */
    json_t *rows;             /* of the steps, for --json */
    bool as_told;             /* so far every step was told what it must be told */
};

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool run_command(const struct demo_two_hosts *demo, const struct step *step,
                        struct demo_answer *answer, struct fault *fault)
{
    if (step->payload)
        return demo_command_run(
            demo->place,
            (const char *const[]){"send", demo->id, "message", "--payload", step->payload, NULL},
            answer, fault);
    if (strcmp(step->command, "instances") == 0)
        return demo_command_run(demo->place, (const char *const[]){"instances", NULL}, answer,
                                fault);
    return demo_command_run(
        demo->place,
        (const char *const[]){"run", text_chars(&demo->file), "--input", "{\"ticket_id\":1}", NULL},
        answer, fault);
}

/* `instances` answers with an array, in which only this one can be. */
static const json_t *instance_of(const json_t *answer)
{
    return json_is_array(answer) ? json_array_get(answer, 0) : answer;
}

static void print_step(int n, const struct step *step, int exit_code, const json_t *instance)
{
    const json_t *messages = json_object_get(json_object_get(instance, "output"), "messages");
    printf("%4d  %-4s  %-22s  %-18s  %4d  %s", n, step->host, step->does, step->picture, exit_code,
           member(instance, "status"));
    if (json_is_integer(messages))
        printf(", messages: %lld", (long long)json_integer_value(messages));
    if (*member(instance, "wait_for"))
        printf(", waits for %s", member(instance, "wait_for"));
    if (*member(instance, "reason"))
        printf(": %s", member(instance, "reason"));
    putchar('\n');
    fflush(stdout);
}

static bool add_row(struct demo_two_hosts *demo, int n, int exit_code, const json_t *instance,
                    struct fault *fault)
{
    const struct step *step = &steps[n - 1];
    json_t *row = json_pack("{s:i, s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "step", n, "host",
                            step->host, "command", step->command, "knows", step->picture,
                            "exit_code", exit_code, "id", member(instance, "id"), "status",
                            member(instance, "status"), "reason", member(instance, "reason"));
    return json_array_append_new(demo->rows, row) == 0 || fault_no_memory(fault);
}

static bool take_step(struct demo_two_hosts *demo, int n, struct fault *fault)
{
    const struct step *step = &steps[n - 1];
    struct demo_answer answer;
    bool ok = run_command(demo, step, &answer, fault);
    const json_t *instance = instance_of(answer.json);
    if (ok && n == 1)
        snprintf(demo->id, sizeof demo->id, "%s", member(instance, "id"));
    if (ok) {
        demo->as_told = demo->as_told && strcmp(member(instance, "status"), step->status) == 0 &&
                        strcmp(member(instance, "id"), demo->id) == 0;
        ok = add_row(demo, n, answer.exit_code, instance, fault);
    }
    if (ok && !demo->as_json)
        print_step(n, step, answer.exit_code, instance);
    json_decref(answer.json);
    return ok;
}

/* Nothing was overwritten, and nothing is open. */
static bool look(struct demo_two_hosts *demo, struct fault *fault)
{
    int64_t n_messages = 0, n_open = 0;
    char query[160];
    snprintf(query, sizeof query, "SELECT count(*) FROM %s.instance WHERE status <> 'completed'",
             demo->place->schema);
    if (!demo_place_number(demo->place, "SELECT count(*) FROM ticket_message", /* param= */ NULL,
                           &n_messages, fault) ||
        !demo_place_number(demo->place, query, /* param= */ NULL, &n_open, fault))
        return false;
    if (!demo->as_json)
        printf("messages in the table: %lld; open workflows: %lld\n", (long long)n_messages,
               (long long)n_open);
    demo->as_told = demo->as_told && n_messages == MESSAGES_TAKEN && n_open == 0;
    return true;
}

static bool play(struct demo_two_hosts *demo, struct fault *fault)
{
    if (!demo->rows)
        return fault_no_memory(fault);
    if (!demo_place_load(demo->place, SAMPLE, fault) ||
        !demo_place_write(demo->place, SAMPLE, SAMPLE ".yaml", &demo->file, fault))
        return false;
    if (!demo->as_json)
        printf("%4s  %-4s  %-22s  %-18s  %4s  %s\n", "step", "host", "does", "knows it as of",
               "exit", "is told");
    for (int n = 1; n <= N_STEPS; n++)
        if (!take_step(demo, n, fault))
            return false;
    return look(demo, fault);
}

int demo_two_hosts_play(const struct command_line *line, struct demo_place *place)
{
    struct fault fault;
    struct demo_two_hosts demo = {
        .place = place,
        .as_json = command_line_has(line, OPTION_JSON),
        .rows = json_array(),
        .as_told = true,
    };
    text_init(&demo.file, sizeof place->directory + 64);
    bool ok = play(&demo, &fault);
    if (ok && demo.as_json)
        command_print_json(demo.rows);
    json_decref(demo.rows);
    text_done(&demo.file);
    if (!ok)
        return command_fail(&fault);
    if (!demo.as_told)
        fprintf(stderr, "latchkey: a step was not told what it must be told\n");
    return demo.as_told ? 0 : 1;
}
