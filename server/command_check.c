#include "command.h"
#include "command_line.h"
#include "definition_open.h"
#include "sandbox.h"

static json_t *problem_to_json(const struct problem *problem)
{
    return json_pack("{s:s, s:i, s:i, s:s}", "severity",
                     problem->severity == PROBLEM_ERROR ? "error" : "warning", "line",
                     problem->line, "column", problem->column, "message", problem->message);
}

/* {"file","valid","reason","problems":[],"hidden"}: hidden ones are counted only */
static json_t *file_to_json(const char *file, const struct problems *problems,
                            const struct fault *fault, bool ok)
{
    json_t *list = json_array();
    for (int i = 0; i < problems->n_items; i++)
        json_array_append_new(list, problem_to_json(&problems->items[i]));
    return json_pack("{s:s, s:b, s:s?, s:o, s:i}", "file", file, "valid", ok, "reason",
                     ok ? NULL : fault->text, "problems", list, "hidden",
                     problems_n_hidden(problems));
}

static bool check_file(const struct command_line *line, struct sandbox *sandbox, const char *file,
                       json_t *files)
{
    struct fault fault;
    struct problems problems;
    struct definition *definition = NULL;
    problems_init(&problems);
    bool ok = definition_file_read(sandbox, file, &definition, &problems, &fault);
    if (!ok || !command_line_has(line, OPTION_QUIET))
        definition_open_print(file, &problems, &fault, !ok);
    json_array_append_new(files, file_to_json(file, &problems, &fault, ok));
    problems_done(&problems);
    definition_free(definition);
    return ok;
}

int command_check(const struct command_line *line)
{
    struct fault fault;
    struct sandbox *sandbox = NULL;
    struct sandbox_limits limits = sandbox_default_limits();
    int exit_code = 0;
    if (!sandbox_new(&limits, &sandbox, &fault))
        return command_fail(&fault);
    json_t *files = json_array();
    for (int i = 0; i < line->n_arguments; i++)
        if (!check_file(line, sandbox, line->arguments[i], files))
            exit_code = 1;
    if (command_line_has(line, OPTION_JSON))
        command_print_json(files);
    json_decref(files);
    sandbox_free(sandbox);
    return exit_code;
}
