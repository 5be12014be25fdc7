-- name: tables
-- The named tables as they are, with what our role may do with them. Reads the system catalog only.
WITH RECURSIVE wanted AS (
    SELECT c.oid, c.reltuples, c.relkind, n.oid AS schema, w.number
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY AS w (schema, name, number)
    JOIN pg_namespace n ON n.nspname = w.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
),
-- The type of each column; of a domain the type beneath it, which decides what can be done with it.
typed (relation, position, name, type, modifier) AS (
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod
    FROM pg_attribute a
    WHERE a.attrelid IN (SELECT oid FROM wanted) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT d.relation, d.position, d.name, t.typbasetype, t.typtypmod
    FROM typed d
    JOIN pg_type t ON t.oid = d.type AND t.typtype = 'd'
)
SELECT
    w.number - 1 AS number,
    (
        SELECT array_agg(ARRAY[d.name::text, format_type(d.type, d.modifier)] ORDER BY d.position)
        FROM typed d
        JOIN pg_type t ON t.oid = d.type AND t.typtype <> 'd'
        WHERE d.relation = w.oid
    ) AS columns,
    ARRAY(
        SELECT a.attname::text
        FROM pg_attribute a
        WHERE a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
    ) AS not_null,
    ARRAY(
        SELECT a.attname::text
        FROM pg_index i
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = w.oid AND i.indisprimary AND k.place <= i.indnkeyatts
        ORDER BY k.place
    ) AS primary_key,
    row_security_active(w.oid) AS row_security,
    has_schema_privilege(w.schema, 'USAGE') AND has_table_privilege(w.oid, 'SELECT') AS selectable,
    (
        -- A table that was never analysed has reltuples -1; then what its writers reported stands.
        SELECT sum(
            CASE WHEN l.reltuples < 0 THEN pg_stat_get_live_tuples(l.oid) ELSE l.reltuples END
        )::bigint
        FROM (
            SELECT w.oid WHERE w.relkind <> 'p'
            UNION
            SELECT relid FROM pg_partition_tree(w.oid) WHERE isleaf
        ) AS leaf (oid)
        JOIN pg_class l ON l.oid = leaf.oid
    ) AS estimated_rows,
    w.relkind = 'p' AS partitioned,
    ARRAY(
        SELECT coalesce(a.attname, '')::text
        FROM pg_partitioned_table p
        CROSS JOIN unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (attnum, place)
        LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.attnum
        WHERE p.partrelid = w.oid AND p.partstrat = 'r'
        ORDER BY k.place
    ) AS range_key
FROM wanted w
ORDER BY w.number;

-- name: relations
-- Every table that is not PostgreSQL's own, to suggest one for a name that leads nowhere.
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT c.relispartition
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'
ORDER BY 1, 2;
