/* One function a file: runs its tests and returns how many failed. */
#pragma once

int invoice_payment_tests(void);
int package_latest_tests(void);
int package_race_tests(void);
int two_hosts_tests(void);
