-- The same work in one function of the server: tables.sql.
\set id @draw@
SELECT read_message(:id, @lock@, @pause_seconds@);
