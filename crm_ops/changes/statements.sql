-- name: captures
-- The logs that were applied, of an entity or of all; only reads.
SELECT log, entity, relation, definition, watched, shape FROM crm_ops.capture
WHERE %(entity)s::text IS NULL OR entity = %(entity)s
ORDER BY log;

-- name: shape
-- What must not change unseen: the files and types of a table and its partitions, and the state of
-- our triggers on them. A trigger that was switched off and on again has another xmin. Beside it,
-- how many of our triggers are in force, how many should be, how many are on tables that are not
-- (or no longer) part of it, and whether logical replication, which fires none, writes into it.
-- Only reads.
WITH RECURSIVE tree (relation) AS (
    SELECT to_regclass(%(source)s)::oid
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN tree ON tree.relation = i.inhparent
    WHERE NOT i.inhdetachpending
),
ours AS (
    SELECT t.tgrelid, t.tgname, t.tgenabled, t.xmin, t.tgrelid IN (TABLE tree) AS inside
    FROM pg_trigger AS t WHERE t.tgfoid = to_regproc(%(function)s)::oid
)
SELECT md5(concat_ws('|',
        (SELECT string_agg(c.oid || ':' || c.relfilenode, ',' ORDER BY c.oid)
         FROM pg_class AS c WHERE c.oid IN (TABLE tree)),
        (SELECT string_agg(a.attname || ':' || format_type(a.atttypid, a.atttypmod), ','
                           ORDER BY a.attname)
         FROM pg_attribute AS a
         WHERE a.attrelid = to_regclass(%(source)s) AND a.attname = ANY(%(columns)s::name[])
           AND NOT a.attisdropped),
        (SELECT string_agg(concat_ws(':', tgrelid, tgname, tgenabled, xmin), ','
                           ORDER BY tgrelid, tgname)
         FROM ours WHERE inside)
    )) AS checksum,
    (SELECT count(*) FROM ours WHERE inside AND tgenabled IN ('O', 'A')) AS in_force,
    (SELECT %(events)s * count(*) FROM tree) AS needed,
    (SELECT count(*) FROM ours WHERE NOT inside) AS strays,
    EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid IN (TABLE tree)) AS replicated;

-- name: members
-- A table and all its partitions (or what inherits from it), what each is, and whether our role may
-- create triggers on it; a table before its partitions. Only reads.
WITH RECURSIVE tree (relation, depth) AS (
    SELECT to_regclass(%(source)s)::oid, 0
    UNION
    SELECT i.inhrelid, tree.depth + 1
    FROM pg_inherits AS i JOIN tree ON tree.relation = i.inhparent
    WHERE NOT i.inhdetachpending
)
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       has_table_privilege(c.oid, 'TRIGGER') AS allowed, current_user::text AS role
FROM tree JOIN pg_class AS c ON c.oid = tree.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
GROUP BY c.oid, n.nspname
ORDER BY min(tree.depth), c.oid;

-- name: log_columns
-- The columns of a log as it is, with their types; none where it is not there.
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass(%(log)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: remember
-- Notes what was applied; safe to repeat.
INSERT INTO crm_ops.capture (log, entity, relation, definition, watched, shape)
VALUES (%(log)s, %(entity)s, %(relation)s, %(definition)s, %(watched)s, %(shape)s)
ON CONFLICT (log) DO UPDATE
SET relation = excluded.relation, definition = excluded.definition,
    watched = excluded.watched, shape = excluded.shape,
    applied_at = now();

-- name: forget
-- Forgets a log that was taken away; its entity's figures cannot be folded any more.
WITH gone AS (DELETE FROM crm_ops.capture WHERE log = %(log)s RETURNING entity)
UPDATE crm_ops.refresh SET captured = false FROM gone
WHERE refresh.entity = gone.entity AND captured;

-- name: reshape
-- Accepts a table's shape, where the entity is counted anew after it.
UPDATE crm_ops.capture SET shape = %(shape)s WHERE log = %(log)s;

-- name: mark
-- Asks for an entity to be counted anew.
INSERT INTO crm_ops.rebuild_marker (entity, reason) VALUES (%(entity)s, %(reason)s);

-- name: markers
-- Why an entity is to be counted anew; only reads.
SELECT reason, min(at) AS at FROM crm_ops.rebuild_marker WHERE entity = %(entity)s
GROUP BY reason ORDER BY min(at) LIMIT 5;

-- name: clear_markers
-- Forgets the markers that this snapshot sees; later ones stay.
DELETE FROM crm_ops.rebuild_marker WHERE entity = %(entity)s;

-- name: uncapture
-- Says of an entity's figures that they cannot be folded until they are counted anew.
UPDATE crm_ops.refresh SET captured = false WHERE entity = %(entity)s AND captured;
