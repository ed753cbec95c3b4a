#include "base_tests.h"

int main(void)
{
    int n_failed = clock_tests();
    n_failed += duration_tests();
    n_failed += fault_tests();
    n_failed += json_tests();
    n_failed += log_tests();
    n_failed += memory_tests();
    n_failed += number_text_tests();
    n_failed += region_tests();
    n_failed += text_tests();
    n_failed += utf8_tests();
    n_failed += uuid_tests();
    return n_failed != 0;
}
