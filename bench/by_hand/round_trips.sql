-- By hand, a round trip a statement. The words between at-signs are the load's.
\set id @draw@
BEGIN;
SELECT set_config('lock_timeout', '10000', true), set_config('statement_timeout', '15000', true), set_config('idle_in_transaction_session_timeout', '5000', true);
SELECT pg_advisory_xact_lock(@lock@);
SELECT read AS seen FROM @table@ WHERE id = :id \gset
@pause@
UPDATE @table@ SET read = :seen + 1 WHERE id = :id;
COMMIT;
