/* Each returns the number of tests that failed. */
#pragma once

int pg_array_tests(void);
int pg_column_tests(void);
int pg_fault_tests(void);
int pg_gate_tests(void);
int pg_pipeline_tests(void);
int pg_statements_tests(void);
int pg_conn_tests(void);
int pg_conn_loss_tests(void);
int pg_conninfo_tests(void);
int pg_pool_tests(void);
int pg_proxy_tests(void);
int pg_server_tests(void);
int pg_server_programs_tests(void);
int catalogue_tests(void);
int catalogue_glance_tests(void);
int migration_tests(void);
