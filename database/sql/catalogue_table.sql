-- Everything about the table named $1 as one JSON document; no row if there is no such table.
--
-- A text that is no name at all finds nothing: to_regclass would raise an error or, from PostgreSQL 16
-- on, take digits for the table's number.
-- "hidden" tells that something looks at whole rows, or at nobody knows what (a CHECK that names no
-- column), so that no column can be called untouched by it. "loose" tells that texts which differ may
-- be equal by the column's collation. "looks_further" tells that a policy asks other rows than the one
-- that it decides on, or a function that may: those of PostgreSQL itself leave no dependency.
WITH RECURSIVE chosen AS (
    SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relispartition, c.relrowsecurity,
           n.nspname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = CASE
        WHEN $1::text ~ '^(?!\d+$)\s*("([^"]|"")+"|[^".\s]+)\s*(\.\s*("([^"]|"")+"|[^".\s]+)\s*)?$'
        THEN pg_catalog.to_regclass($1::text)
    END
), base_type AS ( -- of domains, down to the ground
    SELECT t.oid AS of_type, t.oid, t.typtype, t.typbasetype, t.typcategory, t.typname
    FROM pg_catalog.pg_type t
    WHERE t.oid IN (SELECT a.atttypid FROM pg_catalog.pg_attribute a
                    JOIN chosen ON a.attrelid = chosen.oid AND a.attnum > 0)
  UNION ALL
    SELECT b.of_type, t.oid, t.typtype, t.typbasetype, t.typcategory, t.typname
    FROM base_type b
    JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype
    WHERE b.typtype = 'd'
), constrained AS ( -- column numbers; 0 stands for the whole row
    SELECT pg_catalog.unnest(CASE WHEN k.conrelid = chosen.oid
                                  THEN COALESCE(k.conkey, '{0}') ELSE '{}' END
                             || CASE WHEN k.confrelid = chosen.oid
                                     THEN k.confkey ELSE '{}' END)::int AS attnum
    FROM pg_catalog.pg_constraint k
    JOIN chosen ON chosen.oid IN (k.conrelid, k.confrelid)
    WHERE k.contype <> 'n' -- NOT NULL, a constraint from PostgreSQL 18 on
  UNION ALL -- expressions of exclusion constraints
    SELECT d.refobjsubid
    FROM pg_catalog.pg_constraint k
    JOIN chosen ON chosen.oid = k.conrelid
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
        AND d.objid = k.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid = chosen.oid AND d.refobjsubid > 0
    WHERE k.contype <> 'n'
), index_of AS (
    SELECT i.indexrelid, i.indisunique, i.indisprimary, i.indkey, i.indnkeyatts, i.indcollation,
           i.indexprs IS NOT NULL OR i.indpred IS NOT NULL AS computes,
           pg_catalog.concat(i.indexprs::text, i.indpred::text) ~ ':varattno 0\M' AS sees_row,
           i.indisunique AND i.indisvalid AND i.indisready AND i.indislive AND i.indimmediate
               AND i.indexprs IS NULL AND i.indpred IS NULL AS is_key
    FROM pg_catalog.pg_index i
    JOIN chosen ON i.indrelid = chosen.oid
), perhaps_null AS ( -- column numbers; a NOT NULL that is not validated (from 18 on) is of new rows
    SELECT a.attnum
    FROM pg_catalog.pg_attribute a
    JOIN chosen ON chosen.oid = a.attrelid
    WHERE NOT a.attnotnull
       OR EXISTS (SELECT FROM pg_catalog.pg_constraint k
                  WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated
                      AND a.attnum = ANY (k.conkey))
), indexed AS (
    SELECT k.attnum::int, i.indisunique AS is_unique, false AS computed
    FROM index_of i, pg_catalog.unnest(i.indkey::int2[]) AS k (attnum)
    WHERE k.attnum > 0
  UNION ALL -- what expressions and predicates mention; of a plain index, its key columns again
    SELECT d.refobjsubid, i.indisunique, i.computes
    FROM index_of i, chosen, pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid = chosen.oid AND d.refobjsubid > 0
)
SELECT pg_catalog.json_build_object(
    'oid', chosen.oid::int8,
    'schema', chosen.nspname,
    'name', chosen.relname,
    'kind', chosen.relkind::text,
    'temporary', chosen.relpersistence = 't',
    'partition', chosen.relispartition,
    'row_security', chosen.relrowsecurity,
    'looks_further', chosen.relrowsecurity AND EXISTS (
        SELECT FROM pg_catalog.pg_policy p
        WHERE p.polrelid = chosen.oid
            AND (pg_catalog.concat(p.polqual::text, p.polwithcheck::text) LIKE '%{SUBLINK%'
                 OR EXISTS (SELECT FROM pg_catalog.pg_depend d
                            WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
                                AND d.objid = p.oid
                                AND d.refclassid IN (
                                    'pg_catalog.pg_proc'::pg_catalog.regclass,
                                    'pg_catalog.pg_operator'::pg_catalog.regclass)))),
    'triggers', EXISTS (SELECT FROM pg_catalog.pg_trigger g
                        WHERE g.tgrelid = chosen.oid AND NOT g.tgisinternal),
    'rules', EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = chosen.oid),
    'inherits', EXISTS (SELECT FROM pg_catalog.pg_inherits h
                        WHERE chosen.oid IN (h.inhrelid, h.inhparent)),
    'cascades', EXISTS (SELECT FROM pg_catalog.pg_constraint k
                        WHERE k.confrelid = chosen.oid AND k.contype = 'f'
                            AND (k.confupdtype IN ('c', 'n', 'd')
                                 OR k.confdeltype IN ('c', 'n', 'd'))),
    'hidden', EXISTS (SELECT FROM constrained WHERE attnum = 0)
              OR EXISTS (SELECT FROM index_of WHERE sees_row),
    'columns', (
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                   'number', a.attnum,
                   'name', a.attname,
                   'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
                   'plain_type', pg_catalog.format_type(b.oid, -1),
                   'type_oid', a.atttypid::int8,
                   'base_oid', b.oid::int8,
                   'base_type', b.typtype::text,
                   'base_category', b.typcategory::text,
                   'limited', a.atttypmod <> -1,
                   'collation', a.attcollation,
                   'loose', EXISTS (SELECT FROM pg_catalog.pg_collation l
                                    WHERE l.oid = a.attcollation AND NOT l.collisdeterministic),
                   'not_null', a.attnotnull,
                   'generated', a.attgenerated <> '' OR a.attidentity = 'a',
                   'computed', a.attgenerated <> '',
                   'identity', a.attidentity <> '',
                   'constrained', a.attnum IN (SELECT attnum FROM constrained),
                   'unique', a.attnum IN (SELECT attnum FROM indexed WHERE is_unique),
                   'indexed', a.attnum IN (SELECT attnum FROM indexed),
                   'in_expression', a.attnum IN (SELECT attnum FROM indexed WHERE computed))
               ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
        JOIN base_type b ON b.of_type = a.atttypid AND b.typtype <> 'd'
        WHERE a.attrelid = chosen.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'keys', (
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                   'primary', i.indisprimary,
                   'collations', i.indcollation,
                   'total', NOT EXISTS (SELECT FROM perhaps_null p
                                        WHERE p.attnum = ANY (
                                            (i.indkey::int2[])[0:i.indnkeyatts - 1])),
                   'columns', (SELECT pg_catalog.json_agg(k.attnum ORDER BY k.at)
                               FROM pg_catalog.unnest(i.indkey::int2[])
                                    WITH ORDINALITY AS k (attnum, at)
                               WHERE k.at <= i.indnkeyatts))
               ORDER BY i.indisprimary DESC, i.indexrelid)
        FROM index_of i
        WHERE i.is_key)
)::text
FROM chosen
