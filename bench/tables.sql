-- What the loads read and write: the sample's table, and two of the same shape on which rows are
-- not merged by a batch. The sample's schema.sql has run before.
CREATE TABLE message_check (
    id    bigint PRIMARY KEY,
    title text,
    read  bigint NOT NULL DEFAULT 0 CHECK (read >= 0)
);

CREATE TABLE message_trigger (LIKE message_check INCLUDING ALL);

CREATE FUNCTION message_changed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.read < OLD.read THEN
        RAISE EXCEPTION 'a message is not unread';
    END IF;
    RETURN NEW;
END
$body$;

CREATE TRIGGER message_changed BEFORE UPDATE ON message_trigger
    FOR EACH ROW EXECUTE FUNCTION message_changed();

INSERT INTO message_check (id, title) SELECT id, title FROM message;
INSERT INTO message_trigger (id, title) SELECT id, title FROM message;

-- The work of by_hand/round_trips.sql in one statement. Each statement of a volatile function has a
-- snapshot of its own, so what is read is newer than the lock.
CREATE FUNCTION read_message(message_id bigint, lock_key bigint, pause_seconds double precision)
RETURNS void LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    seen bigint;
BEGIN
    PERFORM set_config('lock_timeout', '10000', true),
            set_config('statement_timeout', '15000', true),
            set_config('idle_in_transaction_session_timeout', '5000', true);
    PERFORM pg_advisory_xact_lock(lock_key);
    SELECT read INTO STRICT seen FROM message WHERE id = message_id;
    IF pause_seconds > 0 THEN
        PERFORM pg_sleep(pause_seconds);
    END IF;
    UPDATE message SET read = seen + 1 WHERE id = message_id;
END
$body$;
