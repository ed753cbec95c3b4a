/* Each returns the number of tests that failed. */
#pragma once

int batch_tests(void);
int decimal_tests(void);
int instance_tests(void);
int job_tests(void);
int grant_tests(void);
int outcome_tests(void);
int row_tests(void);
int row_lua_json_tests(void);
int row_lua_tests(void);
int save_tests(void);
int schema_change_tests(void);
int script_objects_tests(void);
int script_tests(void);
int statements_tests(void);
int expiry_tests(void);
int freeze_tests(void);
int hostile_tests(void);
int hosts_tests(void);
int loss_tests(void);
int lost_answer_tests(void);
int pressure_tests(void);
int settings_tests(void);
int stop_tests(void);
int waiting_tests(void);
int workflow_loader_tests(void);
