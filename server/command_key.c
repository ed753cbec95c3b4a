#include "command.h"
#include "command_line.h"
#include "database_choice.h"
#include "definition_open.h"
#include "runtime.h"
#include "sandbox.h"
#include "spelling.h"

#include <stdlib.h>
#include <string.h>

static bool read_object(const struct command_line *line, enum command_option option,
                        const char *what, json_t **out, struct fault *fault)
{
    const char *text = command_line_value(line, option);
    if (!text)
        return true;
    if (!json_read(what, text, strlen(text), out, fault))
        return false;
    return json_is_object(*out) || fault_set(fault, FAULT_INVALID, "%s is not an object", what);
}

static bool find_activity(const struct definition *definition, const char *name,
                          const struct activity **out, struct fault *fault)
{
    struct spelling spelling = {0};
    *out = definition_activity(definition, name);
    if (*out)
        return true;
    for (int i = 0; i < definition->n_activities; i++)
        spelling_consider(&spelling, name, definition->activities[i].name);
    if (spelling.nearest)
        return fault_set(fault, FAULT_INVALID, "%s has no activity '%s'; did you mean '%s'?",
                         definition->file, name, spelling.nearest);
    return fault_set(fault, FAULT_INVALID, "%s has no activity '%s'", definition->file, name);
}

static void print_paths(char **paths, int n_paths, bool as_json)
{
    json_t *list = json_array();
    for (int i = 0; i < n_paths; i++) {
        json_array_append_new(list, json_string(paths[i]));
        if (!as_json)
            puts(paths[i]);
    }
    if (as_json)
        command_print_json(list);
    json_decref(list);
}

static bool print_key(const struct command_line *line, struct sandbox *sandbox,
                      const struct definition *definition, struct fault *fault)
{
    char schema[SCHEMA_BYTES];
    const struct activity *activity;
    char **paths = NULL;
    int n_paths = 0;
    json_t *data = NULL;
    json_t *input = NULL;
    bool ok = database_choose_schema(line, schema, fault) &&
              find_activity(definition, line->arguments[1], &activity, fault) &&
              read_object(line, OPTION_INPUT, "--input", &input, fault) &&
              read_object(line, OPTION_DATA, "--data", &data, fault);
    if (ok && !input) {
        input = json_object();
        ok = input || fault_no_memory(fault);
    }
    ok = ok &&
         workflow_key(sandbox, definition, activity, input, data, schema, &paths, &n_paths, fault);
    if (ok)
        print_paths(paths, n_paths, command_line_has(line, OPTION_JSON));
    for (int i = 0; i < n_paths; i++)
        free(paths[i]);
    free(paths);
    json_decref(input);
    json_decref(data);
    return ok;
}

int command_key(const struct command_line *line)
{
    struct fault fault;
    struct sandbox *sandbox = NULL;
    struct definition *definition = NULL;
    struct sandbox_limits limits = sandbox_default_limits();
    int exit_code = 0;
    if (!sandbox_new(&limits, &sandbox, &fault))
        return command_fail(&fault);
    if (!definition_open(sandbox, line->arguments[0], command_line_has(line, OPTION_QUIET),
                         &definition, &fault))
        exit_code = EXIT_USAGE; /* told already */
    else if (!print_key(line, sandbox, definition, &fault))
        exit_code = command_fail(&fault);
    definition_free(definition);
    sandbox_free(sandbox);
    return exit_code;
}
