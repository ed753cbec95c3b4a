/* test_runtime [GROUP]: all groups of tests, or one. */
#include "runtime_tests.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"answer_size", answer_size_tests},
    {"action", action_tests},
    {"batch", batch_tests},
    {"busy_poll", busy_poll_tests},
    {"chain", chain_tests},
    {"decimal", decimal_tests},
    {"early", early_tests},
    {"early_more", early_more_tests},
    {"early_loss", early_loss_tests},
    {"definition_publish", definition_publish_tests},
    {"definition_refresh", definition_refresh_tests},
    {"definition_reload", definition_reload_tests},
    {"definition_hosts", definition_hosts_tests},
    {"instance", instance_tests},
    {"job", job_tests},
    {"key_tries", key_tries_tests},
    {"load", load_tests},
    {"job_claim", job_claim_tests},
    {"lock_peek", lock_peek_tests},
    {"idempotency", idempotency_tests},
    {"outcome", outcome_tests},
    {"pace", pace_tests},
    {"plain_input", plain_input_tests},
    {"retention", retention_tests},
    {"row", row_tests},
    {"row_security", row_security_tests},
    {"save_in_place", save_in_place_tests},
    {"save", save_tests},
    {"save_order", save_order_tests},
    {"schema_change", schema_change_tests},
    {"script", script_tests},
    {"script_objects", script_objects_tests},
    {"statements", statements_tests},
    {"row_memory", row_memory_tests},
    {"row_lua", row_lua_tests},
    {"row_lua_json", row_lua_json_tests},
    {"settings", settings_tests},
    {"table_foresight", table_foresight_tests},
    {"grant", grant_tests},
    {"waiting", waiting_tests},
    {"waiting_join", waiting_join_tests},
    {"expiry", expiry_tests},
    {"lease", lease_tests},
    {"lease_end", lease_end_tests},
    {"lease_flow", lease_flow_tests},
    {"lease_wait", lease_wait_tests},
    {"flow_loss", flow_loss_tests},
    {"flow_stop", flow_stop_tests},
    {"freeze", freeze_tests},
    {"loss", loss_tests},
    {"lost_answer", lost_answer_tests},
    {"bad_answer", bad_answer_tests},
    {"memory", memory_tests},
    {"hosts", hosts_tests},
    {"hostile", hostile_tests},
    {"mixture", mixture_tests},
    {"neighbours", neighbours_tests},
    {"lock_break", lock_break_tests},
    {"lock_table", lock_table_tests},
    {"locks_view", locks_view_tests},
    {"pooler", pooler_tests},
    {"pooler_session", pooler_session_tests},
    {"pressure", pressure_tests},
    {"sql_check", sql_check_tests},
    {"stop", stop_tests},
    {"watchdog", watchdog_tests},
    {"workflow_loader", workflow_loader_tests},
};

int main(int argc, char **argv)
{
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (argc < 2 || strcmp(argv[1], groups[i].name) == 0)
            n_failed += groups[i].run();
    return n_failed != 0;
}
