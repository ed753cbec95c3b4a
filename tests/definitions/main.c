#include "definitions_tests.h"

int main(void)
{
    int n_failed = 0;
    n_failed += problems_tests();
    n_failed += spelling_tests();
    n_failed += yaml_tree_tests();
    n_failed += lua_names_tests();
    n_failed += definition_read_tests();
    n_failed += definition_check_tests();
    n_failed += definition_input_tests();
    n_failed += memory_tests();
    n_failed += corpus_tests();
    return n_failed > 0;
}
