/* The tables of tests of this layer: each returns its number of failures. */
#pragma once

int cases_tests(void);
int expression_tests(void);
int escape_tests(void);
int hang_tests(void);
int json_lua_tests(void);
int memory_tests(void);
int pattern_tests(void);
int sandbox_tests(void);
int scope_tests(void);
int task_tests(void);
