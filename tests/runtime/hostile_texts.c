#include "hostile_texts.h"

#define SCRIPT HOSTILE_SCRIPT, false
#define HARMLESS HOSTILE_SCRIPT, true
#define LOCK_CONTEXT HOSTILE_LOCK_CONTEXT, false
#define GUARD HOSTILE_GUARD, false

const struct hostile_text hostile_texts[] = {
    /* Hangs of the stock libraries that a hook and a memory limit do not end. */
    {SCRIPT, "xpcall(function() while true do end end, function() while true do end end)"},
    {SCRIPT, "setmetatable({}, {__gc = function() while true do end end})"},
    {HARMLESS, "local s = string.rep('', 1 << 40)"},
    {SCRIPT, "table.move({}, 1, 1 << 40, 2)"},
    {SCRIPT, "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)"},
    {SCRIPT, "string.find(('a'):rep(60000), ('a*'):rep(15) .. 'b')"},
    {SCRIPT, "('a'):rep(3000):find('.-.-.-.-b')"},

    /* Loops. */
    {SCRIPT, "while true do end"},
    {SCRIPT, "::again:: goto again"},
    {SCRIPT, "while true do pcall(function() while true do end end) end"},
    {SCRIPT, "local function f() pcall(f) pcall(f) end f()"},
    {SCRIPT, "local function f() return 1 + f() end f()"},
    {SCRIPT, "local function f() return pcall(f) end while true do f() end"},
    {SCRIPT, "while true do pcall(error, {}) end"},
    {SCRIPT, "for i in function() return 1 end do end"},
    {SCRIPT,
     "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) t[1] = t[2]"},
    {SCRIPT, "local t = {} for i = 1, 1900 do t = setmetatable({}, {__index = t}) end\n"
             "while true do local x = t.nothing end"},
    {SCRIPT, "local t = setmetatable({}, {__eq = function() while true do end end})\n"
             "return t == setmetatable({}, getmetatable(t))"},

    /* C functions that call back, where nothing can yield. */
    {SCRIPT, "('a'):rep(100):gsub('a', function() while true do end end)"},
    {SCRIPT, "while true do ('ab'):rep(10000):gsub('a', function(c) return c .. 'x' end) end"},
    {SCRIPT, "local t = {} for i = 1, 300000 do t[i] = i end\n"
             "table.sort(t, function(a, b) return a > b end)"},
    {SCRIPT, "local t = {} for i = 1, 1000 do t[i] = i end\n"
             "table.sort(t, function() while true do end end)"},
    {SCRIPT, "local t = {} for i = 1, 5000 do t[i] = i end\n"
             "while true do table.sort(t, function() return true end) end"},
    {SCRIPT, "while true do ('a'):rep(50000):gsub('.-.-.-b', '') end"},
    {SCRIPT, "for w in ('a'):rep(50000):gmatch('.-.-.-b') do end"},
    {SCRIPT, "tostring(setmetatable({}, {__tostring = function() while true do end end}))"},
    {SCRIPT, "log.info(setmetatable({}, {__tostring = function() while true do end end}))"},
    {SCRIPT,
     "table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 60)"},

    /* Memory. */
    {SCRIPT, "local s = 'x' while true do s = s .. s end"},
    {SCRIPT, "local t = {} while true do t[#t + 1] = {} end"},
    {SCRIPT, "local t = {} for i = 1, 1e9 do t['k' .. i] = {} end"},
    {SCRIPT, "while true do pcall(string.rep, 'x', 15 << 20) end"},
    {SCRIPT,
     "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end"},
    {SCRIPT, "local s = ('x'):rep(6 << 20) while true do local u = s:upper() .. s:lower() end"},
    {SCRIPT, "local s = ('9'):rep(6 << 20) while true do local n = s + s | 0 end"},
    {SCRIPT, "local s = ('x'):rep(6 << 20) while true do utf8.len(s) utf8.offset(s, -1) end"},
    {SCRIPT, "while true do pcall(string.format, ('%s'):rep(200), ('x'):rep(90000)) end"},

    /* Keys that share one chain. */
    {SCRIPT, "local t = {} for i = 1, 60000 do t[i * (8191 * 16383 * 32767)] = i end"},
    {SCRIPT, "while true do pcall(function() local t = {}\n"
             "for i = 1, 60000 do t[1 + i * 2^-51] = i end end) end"},

    /* JSON and what a run leaves behind. */
    {SCRIPT, "local t = {} for i = 1, 40 do t = {t, t} end json.encode(t)"},
    {SCRIPT, "local t = {} t.t = t while true do pcall(json.encode, t) end"},
    {SCRIPT, "local s = '[' .. ('{\"a\":0},'):rep(20000) .. '0]' while true do json.decode(s) end"},
    {SCRIPT, "while true do pcall(json.decode, ('['):rep(3 << 20)) end"},
    {SCRIPT, "local t = {} for i = 1, 60000 do t[i] = i end output.t = t"},
    {SCRIPT, "local t = {} for i = 1, 40 do t = {t, t} end output.t = t"},
    {SCRIPT, "output.t = ('x'):rep(15 << 20)"},
    {SCRIPT, "output.s = 'a\\0b'"},
    {SCRIPT, "for i = 1, 1e6 do log.info(i) end"},
    {SCRIPT, "for i = 1, 1e9 do pcall(log.info, ('x'):rep(100000)) end"},
    {SCRIPT, "fail(('x'):rep(10 << 20))"},
    {SCRIPT, "error(('x'):rep(10 << 20))"},
    {SCRIPT, "local t = {} for i = 1, 100000 do t[i] = {i} end error(t)"},
    {SCRIPT, "error(setmetatable({}, {__tostring = function() while true do end end}))"},

    /* Time. */
    {SCRIPT, "sleep(1e9)"},
    {SCRIPT, "sleep(80000)"},
    {SCRIPT, "while true do sleep(0) end"},
    {SCRIPT, "while true do now() uuid() end"},

    /* The database. */
    {SCRIPT, "sql('SELECT pg_sleep(60)')"},
    {SCRIPT, "while true do sql('SELECT pg_sleep(0.01)') end"},
    {SCRIPT, "sql('SELECT count(*) FROM generate_series(1, 1000000000000)')"},
    {SCRIPT, "sql('SELECT generate_series(1, 1000000000000)')"},
    {SCRIPT, "sql('WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r)'\n"
             "  .. ' SELECT n FROM r')"},
    {SCRIPT, "sql('SELECT count(*) FROM many a, many b')"},
    {SCRIPT, "sql([[SELECT repeat('x', 1000000000)]])"},
    {SCRIPT, "sql([[SELECT repeat('x', 1000000), generate_series(1, 1000)]])"},
    {SCRIPT, "sql([[SELECT repeat('x', 10000000)]])\n"
             "local kept = {} while true do kept[#kept + 1] = sql('SELECT * FROM many LIMIT 3000') "
             "end"},
    {SCRIPT, "while true do pcall(sql, 'SELECT * FROM many') end"},
    {SCRIPT, "objects.list('many')"},
    {SCRIPT, "objects.list('many', {order_by = 't'})"},
    {SCRIPT, "sql([[UPDATE item SET t = repeat('x', 300000000) WHERE id = 1]])\n"
             "objects.load('item', {id = 1})"},
    {SCRIPT, "sql('UPDATE item SET t = $1', ('x'):rep(4 << 20))"},
    {SCRIPT, "for i = 1, 1e9 do pcall(objects.new, 'many', {id = -i, t = 'x'}) end"},
    {SCRIPT, "while true do pcall(sql, 'SELECT 1 / 0') end"},

    /* Expressions before the lock is there, and under it. */
    {LOCK_CONTEXT, "(function() while true do end end)()"},
    {LOCK_CONTEXT, "('a'):rep(3000):find('.-.-.-.-b')"},
    {LOCK_CONTEXT, "string.find(('a'):rep(60000), ('a*'):rep(15) .. 'b')"},
    {LOCK_CONTEXT, "table.move({}, 1, 1 << 40, 2)"},
    {LOCK_CONTEXT, "local t = {} for i = 1, 60000 do t[1 + i * 2^-51] = i end return t"},
    {LOCK_CONTEXT, "local s = 'x' while true do s = s .. s end"},
    {LOCK_CONTEXT, "local t = {} for i = 1, 20000 do t[i] = {'p', i} end return t"},
    {LOCK_CONTEXT, "local t = {} t[1] = t return t"},
    {LOCK_CONTEXT, "while true do pcall(error) end"},
    {LOCK_CONTEXT, "('a'):rep(100):gsub('a', function() while true do end end)"},
    {GUARD, "(function() while true do end end)()"},
    {GUARD, "('a'):rep(3000):find('.-.-.-.-b')"},
    {GUARD, "table.move({}, 1, 1 << 40, 2)"},
    {GUARD, "local s = 'x' while true do s = s .. s end"},
    {GUARD, "local t = {} for i = 1, 60000 do t[1 + i * 2^-51] = i end return true"},
    {GUARD, "while true do pcall(function() while true do end end) end"},
    {GUARD, "local function f() pcall(f) pcall(f) end f() return true"},
    {GUARD, "local t = {} for i = 1, 1000 do t[i] = i end\n"
            "table.sort(t, function() while true do end end) return true"},
};

const int n_hostile_texts = sizeof hostile_texts / sizeof *hostile_texts;
