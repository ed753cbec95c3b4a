#include "source.h"

#include "failure.h"
#include "sandbox_state.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool source_init(struct source *source, const char *file, const char *what, int line,
                 struct fault *fault)
{
    *source = (struct source){.file = strdup(file), .what = strdup(what), .line = line};
    return source->file && source->what ? true : fault_no_memory(fault);
}

void source_done(struct source *source)
{
    free(source->file);
    free(source->what);
    *source = (struct source){0};
}

void source_place(const struct source *source, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s:%d: %s", source->file, source->line, source->what);
}

/* The text as the compiler reads it: newlines up to the right line, then the parts. */
struct reading {
    int n_newlines;
    struct {
        const char *bytes;
        size_t n_bytes;
    } parts[3];
    int next_part;
};

static const char *read_on(lua_State *L, void *arg, size_t *n_bytes)
{
    static const char newlines[] =
        "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n";
    (void)L;
    struct reading *reading = arg;
    if (reading->n_newlines > 0) {
        int most = (int)sizeof newlines - 1;
        int n = reading->n_newlines < most ? reading->n_newlines : most;
        reading->n_newlines -= n;
        *n_bytes = (size_t)n;
        return newlines;
    }
    while (reading->next_part < 3) {
        int i = reading->next_part++;
        *n_bytes = reading->parts[i].n_bytes;
        if (*n_bytes)
            return reading->parts[i].bytes;
    }
    *n_bytes = 0;
    return NULL;
}

bool source_load(struct sandbox *sandbox, const struct source *source, const char *head,
                 const char *text, size_t n_bytes, const char *tail, struct fault *fault)
{
    lua_State *L = sandbox->L;
    struct reading reading = {
        .n_newlines = source->line - 1,
        .parts = {{head, strlen(head)}, {text, n_bytes}, {tail, strlen(tail)}},
    };
    size_t name_bytes = strlen(source->file) + 2;
    char *name = malloc(name_bytes);
    if (!name || !lua_checkstack(L, 4)) {
        free(name);
        return fault_no_memory(fault);
    }
    snprintf(name, name_bytes, "@%s", source->file);
    sandbox->compiles = true;
    sandbox->collided = false;
    int status = lua_load(L, read_on, &reading, name, "t");
    sandbox->compiles = false;
    free(name);
    if (status != LUA_OK && sandbox->collided) {
        lua_pop(L, 1);
        return fault_set(fault, FAULT_INVALID, "%s:%d: %s: its constants collide", source->file,
                         source->line, source->what);
    }
    if (status != LUA_OK) {
        failure_from_error(L, status, FAULT_INVALID, source, fault);
        lua_pop(L, 1);
        return false;
    }
    lua_pushnil(L);
    lua_setupvalue(L, -2, 1);
    return true;
}

static int keep(lua_State *L)
{
    int *ref = lua_touserdata(L, 1);
    *ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

bool source_keep(struct sandbox *sandbox, int *ref, struct fault *fault)
{
    *ref = LUA_NOREF;
    return sandbox_protect(sandbox, keep, ref, 1, fault);
}

bool source_acceptable(const struct source *source, const struct source_tokens *tokens,
                       struct fault *fault)
{
    enum { BRANCHES_MAX = 5000 };
    if (tokens->n_branches > BRANCHES_MAX)
        return fault_set(fault, FAULT_INVALID, "%s:%d: %s: has over %d branches", source->file,
                         source->line, source->what, BRANCHES_MAX);
    if (tokens->binds_constant_env)
        return fault_set(fault, FAULT_INVALID, "%s:%d: %s: _ENV takes no attribute", source->file,
                         source->line, source->what);
    return text_ok(&tokens->names, fault);
}
