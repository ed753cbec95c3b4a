/* The reader of definitions: any bytes are either a definition or have an error with its place. */
#include "definition_read.h"
#include "fuzz.h"

#include <string.h>

static struct sandbox *sandbox_for_all(void)
{
    static struct sandbox *sandbox;
    struct sandbox_limits limits = sandbox_default_limits();
    struct fault fault;
    if (!sandbox)
        MUST(sandbox_new(&limits, &sandbox, &fault));
    return sandbox;
}

static void check_problems(const struct problems *problems, size_t n_bytes)
{
    struct text printed;
    text_init(&printed, 64 << 20);
    int n_errors = 0;
    for (int i = 0; i < problems->n_items; i++) {
        const struct problem *problem = &problems->items[i];
        n_errors += problem->severity == PROBLEM_ERROR;
        MUST(problem->line >= 1 && (size_t)problem->line <= n_bytes + 1);
        MUST(problem->column >= 1 && (size_t)problem->column <= n_bytes + 1);
        MUST(problem->message[0] && !strchr(problem->message, '\n'));
        if (i > 0)
            MUST(problem[-1].line < problem->line ||
                 (problem[-1].line == problem->line && problem[-1].column <= problem->column));
    }
    MUST(!problems->out_of_memory && n_errors == problems->n_errors);
    problems_print(problems, "f.yaml", &printed);
    MUST(!printed.failed);
    text_done(&printed);
}

static void check_definition(const struct definition *definition)
{
    MUST(definition->name && definition->n_activities > 0);
    MUST(definition->start >= 0 && definition->start < definition->n_activities);
    for (int i = 0; i < definition->n_activities; i++) {
        const struct activity *activity = &definition->activities[i];
        MUST(definition_activity(definition, activity->name) == activity);
        MUST(activity->waiting_timeout_ms > 0 && activity->acquire_timeout_ms >= 0);
        for (int k = 0; k < activity->n_navigation; k++)
            MUST(activity->navigation[k].to >= 0 &&
                 activity->navigation[k].to < definition->n_activities);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct definition *definition = NULL;
    struct problems problems;
    const char *source = (const char *)bytes;
    problems_init(&problems);
    bool accepted =
        definition_read(sandbox_for_all(), "f.yaml", source, n_bytes, &definition, &problems);
    MUST(accepted == (problems.n_errors == 0) && accepted == (definition != NULL));
    check_problems(&problems, n_bytes);
    if (accepted) {
        check_definition(definition);
        MUST(definition->source_bytes == n_bytes &&
             memcmp(definition->source, source, n_bytes) == 0);
    }
    definition_free(definition);
    problems_done(&problems);
    return 0;
}
