#include "base_tests.h"
#include "region.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    struct region region;
    unsigned char *taken[200];
    (void)state;
    region_init(&region, 1 << 20);
    for (size_t i = 0; i < 200; i++) {
        taken[i] = region_take(&region, i + 1);
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j <= i; j++)
            assert_int_equal(taken[i][j], 0);
        memset(taken[i], (int)i, i + 1);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t j = 0; j <= i; j++)
            assert_int_equal(taken[i][j], i);
    region_done(&region);
}

static void a_piece_may_be_larger_than_a_block(void **state)
{
    struct region region;
    (void)state;
    region_init(&region, 1 << 20);
    char *small = region_copy_chars(&region, "small");
    char *large = region_take(&region, 100000);
    char *next = region_copy_chars(&region, "next");
    assert_non_null(large);
    memset(large, 'x', 100000);
    assert_string_equal(small, "small");
    assert_string_equal(next, "next");
    region_done(&region);
}

static void nothing_is_handed_out_over_the_limit(void **state)
{
    struct region region;
    (void)state;
    region_init(&region, 64);
    assert_non_null(region_take(&region, 32));
    assert_null(region_take(&region, 33));
    assert_null(region_take(&region, SIZE_MAX));
    assert_null(region_copy(&region, "", SIZE_MAX - 1));
    assert_non_null(region_take(&region, 32));
    assert_null(region_take(&region, 1));
    assert_int_equal(region.used_bytes, 64);
    region_done(&region);
}

static void small_pieces_cannot_pass_the_limit_by_rounding(void **state)
{
    struct region region;
    int n = 0;
    (void)state;
    region_init(&region, 4096);
    while (n <= 4096 && region_take(&region, 1))
        n++;
    assert_in_range(n, 1, 4096 / alignof(max_align_t));
    region_done(&region);
}

static void copies_end_in_a_nul_of_their_own(void **state)
{
    struct region region;
    (void)state;
    region_init(&region, 1000);
    assert_string_equal(region_copy(&region, "message/42", 7), "message");
    assert_string_equal(region_copy(&region, NULL, 0), "");
    assert_memory_equal(region_copy(&region, "a\0b", 3), "a\0b", 4);
    assert_string_equal(region_copy_chars(&region, ""), "");
    region_done(&region);
}

static void after_done_it_is_empty_and_done_again_is_fine(void **state)
{
    struct region region;
    (void)state;
    region_init(&region, 64);
    assert_non_null(region_take(&region, 64));
    region_done(&region);
    region_done(&region);
    assert_int_equal(region.used_bytes, 0);
    assert_non_null(region_take(&region, 64));
    region_done(&region);
}

int region_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(a_piece_may_be_larger_than_a_block),
        cmocka_unit_test(nothing_is_handed_out_over_the_limit),
        cmocka_unit_test(small_pieces_cannot_pass_the_limit_by_rounding),
        cmocka_unit_test(copies_end_in_a_nul_of_their_own),
        cmocka_unit_test(after_done_it_is_empty_and_done_again_is_fine),
    };
    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
