#include "expr_tests.h"

int main(void)
{
    int n_failed = 0;
    n_failed += cases_tests();
    n_failed += expression_tests();
    n_failed += scope_tests();
    n_failed += json_lua_tests();
    n_failed += task_tests();
    n_failed += sandbox_tests();
    n_failed += pattern_tests();
    n_failed += memory_tests();
    n_failed += escape_tests();
    n_failed += hang_tests();
    return n_failed ? 1 : 0;
}
