-- What each transaction pays for, made cheaper.

-- PostgreSQL reads and prepares the CHECKs of a table anew for each statement that inserts into it,
-- which was a tenth of what an execution by itself cost the server. All states are constants of
-- latchkey's own statements, or those of one enum that their program knows (runtime/instance.h): nobody
-- else writes this table.
ALTER TABLE @schema@.instance
    DROP CONSTRAINT IF EXISTS instance_status_check,
    DROP CONSTRAINT IF EXISTS instance_check;


-- Settings that a transaction of latchkey needs and that mostly are right already: called where one
-- is not. The forms of values are those that latchkey reads; client_connection_check_interval stays
-- with the session.
CREATE FUNCTION @schema@.settle() RETURNS integer
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    PERFORM pg_catalog.set_config('datestyle', 'ISO', true),
            pg_catalog.set_config('intervalstyle', 'postgres', true),
            pg_catalog.set_config('extra_float_digits', '1', true),
            pg_catalog.set_config('bytea_output', 'hex', true),
            pg_catalog.set_config('client_connection_check_interval', '1s', false);
    IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' THEN
        PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN 1;
END
$body$;
