/* Each table of tests of this layer: runs it and returns how many failed. */
#pragma once

int lock_path_tests(void);
int lock_set_tests(void);
int lock_context_tests(void);
int lock_context_source_tests(void);
int lock_queue_tests(void);
int lock_queue_model_tests(void);
int lock_sql_tests(void);
int lock_sql_wait_tests(void);
int memory_tests(void);
