#include "run_plan.h"

#include "command_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct vary {
    char *name;
    int64_t least;
    uint64_t span; /* most - least */
};

struct run_plan {
    json_t *input;
    json_t **lines; /* objects */
    int64_t n_lines;
    int64_t lines_capacity;
    bool from_file;
    struct vary varies[RUN_PLAN_VARIES_MAX];
    int n_varies;
    int64_t count;
    bool single;
    uint64_t random; /* state of splitmix64: for spreading load, not for secrets */
};

static uint64_t draw(struct run_plan *plan)
{
    uint64_t z = plan->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in 0..span: values of the last, incomplete round are drawn again. */
static uint64_t draw_up_to(struct run_plan *plan, uint64_t span)
{
    if (span == UINT64_MAX)
        return draw(plan);
    uint64_t n = span + 1;
    uint64_t complete = UINT64_MAX - (UINT64_MAX % n + 1) % n;
    for (;;) {
        uint64_t value = draw(plan);
        if (value <= complete)
            return value % n;
    }
}

static bool bad_vary(const char *text, struct fault *fault)
{
    return fault_set(fault, FAULT_INVALID,
                     "--vary wants NAME=A..B with whole numbers, A not above B, not '%s'", text);
}

static bool read_vary(const char *text, struct vary *vary, struct fault *fault)
{
    char least_text[32];
    int64_t most;
    const char *equals = strchr(text, '=');
    const char *dots = equals ? strstr(equals, "..") : NULL;
    if (!dots || equals == text || dots - equals - 1 >= (int)sizeof least_text)
        return bad_vary(text, fault);
    snprintf(least_text, sizeof least_text, "%.*s", (int)(dots - equals - 1), equals + 1);
    if (!command_line_read_integer(least_text, &vary->least) ||
        !command_line_read_integer(dots + 2, &most) || vary->least > most)
        return bad_vary(text, fault);
    vary->span = (uint64_t)most - (uint64_t)vary->least;
    vary->name = strndup(text, (size_t)(equals - text));
    return vary->name || fault_no_memory(fault);
}

static bool read_varies(struct run_plan *plan, const struct run_plan_source *source,
                        struct fault *fault)
{
    if (source->n_varies > RUN_PLAN_VARIES_MAX)
        return fault_set(fault, FAULT_INVALID, "--vary is given more than %d times",
                         RUN_PLAN_VARIES_MAX);
    for (int i = 0; i < source->n_varies; i++) {
        struct vary *vary = &plan->varies[i];
        if (!read_vary(source->varies[i], vary, fault))
            return false;
        plan->n_varies++;
        for (int k = 0; k < i; k++)
            if (strcmp(plan->varies[k].name, vary->name) == 0)
                return fault_set(fault, FAULT_INVALID, "--vary is given twice for %s", vary->name);
    }
    return true;
}

static bool read_object(const char *what, const char *bytes, size_t n_bytes, json_t **out,
                        struct fault *fault)
{
    json_t *value = NULL;
    if (!json_read(what, bytes, n_bytes, &value, fault))
        return false;
    if (json_is_object(value)) {
        *out = value;
        return true;
    }
    json_decref(value);
    return fault_set(fault, FAULT_INVALID, "%s is not a JSON object", what);
}

static bool add_line(struct run_plan *plan, json_t *object, struct fault *fault)
{
    if (plan->n_lines == plan->lines_capacity) {
        int64_t capacity = plan->lines_capacity ? plan->lines_capacity * 2 : 256;
        json_t **lines = realloc(plan->lines, (size_t)capacity * sizeof *lines);
        if (!lines)
            return fault_no_memory(fault);
        plan->lines = lines;
        plan->lines_capacity = capacity;
    }
    plan->lines[plan->n_lines++] = object;
    return true;
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t\r\n")] == '\0';
}

static bool read_lines(struct run_plan *plan, const char *file, FILE *stream, struct fault *fault)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    bool ok = true;
    for (long number = 1; ok && (length = getline(&line, &capacity, stream)) >= 0; number++) {
        char what[FAULT_TEXT_BYTES / 2];
        json_t *object = NULL;
        if (is_blank(line) && (size_t)length == strlen(line))
            continue;
        snprintf(what, sizeof what, "%s:%ld", file, number);
        ok = read_object(what, line, (size_t)length, &object, fault) &&
             add_line(plan, object, fault);
        if (!ok)
            json_decref(object);
    }
    free(line);
    if (ok && ferror(stream))
        return fault_set(fault, FAULT_INVALID, "%s: cannot be read: %s", file, strerror(errno));
    if (ok && plan->n_lines == 0)
        return fault_set(fault, FAULT_INVALID, "%s: there is no input in it", file);
    return ok;
}

static bool read_inputs(struct run_plan *plan, const char *file, struct fault *fault)
{
    FILE *stream = fopen(file, "re");
    if (!stream)
        return fault_set(fault, FAULT_INVALID, "%s: cannot be read: %s", file, strerror(errno));
    plan->from_file = true;
    bool ok = read_lines(plan, file, stream, fault);
    fclose(stream);
    return ok;
}

static bool fill(struct run_plan *plan, const struct run_plan_source *source, struct fault *fault)
{
    const char *input = source->input ? source->input : "{}";
    if (!read_object("--input", input, strlen(input), &plan->input, fault) ||
        !read_varies(plan, source, fault))
        return false;
    if (source->inputs_file && !read_inputs(plan, source->inputs_file, fault))
        return false;
    plan->single = source->count == 0 && !plan->from_file;
    plan->count = source->count ? source->count : plan->from_file ? plan->n_lines : 1;
    return true;
}

bool run_plan_new(const struct run_plan_source *source, struct run_plan **out, struct fault *fault)
{
    struct run_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return fault_no_memory(fault);
    if (getrandom(&plan->random, sizeof plan->random, GRND_NONBLOCK) != sizeof plan->random)
        plan->random = (uint64_t)time(NULL);
    if (!fill(plan, source, fault)) {
        run_plan_free(plan);
        return false;
    }
    *out = plan;
    return true;
}

void run_plan_free(struct run_plan *plan)
{
    if (!plan)
        return;
    for (int64_t i = 0; i < plan->n_lines; i++)
        json_decref(plan->lines[i]);
    free(plan->lines);
    for (int i = 0; i < plan->n_varies; i++)
        free(plan->varies[i].name);
    json_decref(plan->input);
    free(plan);
}

int64_t run_plan_count(const struct run_plan *plan)
{
    return plan->count;
}

bool run_plan_is_single(const struct run_plan *plan)
{
    return plan->single;
}

json_t *run_plan_input(struct run_plan *plan, int64_t seq)
{
    if (!plan->from_file && plan->n_varies == 0)
        return json_incref(plan->input);
    json_t *input = json_copy(plan->input);
    bool ok = input != NULL;
    if (ok && plan->from_file)
        ok = json_object_update(input, plan->lines[seq % plan->n_lines]) == 0;
    for (int i = 0; ok && i < plan->n_varies; i++) {
        const struct vary *vary = &plan->varies[i];
        uint64_t value = (uint64_t)vary->least + draw_up_to(plan, vary->span);
        ok = json_object_set_new(input, vary->name, json_integer((int64_t)value)) == 0;
    }
    if (ok)
        return input;
    json_decref(input);
    return NULL;
}
