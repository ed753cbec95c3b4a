/*
 * Our pattern functions beside the stock ones. The first two bytes choose the function and where it
 * begins; subject, pattern and replacement are lines. What costs ours too many steps is not asked
 * of the stock ones, which might need for ever.
 */
#include "fuzz.h"
#include "pattern_pair.h"
#include "sandbox_state.h"

#include <string.h>

static const uint8_t *read_text(struct pattern_text *text, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (!stop)
        stop = end;
    size_t length = (size_t)(stop - at);
    *text = (struct pattern_text){.length = 0};
    pattern_text_add(text, (const char *)at,
                     length < PATTERN_TEXT_BYTES ? length : PATTERN_TEXT_BYTES - 1);
    return stop < end ? stop + 1 : end;
}

static int answer_both(lua_State *L)
{
    const struct pattern_case *test = lua_touserdata(L, 1);
    struct sandbox *sandbox = sandbox_of(L);
    struct run run;
    lua_settop(L, 0);
    pattern_pair_open(L);
    run_init(&run, sandbox, /* source= */ NULL, L, /* is_task= */ false);
    run_open(&run);
    pattern_pair_answer(L, PATTERN_OURS, test);
    run_close(&run, LUA_OK);
    lua_sethook(L, NULL, 0, 0);
    if (run.spent == RUN_WITHIN) {
        pattern_pair_answer(L, PATTERN_STOCK, test);
        MUST(pattern_pair_same(L, 3, 4));
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct sandbox_limits limits = sandbox_default_limits();
    struct sandbox *sandbox;
    struct fault fault = {.kind = FAULT_NONE};
    struct pattern_case test = {.kind = 0};
    if (n_bytes < 2)
        return 0;
    const uint8_t *end = bytes + n_bytes;
    test.kind = bytes[0] % PATTERN_N_KINDS;
    test.has_init = bytes[1] & 1;
    test.init = (bytes[1] >> 1) % 32 - 12;
    const uint8_t *at = read_text(&test.subject, bytes + 2, end);
    at = read_text(&test.pattern, at, end);
    read_text(&test.replacement, at, end);
    limits.expression_us = 10 * 1000 * 1000; /* steps alone decide */
    MUST(sandbox_new(&limits, &sandbox, &fault));
    MUST(sandbox_protect(sandbox, answer_both, &test, 0, &fault));
    sandbox_free(sandbox);
    return 0;
}
