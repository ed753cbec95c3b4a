/* Each returns the number of tests that failed. */
#pragma once

int decimal_tests(void);
int outcome_tests(void);
int row_tests(void);
int row_lua_json_tests(void);
int row_lua_tests(void);
int utf8_tests(void);
