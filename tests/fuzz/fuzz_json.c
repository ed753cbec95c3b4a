/*
 * The reader of JSON: it takes what jansson's own does, to the same values; that comes back from
 * its own text, and through Lua, unchanged. An object also goes through the reader of definitions,
 * which must judge it as it judges the same object written anew.
 */
#include "definition_read.h"
#include "fuzz.h"
#include "json_lua.h"
#include "task.h"

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

static bool is_definition(const char *bytes, size_t n_bytes, char *name, size_t name_bytes)
{
    struct definition *definition = NULL;
    struct problems problems;
    problems_init(&problems);
    bool accepted =
        definition_read(sandbox_for_all(), "f.json", bytes, n_bytes, &definition, &problems);
    if (accepted)
        snprintf(name, name_bytes, "%s", definition->name);
    definition_free(definition);
    problems_done(&problems);
    return accepted;
}

static void through_lua(const json_t *value)
{
    struct sandbox *sandbox = sandbox_for_all();
    lua_State *L = sandbox_lua(sandbox);
    struct scope *scope;
    struct fault fault;
    json_t *back = NULL;
    MUST(scope_new(sandbox, &scope, &fault));
    MUST(scope_set_json(scope, "input", value, &fault));
    scope_push(scope, L, "input");
    MUST(json_lua_read(L, -1, "input", &back, &fault));
    MUST(json_equal(back, value));
    lua_pop(L, 1);
    MUST(lua_gettop(L) == 0);
    json_decref(back);
    scope_free(scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct fault fault = {.kind = FAULT_NONE};
    json_t *value = NULL;
    json_t *again = NULL;
    char first[256] = "";
    char second[256] = "";
    json_t *theirs = json_loadb((const char *)bytes, n_bytes,
                                JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
                                /* error= */ NULL);
    bool accepted = is_definition((const char *)bytes, n_bytes, first, sizeof first);
    if (!json_read("f.json", (const char *)bytes, n_bytes, &value, &fault)) {
        MUST(fault.kind == FAULT_INVALID && fault.text[0]);
        MUST(!theirs || strstr(fault.text, "nested deeper") || memchr(bytes, '\0', n_bytes));
        json_decref(theirs);
        return 0;
    }
    MUST(theirs && json_equal(value, theirs));
    json_decref(theirs);
    char *written = json_write(value);
    MUST(written && !strchr(written, '\n'));
    MUST(json_read("f.json", written, strlen(written), &again, &fault));
    MUST(json_equal(value, again) && json_has_zero(value) == json_has_zero(again));
    through_lua(value);
    if (json_is_object(value)) {
        /* YAML is wider than JSON, so only what both take must mean the same. */
        bool accepted_again = is_definition(written, strlen(written), second, sizeof second);
        MUST(accepted == accepted_again && strcmp(first, second) == 0);
    }
    free(written);
    json_decref(again);
    json_decref(value);
    return 0;
}
