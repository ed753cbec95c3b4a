-- Tells the hosts that a lease ended. $1: the schema. Never in a transaction that does work: NOTIFY
-- takes a lock that the whole server shares.
SELECT pg_catalog.pg_notify('latchkey_leases', $1::text)
