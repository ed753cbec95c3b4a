#include "command.h"
#include "command_line.h"
#include "definition_open.h"
#include "run_target.h"
#include "sandbox.h"
#include "session.h"

#include <stdlib.h>

static bool read_files(const struct command_line *line, struct definition **definitions,
                       struct fault *fault)
{
    struct sandbox *sandbox = NULL;
    struct sandbox_limits limits = sandbox_default_limits();
    bool ok = true;
    if (!sandbox_new(&limits, &sandbox, fault))
        return false;
    for (int i = 0; i < line->n_arguments; i++)
        if (!definition_open(sandbox, line->arguments[i], command_line_has(line, OPTION_QUIET),
                             &definitions[i], fault))
            ok = false;
    sandbox_free(sandbox);
    return ok;
}

static bool publish_one(const struct command_line *line, struct session *session,
                        struct definition **definition, int base, json_t *list, struct fault *fault)
{
    char publisher[PUBLISHER_BYTES];
    struct workflow *workflow;
    bool published = false;
    run_target_publisher(publisher);
    if (!runtime_publish(session->runtime, *definition, base, publisher, &workflow, &published,
                         fault))
        return false;
    *definition = NULL; /* the runtime's now */
    const char *name = workflow_definition(workflow)->name;
    int version = workflow_version(workflow);
    json_array_append_new(list, json_pack("{s:s, s:i, s:b}", "workflow", name, "version", version,
                                          "published", published));
    if (!command_line_has(line, OPTION_JSON))
        printf("%s %d %s\n", name, version, published ? "published" : "unchanged");
    return true;
}

static int publish_all(const struct command_line *line, struct definition **definitions, int base)
{
    struct fault fault;
    struct session session;
    json_t *list = json_array();
    bool ok = session_open(line, &session, SESSION_POOL_LONE, &fault);
    for (int i = 0; ok && i < line->n_arguments; i++)
        ok = publish_one(line, &session, &definitions[i], base, list, &fault);
    session_close(&session);
    if (command_line_has(line, OPTION_JSON))
        command_print_json(list);
    json_decref(list);
    return ok ? 0 : command_fail(&fault);
}

int command_publish(const struct command_line *line)
{
    struct fault fault;
    int64_t base = -1;
    int exit_code = EXIT_USAGE;
    if (!command_line_integer(line, OPTION_BASE, 0, INT32_MAX, &base, &fault))
        return command_fail(&fault);
    if (base >= 0 && line->n_arguments > 1) {
        fault_set(&fault, FAULT_INVALID, "--base goes with one file");
        return command_fail(&fault);
    }
    struct definition **definitions = calloc((size_t)line->n_arguments, sizeof *definitions);
    if (!definitions) {
        fault_no_memory(&fault);
        return command_fail(&fault);
    }
    if (read_files(line, definitions, &fault)) /* problems were told */
        exit_code = publish_all(line, definitions, (int)base);
    for (int i = 0; i < line->n_arguments; i++)
        definition_free(definitions[i]);
    free(definitions);
    return exit_code;
}
