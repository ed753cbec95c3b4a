-- What there is to know of the table named $1 if it is an ordinary one; no row, or a document that
-- says so, if it is not. Most of what the whole look costs in a session with empty caches is the
-- planning of what few tables have.
--
-- Two flags of pg_class may stay set when what they tell of is gone; then the whole look tells. That
-- a table is another's child is not among them, nor seen by its columns, where that one has none.
SELECT pg_catalog.row_to_json(t)::text
FROM (
    SELECT c.oid::int8 AS oid,
           (SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace) AS schema,
           c.relname AS name,
           c.relkind AS kind,
           c.relpersistence AS persistence,
           ARRAY(SELECT pg_catalog.row_to_json(a)
                 FROM (SELECT attnum AS number, attname AS name,
                              pg_catalog.format_type(atttypid, atttypmod) AS type,
                              pg_catalog.format_type(atttypid, -1) AS plain_type,
                              atttypid::int8 AS type_oid, atttypmod AS limit,
                              attnotnull AS not_null, attgenerated AS formula,
                              attidentity AS draws, attcollation AS collation
                       FROM pg_catalog.pg_attribute
                       WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
                       ORDER BY attnum) a) AS columns,
           ARRAY(SELECT pg_catalog.row_to_json(i)
                 FROM (SELECT indkey AS columns, indnkeyatts AS n_key, indisunique AS is_unique,
                              indisprimary AS is_primary, indcollation AS collations,
                              indisvalid AND indisready AND indislive AND indimmediate AS holds,
                              indexprs IS NOT NULL OR indpred IS NOT NULL AS computes
                       FROM pg_catalog.pg_index
                       WHERE indrelid = c.oid
                       ORDER BY indexrelid) i) AS indexes,
           ARRAY(SELECT pg_catalog.row_to_json(k)
                 FROM (SELECT contype AS kind, convalidated AS validated,
                              conrelid = c.oid AS is_own, conkey AS columns,
                              confrelid = c.oid AS refers, confkey AS referred,
                              confupdtype AS on_update, confdeltype AS on_delete
                       FROM pg_catalog.pg_constraint
                       WHERE conrelid = c.oid OR confrelid = c.oid) k) AS constraints
    FROM pg_catalog.pg_class c
    WHERE c.oid = pg_catalog.to_regclass($1::text)
        AND NOT c.relispartition AND NOT c.relhasrules AND NOT c.relhassubclass
        AND NOT c.relrowsecurity
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g
                        WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid)
) t
