#include "task.h"

#include "failure.h"
#include "sandbox_state.h"
#include "scope_state.h"
#include "source.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

struct chunk {
    struct sandbox *sandbox;
    struct source source;
    int function_ref;
};

struct task {
    struct sandbox *sandbox;
    struct chunk *chunk;
    struct scope *scope;
    void *host;
    lua_State *L;
    int thread_ref;
    int globals_ref;
    int n_values; /* that the last resume left on top of the stack */
    bool is_over;
    struct run run;
};

static bool compile(struct chunk *chunk, const char *file, const char *what,
                    struct lua_source source, struct fault *fault)
{
    const char *text = source.text ? source.text : "";
    struct source_tokens tokens;
    if (!source_init(&chunk->source, file, what, source.line, fault))
        return false;
    source_scan(text, &tokens);
    bool ok = source_acceptable(&chunk->source, &tokens, fault);
    text_done(&tokens.names);
    return ok &&
           source_load(chunk->sandbox, &chunk->source, "local _ENV = ...; ", text, tokens.n_bytes,
                       "", fault) &&
           source_keep(chunk->sandbox, &chunk->function_ref, fault);
}

bool chunk_compile(struct sandbox *sandbox, const char *file, const char *what,
                   struct lua_source source, struct chunk **out, struct fault *fault)
{
    struct chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk)
        return fault_no_memory(fault);
    chunk->sandbox = sandbox;
    chunk->function_ref = LUA_NOREF;
    if (!compile(chunk, file, what, source, fault)) {
        chunk_free(chunk);
        return false;
    }
    *out = chunk;
    return true;
}

void chunk_free(struct chunk *chunk)
{
    if (!chunk)
        return;
    if (lua_checkstack(chunk->sandbox->L, 4))
        luaL_unref(chunk->sandbox->L, LUA_REGISTRYINDEX, chunk->function_ref);
    source_done(&chunk->source);
    free(chunk);
}

/* Makes the coroutine, with the function and its globals on its stack. */
static int open_task(lua_State *L)
{
    struct task *task = lua_touserdata(L, 1);
    struct scope *scope = task->scope;
    if (scope->thread) { /* one that has ended: as good as new, and cheaper */
        task->L = scope->thread;
        task->thread_ref = scope->thread_ref;
        scope->thread = NULL;
        scope->thread_ref = LUA_NOREF;
    } else {
        task->L = lua_newthread(L);
        task->thread_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    *(struct task **)lua_getextraspace(task->L) = task;
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->chunk->function_ref);
    lua_createtable(L, 0, 4); /* globals */
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->task_metatable_ref);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    task->globals_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_xmove(L, task->L, 2);
    return 0;
}

bool task_new(struct sandbox *sandbox, struct chunk *chunk, struct scope *scope, void *host,
              struct task **out, struct fault *fault)
{
    struct task *task = calloc(1, sizeof *task);
    if (!task)
        return fault_no_memory(fault);
    task->sandbox = sandbox;
    task->chunk = chunk;
    task->scope = scope;
    task->host = host;
    task->thread_ref = LUA_NOREF;
    task->globals_ref = LUA_NOREF;
    if (!sandbox_protect(sandbox, open_task, task, 0, fault)) {
        task_free(task);
        return false;
    }
    run_init(&task->run, sandbox, &chunk->source, task->L, /* is_task= */ true);
    task->n_values = 1; /* the globals: the argument of the first resume */
    *out = task;
    return true;
}

void task_free(struct task *task)
{
    if (!task)
        return;
    assert(task->sandbox->run != &task->run);
    /* A suspended coroutine is left to the garbage collector: nothing of it runs again, since no
     * table of a script has __gc or __close. */
    if (task->L)
        *(struct task **)lua_getextraspace(task->L) = NULL;
    if (task->L && task->is_over && lua_status(task->L) == LUA_OK && !task->scope->thread) {
        lua_settop(task->L, 0);
        task->scope->thread = task->L;
        task->scope->thread_ref = task->thread_ref;
        task->thread_ref = LUA_NOREF;
    }
    if (lua_checkstack(task->sandbox->L, 4)) {
        luaL_unref(task->sandbox->L, LUA_REGISTRYINDEX, task->thread_ref);
        luaL_unref(task->sandbox->L, LUA_REGISTRYINDEX, task->globals_ref);
    }
    free(task);
}

static enum task_state fail(struct task *task, int status, struct fault *fault)
{
    const struct source *source = &task->chunk->source;
    char place[FAULT_TEXT_BYTES / 2];
    task->is_over = true;
    source_place(source, place, sizeof place);
    if (task->run.spent != RUN_WITHIN)
        run_fault(&task->run, place, fault);
    else
        failure_from_error(task->L, status, FAULT_SCRIPT, source, fault);
    return TASK_FAILED;
}

enum task_state task_resume(struct task *task, int n_args, struct fault *fault)
{
    assert(!task->is_over);
    bool is_first = lua_status(task->L) == LUA_OK;
    task->n_values = 0;
    run_open(&task->run);
    int status = lua_resume(task->L, task->sandbox->L, is_first ? 1 : n_args, &task->n_values);
    run_close(&task->run, status);
    if (task->run.spent != RUN_WITHIN || (status != LUA_OK && status != LUA_YIELD))
        return fail(task, status, fault);
    if (status == LUA_OK) {
        task->is_over = true;
        return TASK_DONE;
    }
    return task->run.was_sliced ? TASK_SLICED : TASK_YIELDED;
}

int64_t task_pause_us(const struct task *task)
{
    enum { LATE_US = 2000 };
    const struct run *run = &task->run;
    return run->stretch_us > run->time_us + LATE_US ? run->stretch_us : 0;
}

void task_count_bytes(struct task *task, int64_t bytes)
{
    struct run *run = &task->run;
    run->bytes_left -= bytes;
    if (run->bytes_left > run->bytes_max)
        run->bytes_left = run->bytes_max;
}

lua_State *task_lua(struct task *task)
{
    return task->L;
}

int task_n_values(const struct task *task)
{
    return task->n_values;
}

struct task *task_of(lua_State *L)
{
    return *(struct task **)lua_getextraspace(L);
}

void *task_host(struct task *task)
{
    return task->host;
}

void task_push_global(const struct task *task, lua_State *L, const char *name)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->globals_ref);
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    lua_remove(L, -2);
}
