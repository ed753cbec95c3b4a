/* The tables of tests of this layer: each returns the number of failures. */
#pragma once

int corpus_tests(void);
int definition_check_tests(void);
int definition_input_tests(void);
int definition_read_tests(void);
int lua_names_tests(void);
int memory_tests(void);
int problems_tests(void);
int spelling_tests(void);
int yaml_tree_tests(void);
