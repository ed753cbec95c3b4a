#pragma once

/* Each runs the tests of one file and returns how many failed. */
int clock_tests(void);
int duration_tests(void);
int fault_tests(void);
int json_tests(void);
int log_tests(void);
int memory_tests(void);
int number_text_tests(void);
int region_tests(void);
int text_tests(void);
int utf8_tests(void);
int uuid_tests(void);
