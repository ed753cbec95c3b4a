#include "locks_tests.h"

int main(void)
{
    int n_failed = 0;
    n_failed += lock_path_tests();
    n_failed += lock_set_tests();
    n_failed += lock_context_tests();
    n_failed += lock_context_source_tests();
    n_failed += lock_queue_tests();
    n_failed += lock_queue_model_tests();
    n_failed += memory_tests();
    n_failed += lock_sql_tests();
    n_failed += lock_sql_wait_tests();
    return n_failed > 0;
}
