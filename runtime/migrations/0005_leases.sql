-- How leases and transactions share one space of locks. Whoever has been granted the advisory locks
-- of some paths looks, in a later statement, for a lease in the way. Any row is in the way, expired
-- or not: a holder that ends at this moment has deleted its row and not yet committed, and looking at
-- the clock would let both commit. Expired rows go by a committed DELETE of their own.
--
-- Who may call lock() needs no right on the table: the functions that look and remove have their
-- owner's.

CREATE INDEX lease_expires ON @schema@.lease (expires_at);


-- The leases in the way of these paths: on one of them, on an ancestor or on a descendant. VOLATILE,
-- as its callers are: each statement sees what was committed when it began.
CREATE FUNCTION @schema@.leases_in_the_way(paths text[])
RETURNS TABLE (lease_path text, lease_until timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $body$
DECLARE
    p pg_catalog.text COLLATE pg_catalog."C";
    above pg_catalog.text[];
BEGIN
    IF NOT EXISTS (SELECT FROM @schema@.lease) THEN
        RETURN;
    END IF;
    FOREACH p IN ARRAY paths LOOP
        IF p OPERATOR(pg_catalog.=) '*' THEN
            RETURN QUERY SELECT l.path, l.expires_at FROM @schema@.lease AS l
             WHERE l.path OPERATOR(pg_catalog.<) '$' OR l.path OPERATOR(pg_catalog.>=) '%';
            CONTINUE;
        END IF;
        above := ARRAY(SELECT pg_catalog.array_to_string(s.segments[1:n], '/')
                         FROM (SELECT pg_catalog.string_to_array(p, '/') AS segments) AS s,
                              pg_catalog.generate_series(1, pg_catalog.cardinality(s.segments)) AS n);
        IF NOT pg_catalog.starts_with(p, '$') THEN
            above := pg_catalog.array_append(above, '*');
        END IF;
        RETURN QUERY SELECT l.path, l.expires_at FROM @schema@.lease AS l
         WHERE l.path OPERATOR(pg_catalog.=) ANY (above)
            OR (l.path OPERATOR(pg_catalog.>=) (p OPERATOR(pg_catalog.||) '/')
                AND l.path OPERATOR(pg_catalog.<) (p OPERATOR(pg_catalog.||) '0'));
    END LOOP;
END
$body$;


-- For how many milliseconds leases in the way of these paths last at most; 0 = they have expired;
-- NULL = none is in the way.
CREATE FUNCTION @schema@.lease_in_the_way(paths text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $body$
DECLARE
    until pg_catalog.timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM @schema@.lease) THEN
        RETURN NULL;
    END IF;
    SELECT pg_catalog.max(l.lease_until) INTO until FROM @schema@.leases_in_the_way(paths) AS l;
    IF until IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN greatest(0::bigint, pg_catalog.ceil(1000.0::double precision OPERATOR(pg_catalog.*)
        pg_catalog.date_part('epoch', until OPERATOR(pg_catalog.-)
                                      pg_catalog.clock_timestamp()))::bigint);
END
$body$;


-- try_locks, and then the look for leases. Each group gives its keys and its paths, and gets all or
-- none: a group that is refused for a lease gives its locks back, since both stand in one
-- subtransaction. For each group: 't', 'f' = a lock is held by somebody, or, for a lease, its
-- milliseconds.
CREATE FUNCTION @schema@.try_paths(group_sizes integer[], keys bigint[], exclusive boolean[],
                                   path_counts integer[], paths text[])
RETURNS text[]
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    tried boolean[];
    told text[];
    lease_ms bigint;
    key_at integer := 1;
    path_at integer := 1;
BEGIN
    -- Mostly nobody has a lease: all groups at once.
    BEGIN
        tried := @schema@.try_locks(group_sizes, keys, exclusive);
        IF @schema@.lease_in_the_way(paths) IS NOT NULL THEN
            RAISE SQLSTATE 'LK003';
        END IF;
        RETURN tried::pg_catalog.text[];
    EXCEPTION WHEN SQLSTATE 'LK003' THEN
        NULL;
    END;

    FOR i IN 1 .. pg_catalog.cardinality(group_sizes) LOOP
        lease_ms := NULL;
        BEGIN
            tried := @schema@.try_locks(ARRAY[group_sizes[i]],
                keys[key_at : key_at OPERATOR(pg_catalog.+) group_sizes[i] OPERATOR(pg_catalog.-) 1],
                exclusive[key_at : key_at OPERATOR(pg_catalog.+) group_sizes[i] OPERATOR(pg_catalog.-) 1]);
            lease_ms := @schema@.lease_in_the_way(
                paths[path_at : path_at OPERATOR(pg_catalog.+) path_counts[i] OPERATOR(pg_catalog.-) 1]);
            IF tried[1] AND lease_ms IS NOT NULL THEN
                RAISE SQLSTATE 'LK003';
            END IF;
            told := pg_catalog.array_append(told, tried[1]::pg_catalog.text);
        EXCEPTION WHEN SQLSTATE 'LK003' THEN
            told := pg_catalog.array_append(told, lease_ms::pg_catalog.text);
        END;
        key_at := key_at OPERATOR(pg_catalog.+) group_sizes[i];
        path_at := path_at OPERATOR(pg_catalog.+) path_counts[i];
    END LOOP;
    RETURN told;
END
$body$;


-- The holder's end: its own rows are there and their time has not passed, or nothing is kept.
CREATE FUNCTION @schema@.expect_lease(actual bigint, expected bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    IF (actual OPERATOR(pg_catalog.=) expected) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'LK004', MESSAGE = 'the lease is gone',
            DETAIL = pg_catalog.format('of its %s rows %s are there and not expired', expected, actual);
    END IF;
END
$body$;


-- Removes expired leases that nobody else is removing or ending: those of these paths, or with NULL
-- all. Gives how many.
CREATE FUNCTION @schema@.remove_expired_leases(paths text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $body$
DECLARE
    n_gone bigint;
BEGIN
    WITH expired AS (
        SELECT l.path FROM @schema@.lease AS l
         WHERE l.expires_at OPERATOR(pg_catalog.<=) (SELECT pg_catalog.clock_timestamp())
           AND (paths IS NULL OR l.path OPERATOR(pg_catalog.=) ANY (paths))
           FOR UPDATE SKIP LOCKED
    )
    DELETE FROM @schema@.lease AS l USING expired AS e
     WHERE l.path OPERATOR(pg_catalog.=) e.path
       AND l.expires_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp();
    GET DIAGNOSTICS n_gone = ROW_COUNT;
    RETURN n_gone;
END
$body$;


-- lock() waits for leases too. What it was is now the part that takes the advisory locks.
ALTER FUNCTION @schema@.lock(text[]) RENAME TO lock_advisory;
COMMENT ON FUNCTION @schema@.lock_advisory(text[]) IS
    'Takes the advisory locks of lock paths. Use lock(): it also waits for leases.';

-- The advisory locks are kept while it waits, so that no new lease can come. Expired rows are removed
-- in the caller's own transaction, and only those in the way: until it ends they are in the way of
-- others.
CREATE FUNCTION @schema@.lock(paths text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    since pg_catalog.timestamptz;
    lease_ms bigint;
    limit_s double precision;
BEGIN
    PERFORM @schema@.lock_advisory(paths);
    LOOP
        lease_ms := @schema@.lease_in_the_way(paths);
        EXIT WHEN lease_ms IS NULL;
        IF @schema@.remove_expired_leases(ARRAY(SELECT l.lease_path
                FROM @schema@.leases_in_the_way(paths) AS l)) OPERATOR(pg_catalog.>) 0::bigint
        THEN
            CONTINUE;
        END IF;
        since := coalesce(since, pg_catalog.clock_timestamp());
        limit_s := pg_catalog.date_part('epoch', pg_catalog.current_setting('lock_timeout')::interval);
        IF limit_s OPERATOR(pg_catalog.>) 0::double precision
           AND pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) since)
               OPERATOR(pg_catalog.>=) limit_s
        THEN
            RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
                MESSAGE = 'canceling statement due to lock timeout',
                DETAIL = 'A lease is in the way.';
        END IF;
        PERFORM pg_catalog.pg_sleep(least(greatest(lease_ms, 10::bigint), 50::bigint)::double precision
                                    OPERATOR(pg_catalog./) 1000::double precision);
    END LOOP;
END
$body$;

COMMENT ON FUNCTION @schema@.lock(text[]) IS
    'Takes lock paths until the end of the transaction, waiting for other holders, leases among them. '
    'Read the data in a later statement.';
