/* Each runs the tests of its file and returns how many failed. */
#pragma once

int command_check_tests(void);
int command_db_tests(void);
int command_demo_tests(void);
int instance_commands_tests(void);
int command_jobs_tests(void);
int command_key_tests(void);
int command_line_tests(void);
int command_locks_tests(void);
int command_publish_tests(void);
int command_run_tests(void);
int command_serve_tests(void);
int database_choice_tests(void);
int hostile_file_tests(void);
int http_guard_tests(void);
int http_head_tests(void);
int http_instances_tests(void);
int http_live_tests(void);
int http_workflows_tests(void);
int run_hosts_tests(void);
int same_key_tests(void);
int status_tests(void);
int take_over_tests(void);
int run_lookup_tests(void);
int run_plan_tests(void);
int run_totals_tests(void);
