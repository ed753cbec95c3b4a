-- Lock paths and their advisory locks: docs/locks.md.
--
-- The schema's name stands in two placeholders, as an identifier and as a literal. Every name below
-- is qualified and every operator meets its exact argument types in pg_catalog, so that a caller's
-- search_path changes nothing; SET search_path on the functions would do the same and make each
-- call slower.

CREATE FUNCTION @schema@.lock_key(path text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
    -- The first 64 bits, big-endian, of SHA-256 over: schema name, one zero byte, path.
    RETURN ('x' OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(
            pg_catalog.convert_to(@schema_literal@, 'UTF8')
            OPERATOR(pg_catalog.||) pg_catalog.decode('00', 'hex')
            OPERATOR(pg_catalog.||) pg_catalog.convert_to(path, 'UTF8')), 'hex'), 16)
        )::bit(64)::bigint;
END
$body$;

COMMENT ON FUNCTION @schema@.lock_key(text) IS
    'The advisory lock key of a lock path in its text form. The text is not checked.';


CREATE FUNCTION @schema@.lock_path_fault(path text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
    segments pg_catalog.text[];
    segment pg_catalog.text;
    first_segment integer := 1;
    -- A percent sign only before a byte that must be encoded, and no such byte as it is.
    canonical CONSTANT pg_catalog.text :=
        E'^([^\\u0001-\\u001F\\u007F%*]|%(0[0-9A-F]|1[0-9A-F]|7F|25|2A|2F))*$';
BEGIN
    IF path OPERATOR(pg_catalog.=) '*' THEN
        RETURN NULL;
    END IF;
    -- Longer than eight segments of 255 encoded bytes; not worth taking apart.
    IF pg_catalog.octet_length(pg_catalog.convert_to(path, 'UTF8')) OPERATOR(pg_catalog.>) 6127 THEN
        RETURN 'it is too long';
    END IF;
    segments := pg_catalog.string_to_array(path, '/');
    IF pg_catalog.starts_with(path, '$') THEN
        IF NOT (CASE
            WHEN segments[1] OPERATOR(pg_catalog.=) '$definitions'
                THEN pg_catalog.cardinality(segments) OPERATOR(pg_catalog.<=) 2
            WHEN segments[1] OPERATOR(pg_catalog.=) '$instance'
                THEN pg_catalog.cardinality(segments) OPERATOR(pg_catalog.=) 2
            WHEN segments[1] OPERATOR(pg_catalog.=) '$key'
                THEN pg_catalog.cardinality(segments) OPERATOR(pg_catalog.=) 3
            ELSE false END)
        THEN
            RETURN 'a "$" begins none but latchkey''s own paths: $definitions, $definitions/NAME, '
                '$instance/ID, $key/WORKFLOW/KEY';
        END IF;
        first_segment := 2;
    ELSIF pg_catalog.cardinality(segments) OPERATOR(pg_catalog.>) 8 THEN
        RETURN 'it has more than 8 segments';
    ELSIF pg_catalog.cardinality(segments) OPERATOR(pg_catalog.=) 0 THEN
        RETURN 'it is empty';
    END IF;

    FOR i IN first_segment .. pg_catalog.cardinality(segments) LOOP
        segment := segments[i];
        IF segment OPERATOR(pg_catalog.=) '' THEN
            RETURN pg_catalog.format('segment %s is empty', i);
        END IF;
        IF i OPERATOR(pg_catalog.=) 1 AND pg_catalog.starts_with(segment, '%24') THEN
            segment := pg_catalog.overlay(segment, '$', 1, 3);
        END IF;
        IF (segment COLLATE pg_catalog."C") OPERATOR(pg_catalog.!~) canonical THEN
            RETURN pg_catalog.format('segment %s is not encoded as it must be: the bytes 00-1F and '
                '7F, "%%", "/", "*" and a "$" that begins the path, and no others, are written '
                '"%%XX" in upper-case hex', i);
        END IF;
        IF pg_catalog.octet_length(pg_catalog.convert_to(pg_catalog.regexp_replace(
               segment COLLATE pg_catalog."C", '%..', '.', 'g'), 'UTF8'))
           OPERATOR(pg_catalog.>) 255
        THEN
            RETURN pg_catalog.format('segment %s is longer than 255 bytes', i);
        END IF;
    END LOOP;
    RETURN NULL;
END
$body$;

COMMENT ON FUNCTION @schema@.lock_path_fault(text) IS
    'Why a text is not the canonical form of a lock path; NULL if it is.';


-- The advisory locks that take some paths: shared on every proper prefix, exclusive on the path,
-- covered paths dropped. They are taken in the order of place: segment by segment by the bytes of
-- UTF-8. The separator becomes a byte below all that may stand in a segment, and so a comparison of
-- whole byte strings does that.
--
-- Planning costs ten times what running does, so lock() is to plan this once. Two things serve
-- that: it is not STRICT, which would keep it from becoming a part of lock()'s plan, and a
-- subselect hides the array's length, for which a plan would be made at every call.
CREATE FUNCTION @schema@.lock_entries(paths text[])
RETURNS TABLE (place bigint, path text, key bigint, exclusive boolean)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH given AS (
        SELECT DISTINCT p COLLATE pg_catalog."C" AS p FROM pg_catalog.unnest((SELECT paths)) AS p
    ), kept AS (
        SELECT g.p, pg_catalog.string_to_array(g.p, '/') AS segments
        FROM given AS g
        WHERE NOT EXISTS (
            SELECT FROM given AS a
            WHERE pg_catalog.starts_with(g.p, a.p || '/')
               OR (a.p = '*' AND g.p <> '*' AND NOT pg_catalog.starts_with(g.p, '$')))
    ), entries AS (
        SELECT k.p AS path, true AS exclusive FROM kept AS k
        UNION
        SELECT '*', false FROM kept AS k WHERE k.p <> '*' AND NOT pg_catalog.starts_with(k.p, '$')
        UNION
        SELECT pg_catalog.array_to_string(k.segments[1:n], '/'), false
        FROM kept AS k, pg_catalog.generate_series(1, pg_catalog.cardinality(k.segments) - 1) AS n
        WHERE NOT pg_catalog.starts_with(k.p, '$') OR k.segments[1] = '$definitions'
    )
    SELECT pg_catalog.row_number() OVER (ORDER BY pg_catalog.convert_to(
               CASE e.path WHEN '*' THEN ''
                           ELSE pg_catalog.replace(e.path, '/', pg_catalog.chr(1)) END, 'UTF8')),
           e.path, @schema@.lock_key(e.path), e.exclusive
    FROM entries AS e;
END;

COMMENT ON FUNCTION @schema@.lock_entries(text[]) IS
    'The advisory locks that take these lock paths, in their order. The texts are not checked.';


-- VOLATILE, so that each statement of the caller's transaction after the grant, and each statement
-- inside, sees what the last holder committed.
CREATE FUNCTION @schema@.lock(paths text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    path pg_catalog.text;
    fault pg_catalog.text;
    n_users integer := 0;
    keys bigint[];
    modes boolean[];
BEGIN
    IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed'
    THEN
        RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
            MESSAGE = pg_catalog.format('a lock needs a READ COMMITTED transaction, and this one '
                'is %s', pg_catalog.upper(pg_catalog.current_setting('transaction_isolation'))),
            DETAIL = 'Its snapshot is older than the grant: it would not see what the last holder '
                'of the lock has committed.',
            HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED';
    END IF;
    IF paths IS NULL OR pg_catalog.cardinality(paths) OPERATOR(pg_catalog.=) 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'no path to lock';
    END IF;
    FOREACH path IN ARRAY paths LOOP
        IF path IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = 'a path to lock is NULL';
        END IF;
        fault := @schema@.lock_path_fault(path);
        IF fault IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = pg_catalog.format('"%s" is not a canonical lock path: %s',
                    pg_catalog.left(path, 100), fault);
        END IF;
        IF NOT pg_catalog.starts_with(path, '$') THEN
            n_users := n_users OPERATOR(pg_catalog.+) 1;
        END IF;
        IF n_users OPERATOR(pg_catalog.>) 32 THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = 'more than 32 paths to lock';
        END IF;
    END LOOP;

    SELECT pg_catalog.array_agg(e.key ORDER BY e.place),
           pg_catalog.array_agg(e.exclusive ORDER BY e.place)
    INTO STRICT keys, modes
    FROM @schema@.lock_entries(paths) AS e;
    FOR i IN 1 .. pg_catalog.cardinality(keys) LOOP
        IF modes[i] THEN
            PERFORM pg_catalog.pg_advisory_xact_lock(keys[i]);
        ELSE
            PERFORM pg_catalog.pg_advisory_xact_lock_shared(keys[i]);
        END IF;
    END LOOP;
END
$body$;

COMMENT ON FUNCTION @schema@.lock(text[]) IS
    'Takes lock paths until the end of the transaction, waiting for other holders. Read the data '
    'in a later statement.';


-- Not STRICT: a NULL path must be refused, and not be a lock that was never taken.
CREATE FUNCTION @schema@.lock(path text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    PERFORM @schema@.lock(ARRAY[path]);
END
$body$;

COMMENT ON FUNCTION @schema@.lock(text) IS
    'Takes a lock path until the end of the transaction, waiting for other holders. Read the data '
    'in a later statement.';


-- The rest is called by latchkey, with keys that it has computed and put in order.


-- Tries the locks of several groups, one after the other in keys and exclusive. Each group gets all
-- or none: its tries stand in a subtransaction, so that a refused one gives back what it had. All
-- of them are tried in one first, since mostly nobody is in the way. A session never excludes
-- itself: groups that conflict with each other are all granted.
CREATE FUNCTION @schema@.try_locks(group_sizes integer[], keys bigint[], exclusive boolean[])
RETURNS boolean[]
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    granted boolean[];
    group_size integer;
    before_group integer := 0;
BEGIN
    IF ((SELECT pg_catalog.sum(size) FROM pg_catalog.unnest(group_sizes) AS size)
            OPERATOR(pg_catalog.=) pg_catalog.cardinality(keys)::bigint) IS NOT TRUE
       OR (pg_catalog.cardinality(keys)
            OPERATOR(pg_catalog.=) pg_catalog.cardinality(exclusive)) IS NOT TRUE
       OR pg_catalog.array_position(keys, NULL) IS NOT NULL
       OR pg_catalog.array_position(exclusive, NULL) IS NOT NULL
    THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the groups do not fit the keys';
    END IF;

    BEGIN
        FOR i IN 1 .. pg_catalog.cardinality(keys) LOOP
            IF NOT (CASE WHEN exclusive[i] THEN pg_catalog.pg_try_advisory_xact_lock(keys[i])
                         ELSE pg_catalog.pg_try_advisory_xact_lock_shared(keys[i]) END)
            THEN
                RAISE SQLSTATE 'LK003';
            END IF;
        END LOOP;
        RETURN pg_catalog.array_fill(true, ARRAY[pg_catalog.cardinality(group_sizes)]);
    EXCEPTION WHEN SQLSTATE 'LK003' THEN
        IF pg_catalog.cardinality(group_sizes) OPERATOR(pg_catalog.=) 1 THEN
            RETURN ARRAY[false];
        END IF;
    END;

    FOREACH group_size IN ARRAY group_sizes LOOP
        BEGIN
            FOR i IN before_group OPERATOR(pg_catalog.+) 1
                  .. before_group OPERATOR(pg_catalog.+) group_size LOOP
                IF NOT (CASE WHEN exclusive[i] THEN pg_catalog.pg_try_advisory_xact_lock(keys[i])
                             ELSE pg_catalog.pg_try_advisory_xact_lock_shared(keys[i]) END)
                THEN
                    RAISE SQLSTATE 'LK003';
                END IF;
            END LOOP;
            granted := pg_catalog.array_append(granted, true);
        EXCEPTION WHEN SQLSTATE 'LK003' THEN
            granted := pg_catalog.array_append(granted, false);
        END;
        before_group := before_group OPERATOR(pg_catalog.+) group_size;
    END LOOP;
    RETURN granted;
END
$body$;


-- Waits for all of the locks, in their order, for as long as the budget lasts over all of them.
-- false when it is spent; then none of them is held. A deadlock is an error like any other. The
-- caller's lock_timeout is as before afterwards, and does not bound these waits.
CREATE FUNCTION @schema@.wait_locks(keys bigint[], exclusive boolean[], budget_ms integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    deadline CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)
        pg_catalog.make_interval(secs => budget_ms::double precision
                                         OPERATOR(pg_catalog./) 1000::double precision);
    lock_timeout_before CONSTANT pg_catalog.text := pg_catalog.current_setting('lock_timeout');
    left_ms integer;
BEGIN
    IF budget_ms IS NULL OR budget_ms OPERATOR(pg_catalog.<) 1
       OR (pg_catalog.cardinality(keys)
            OPERATOR(pg_catalog.=) pg_catalog.cardinality(exclusive)) IS NOT TRUE
       OR pg_catalog.array_position(keys, NULL) IS NOT NULL
       OR pg_catalog.array_position(exclusive, NULL) IS NOT NULL
    THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a wait needs a mode for each key and a budget of at least 1 ms';
    END IF;

    FOR i IN 1 .. pg_catalog.cardinality(keys) LOOP
        -- A free lock is taken without touching any setting. A try does not pass by those who wait.
        CONTINUE WHEN CASE WHEN exclusive[i] THEN pg_catalog.pg_try_advisory_xact_lock(keys[i])
                           ELSE pg_catalog.pg_try_advisory_xact_lock_shared(keys[i]) END;
        -- lock_timeout is per wait, so each is given what is left; and 0 would mean for ever.
        left_ms := pg_catalog.ceil(1000.0::double precision OPERATOR(pg_catalog.*)
            pg_catalog.date_part('epoch', deadline OPERATOR(pg_catalog.-)
                                          pg_catalog.clock_timestamp()))::integer;
        IF left_ms OPERATOR(pg_catalog.<) 1 THEN
            RAISE SQLSTATE 'LK003';
        END IF;
        PERFORM pg_catalog.set_config('lock_timeout', left_ms::pg_catalog.text, true);
        IF exclusive[i] THEN
            PERFORM pg_catalog.pg_advisory_xact_lock(keys[i]);
        ELSE
            PERFORM pg_catalog.pg_advisory_xact_lock_shared(keys[i]);
        END IF;
    END LOOP;
    PERFORM pg_catalog.set_config('lock_timeout', lock_timeout_before, true);
    RETURN true;
EXCEPTION
    -- The subtransaction gave back its locks and the setting.
    WHEN lock_not_available OR SQLSTATE 'LK003' THEN
        RETURN false;
END
$body$;


-- Makes a count that is not met a server-side error, so that there is no way to commit past it.
CREATE FUNCTION @schema@.expect(actual bigint, expected bigint, what text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    IF (actual OPERATOR(pg_catalog.=) expected) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'LK001',
            MESSAGE = coalesce(what, 'an expectation was not met'),
            DETAIL = pg_catalog.format('expected %s, found %s', expected, actual);
    END IF;
END
$body$;


CREATE FUNCTION @schema@.still_in_time(deadline timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    IF deadline IS NULL OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) deadline THEN
        RAISE EXCEPTION USING ERRCODE = 'LK002',
            MESSAGE = 'the lock was held longer than its waiting timeout';
    END IF;
END
$body$;
