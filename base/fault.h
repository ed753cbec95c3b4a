/*
 * A failure as a value. It travels with its request, so two requests in flight can never
 * overwrite each other's message. No heap: copy it freely.
 *
 * A function that can fail returns bool, is MUST_CHECK and takes `struct fault *fault` last. On
 * false, *fault says what went wrong; on true it is untouched. `fault` is never NULL.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define FORMAT_ARGS(text_at, first_at) __attribute__((format(printf, text_at, first_at)))

/* What went wrong, coarse enough to branch on. Each kind has one reaction. */
enum fault_kind {
    FAULT_NONE,      /* nothing failed */
    FAULT_INVALID,   /* the caller's input is wrong: report it, never retry */
    FAULT_MISSING,   /* the named thing does not exist: report it */
    FAULT_CONFLICT,  /* lost a race or a lock: retry later */
    FAULT_DATABASE,  /* PostgreSQL refused or is away: see sqlstate */
    FAULT_SCRIPT,    /* a Lua expression or script raised */
    FAULT_EXHAUSTED, /* memory or a limit ran out: give this request up, the host goes on */
    FAULT_CANCELLED, /* asked to stop before the end */
    FAULT_UNKNOWN,   /* the commit's answer was lost: look it up, never retry */
};

enum {
    FAULT_TEXT_BYTES = 512,
};

struct fault {
    enum fault_kind kind;
    char sqlstate[6];            /* five characters from PostgreSQL, or "" */
    char text[FAULT_TEXT_BYTES]; /* one English sentence, no newline */
};

/* Fills *fault and is false, so that a failing path is one line:
 *     return fault_set(fault, FAULT_INVALID, "activity '%s' has no type", id);
 * Longer texts are cut; newlines become spaces. A macro, so that compilers and analysers see that
 * it is never true. */
#define fault_set(...) (fault_write(__VA_ARGS__), fault_failed())
void fault_write(struct fault *fault, enum fault_kind kind, const char *format, ...)
    FORMAT_ARGS(3, 4);
static inline bool fault_failed(void)
{
    return false;
}

/* The same for memory that could not be had. */
static inline bool fault_no_memory(struct fault *fault)
{
    return fault_set(fault, FAULT_EXHAUSTED, "out of memory");
}

/* Puts "CONTEXT: " before the text of a fault that is already set. Returns false. */
bool fault_prefix(struct fault *fault, const char *format, ...) FORMAT_ARGS(2, 3);
