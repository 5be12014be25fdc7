-- name: captures
-- The logs that were applied, of an entity or of all; only reads.
SELECT log, entity, relation, definition, watched, shape FROM crm_ops.capture
WHERE %(entity)s::text IS NULL OR entity = %(entity)s
ORDER BY log;

-- name: shape
-- What must not change unseen: the files and types of a table and the state of our triggers on it.
-- A trigger that was switched off and on again has another xmin. Only reads.
SELECT md5(concat_ws('|',
        (SELECT string_agg(c.oid || ':' || c.relfilenode, ',' ORDER BY c.oid)
         FROM pg_class AS c
         WHERE c.oid = found.relation
            OR c.oid IN (SELECT relid FROM pg_partition_tree(found.relation))),
        (SELECT string_agg(a.attname || ':' || format_type(a.atttypid, a.atttypmod), ','
                           ORDER BY a.attname)
         FROM pg_attribute AS a
         WHERE a.attrelid = found.relation AND a.attname = ANY(%(columns)s::name[])
           AND NOT a.attisdropped),
        (SELECT string_agg(concat_ws(':', t.tgname, t.tgenabled, t.xmin), ',' ORDER BY t.tgname)
         FROM pg_trigger AS t
         WHERE t.tgrelid = found.relation AND t.tgfoid = found.function)
    )) AS shape,
    (SELECT count(*) FROM pg_trigger AS t
     WHERE t.tgrelid = found.relation AND t.tgfoid = found.function AND t.tgenabled IN ('O', 'A'))
        AS triggers
FROM (
    SELECT to_regclass(%(source)s)::oid AS relation, to_regproc(%(function)s)::oid AS function
) AS found;

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

-- name: capturable
-- What a relation is, and whether our role may create triggers on it; only reads.
SELECT c.relkind::text AS relkind, has_table_privilege(c.oid, 'TRIGGER') AS allowed,
       current_user::text AS role
FROM pg_class AS c WHERE c.oid = to_regclass(%(source)s);
