-- name: captures
-- The logs that were applied, of an entity or of all; only reads.
SELECT log, entity, relation, definition, watched, shape FROM crm_ops.capture
WHERE %(entity)s::text IS NULL OR entity = %(entity)s
ORDER BY log;

-- name: shape
-- What must not change unseen: the files and types of a table and its partitions, the file of its
-- log, and the state of our triggers. A trigger that was switched off and on again has another xmin. Beside it,
-- how many of our triggers are in force, how many should be, how many are on tables that are not
-- (or no longer) part of it, whether logical replication, which fires none, writes into it, and the
-- columns of the log.
-- Only reads.
WITH RECURSIVE tree (relation) AS (
    SELECT to_regclass(%(source)s)::oid
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN tree ON tree.relation = i.inhparent
    WHERE NOT i.inhdetachpending
),
ours AS (
    SELECT t.tgrelid, t.tgname, t.tgenabled, t.xmin, t.tgrelid IN (TABLE tree) AS inside
    FROM pg_trigger AS t WHERE t.tgfoid = to_regproc(%(log)s)::oid
)
SELECT md5(concat_ws('|',
        (SELECT string_agg(c.oid || ':' || c.relfilenode, ',' ORDER BY c.oid)
         FROM pg_class AS c WHERE c.oid IN (TABLE tree) OR c.oid = to_regclass(%(log)s)),
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
    EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid IN (TABLE tree)) AS replicated,
    ARRAY(SELECT ARRAY[a.attname, format_type(a.atttypid, a.atttypmod)] FROM pg_attribute AS a
          WHERE a.attrelid = to_regclass(%(log)s) AND a.attnum > 0 AND NOT a.attisdropped)
        AS columns;

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

-- name: source_text
-- What the function of a log does; NULL where there is none. Only reads.
SELECT (SELECT prosrc FROM pg_proc WHERE oid = to_regproc(%(function)s)) AS text;

-- name: doubt
-- Says of an entity's figures that some parts (all where none is named) were made otherwise than
-- its log now tells: they are counted anew by the next fold, alone. Safe to repeat.
WITH doubted AS (
    SELECT id, md5(id || ' in doubt of ' || %(parts)s::text[]::text) AS new_id,
           (SELECT coalesce(jsonb_object_agg(part.key,
                CASE WHEN %(parts)s::text[] = '{}' OR part.key = ANY(%(parts)s::text[])
                     THEN 'in doubt' ELSE part.value END), '{}')
            FROM jsonb_each_text(parts) AS part) AS parts
    FROM crm_ops.definition
    WHERE id IN (SELECT definition FROM crm_ops.refresh WHERE entity = %(entity)s)
), stored AS (
    INSERT INTO crm_ops.definition (id, parts) SELECT new_id, parts FROM doubted
    ON CONFLICT (id) DO UPDATE SET parts = excluded.parts RETURNING id
), bitmaps AS (
    -- They are made anew as a whole.
    UPDATE crm_ops.bitmap_set SET definition = 'in doubt' WHERE entity = %(entity)s
)
UPDATE crm_ops.refresh SET definition = stored.id
FROM stored JOIN doubted ON doubted.new_id = stored.id
WHERE refresh.entity = %(entity)s AND refresh.definition = doubted.id;
