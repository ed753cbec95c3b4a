/* The string library: stock functions that are bounded by their result, and our own where they are
 * not, or where they would show addresses. */
#include "libraries.h"

#include "run.h"
#include "sandbox_state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

static const char *const stock_names[] = {"byte",    "char", "len",    "lower", "pack", "packsize",
                                          "reverse", "sub",  "unpack", "upper", NULL};

/* Half of what one run may use: the text is made in a buffer first. */
static size_t result_max(lua_State *L)
{
    const struct sandbox *sandbox = sandbox_of(L);
    return sandbox->run ? (size_t)sandbox->run->bytes_max / 2 : sandbox->limits.state_bytes;
}

static int string_rep(lua_State *L)
{
    size_t length, separator_length;
    const char *string = luaL_checklstring(L, 1, &length);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &separator_length);
    size_t most = result_max(L);
    if (n <= 0 || length + separator_length == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((lua_Unsigned)n > most / (length + separator_length))
        return luaL_error(L, "resulting string too large");
    size_t unit = length + separator_length;
    size_t total = (size_t)n * unit - separator_length;
    luaL_Buffer buffer;
    char *out = luaL_buffinitsize(L, &buffer, total);
    size_t done = unit < total ? unit : total;
    memcpy(out, string, length);
    memcpy(out + length, separator, done - length);
    while (done < total) {
        size_t more = done < total - done ? done : total - done;
        memcpy(out + done, out, more);
        done += more;
    }
    luaL_pushresultsize(&buffer, total);
    return 1;
}

/* Our tostring for the arguments of %s, no %p; then the stock function, whose own checks bound the
 * widths. */
static int string_format(lua_State *L)
{
    size_t length;
    const char *format = luaL_checklstring(L, 1, &length);
    const char *end = format + length;
    int n_args = lua_gettop(L);
    int arg = 1;
    for (const char *at = format; at < end; at++) {
        if (*at != '%')
            continue;
        if (++at < end && *at == '%')
            continue;
        while (at < end && strchr("-+ #0123456789.", *at) && *at)
            at++;
        if (at == end)
            break;
        arg++;
        run_charge(L, 1);
        if (*at == 'p')
            return luaL_error(L, "invalid conversion '%%p' to 'format'");
        if (*at == 's' && arg <= n_args && !lua_isstring(L, arg)) {
            base_library_text(L, arg);
            lua_replace(L, arg);
        }
    }
    /* In this very frame, so that its errors name the line of the caller. */
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

void string_library_open(lua_State *L)
{
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (const char *const *name = stock_names; *name; name++) {
        lua_getfield(L, -2, *name);
        lua_setfield(L, -2, *name);
    }
    lua_pushcfunction(L, string_rep);
    lua_setfield(L, -2, "rep");
    lua_getfield(L, -2, "format");
    lua_pushcclosure(L, string_format, 1);
    lua_setfield(L, -2, "format");
    pattern_library_add(L);
    lua_remove(L, -2);

    /* Opening the stock library gave strings a metatable, with the arithmetic on numerals. */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}
