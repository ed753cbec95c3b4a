/*
 * One run of a script: a coroutine that may yield to the host and be resumed.
 *
 *   task_new --> task_resume --> TASK_YIELDED --(host has the answer)--> task_resume ...
 *                            --> TASK_SLICED   (ran for a slice; resume it from the event loop)
 *                            --> TASK_DONE
 *                            --> TASK_FAILED
 *
 * The host adds functions to the scope; such a function finds its task by task_of and yields with
 * lua_yield. pcall in the script neither sees nor swallows a yield, a slice or a spent limit.
 */
#pragma once
#include "expression.h"
#include "sandbox.h"
#include "scope.h"

struct chunk; /* a compiled script */
struct task;

/* Statements only. Names copied, *out yours to chunk_free; FAULT_INVALID, "FILE:LINE: reason". */
MUST_CHECK bool chunk_compile(struct sandbox *sandbox, const char *file, const char *what,
                              struct lua_source source, struct chunk **out, struct fault *fault);
void chunk_free(struct chunk *chunk);

enum task_state {
    TASK_DONE,    /* the script returned; its values are on task_lua's stack */
    TASK_YIELDED, /* a host function yielded; its values are on task_lua's stack */
    TASK_SLICED,  /* the script ran for limits.slice_us and was stopped for a moment */
    TASK_FAILED,  /* it raised, or a limit is spent: *fault, "FILE:LINE: reason"; FAULT_SCRIPT, or
                   * FAULT_EXHAUSTED when the whole state has no memory left */
};

/* host is kept for task_host. The task must be freed before chunk, scope and sandbox. */
MUST_CHECK bool task_new(struct sandbox *sandbox, struct chunk *chunk, struct scope *scope,
                         void *host, struct task **out, struct fault *fault);
void task_free(struct task *task);

/* Runs on. n_args values on top of task_lua's stack become the results of the yielding function.
 * Must not be called after TASK_DONE or TASK_FAILED. */
enum task_state task_resume(struct task *task, int n_args, struct fault *fault);

/* How long others should have the processor before it is resumed after TASK_SLICED: as long as its
 * slice took, if that could not be ended in time, else 0. */
int64_t task_pause_us(const struct task *task);

/* Counts what the host has added to the state for the task between two resumes, or taken away. */
void task_count_bytes(struct task *task, int64_t bytes);

/* The coroutine. The state stays readable until task_free, also after TASK_DONE and TASK_FAILED. */
lua_State *task_lua(struct task *task);

/* How many values the last task_resume left on top of task_lua's stack. */
int task_n_values(const struct task *task);

/* The task whose code is running on L, and what its host gave. Never NULL inside a task; NULL when
 * L runs an expression: what the host puts into a scope is visible to its expressions too, so a
 * function that is not pure must refuse to work then. */
struct task *task_of(lua_State *L);
void *task_host(struct task *task);

/* Pushes on L what the script itself assigned to the global `name`, nil if nothing. May raise. */
void task_push_global(const struct task *task, lua_State *L, const char *name);
