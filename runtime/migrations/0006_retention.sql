-- Ids begin with the time they were drawn at. So what is old is found by the indexes that are there
-- anyway, and no index by time burdens each execution. The smallest id of a moment:
CREATE FUNCTION @schema@.id_floor(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (pg_catalog.substr(hex, 1, 8) || '-' || pg_catalog.substr(hex, 9, 4) || '-0000-0000-000000000000')::uuid
      FROM (SELECT pg_catalog.lpad(pg_catalog.to_hex(
                       greatest(0, pg_catalog.floor(extract(epoch FROM moment) * 1000))::bigint), 12, '0')) AS h(hex)
$$;
CREATE INDEX job_dead ON @schema@.job (id) WHERE dead;
