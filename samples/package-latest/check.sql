-- Looks after every commit that changed a package whether its flags are right, and notes the commits
-- that left wrong ones. What is right is computed here anew, in another way than in the workflows.
-- After schema.sql; may be run any number of times.

-- Sorts like the precedence of prereleases: arrays compare element by element, and a beginning comes
-- before the whole; numbers before words, numbers by their length and then their digits. The
-- collation C compares bytes.
CREATE OR REPLACE FUNCTION prerelease_key(prerelease text) RETURNS text[] IMMUTABLE LANGUAGE sql AS $$
    SELECT array_agg(CASE WHEN part ~ '^[0-9]+$' THEN '0' || lpad(length(part)::text, 9, '0') || part
                          ELSE '1' || part END ORDER BY n)
      FROM unnest(string_to_array(prerelease, '.')) WITH ORDINALITY AS parts (part, n)
$$;

CREATE OR REPLACE VIEW package_latest AS
SELECT package_id, version, is_latest, is_latest_stable,
       candidate AND place = 1 AS should_be_latest,
       candidate AND prerelease = '' AND stable_place = 1 AS should_be_latest_stable
  FROM (SELECT v.*, listed AND NOT deleted AS candidate,
               row_number() OVER (PARTITION BY package_id, listed AND NOT deleted
                                  ORDER BY major DESC, minor DESC, patch DESC,
                                           prerelease = '' DESC,
                                           prerelease_key(prerelease) COLLATE "C" DESC) AS place,
               row_number() OVER (PARTITION BY package_id, listed AND NOT deleted, prerelease = ''
                                  ORDER BY major DESC, minor DESC, patch DESC) AS stable_place
          FROM package_version v) ranked;

CREATE TABLE IF NOT EXISTS package_checked (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    package_id text NOT NULL,
    wrong      text[] NOT NULL, -- versions whose flags were wrong when this was committed
    txid       bigint NOT NULL DEFAULT txid_current(),
    UNIQUE (txid, package_id)
);

-- Runs at the end of a transaction. Those of one package come one after the other from here to their
-- commit, so that each sees all that was committed before it: every statement of a function has a
-- snapshot of its own.
CREATE OR REPLACE FUNCTION package_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := coalesce(NEW.package_id, OLD.package_id);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('package_check'), hashtext(changed));
    INSERT INTO package_checked (package_id, wrong)
    SELECT changed,
           coalesce(array_agg(version) FILTER (WHERE is_latest <> should_be_latest
                                                  OR is_latest_stable <> should_be_latest_stable),
                    '{}')
      FROM package_latest WHERE package_id = changed
        ON CONFLICT (txid, package_id) DO NOTHING;
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS package_check ON package_version;
CREATE CONSTRAINT TRIGGER package_check AFTER INSERT OR UPDATE OR DELETE ON package_version
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION package_check();
