-- The same SQL in one pipeline. What was read cannot come back in time to be used, so the UPDATE
-- adds by itself.
\set id @draw@
\startpipeline
BEGIN;
SELECT set_config('lock_timeout', '10000', true), set_config('statement_timeout', '15000', true), set_config('idle_in_transaction_session_timeout', '5000', true);
SELECT pg_advisory_xact_lock(@lock@);
SELECT read FROM @table@ WHERE id = :id;
UPDATE @table@ SET read = read + 1 WHERE id = :id;
COMMIT;
\endpipeline
