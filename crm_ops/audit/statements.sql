-- name: parent
-- What kind of table the audit log is, its owner, and what it is partitioned by; only reads.
SELECT class.relkind, pg_get_userbyid(class.relowner) AS owner,
    class.relrowsecurity AS row_security, tablespace.spcname AS tablespace,
    part.partstrat AS strategy, part.partnatts AS key_columns,
    column_.attname AS key_column, format_type(column_.atttypid, NULL) AS key_type,
    clock_timestamp() AS read_at
FROM pg_class AS class
JOIN pg_namespace AS space ON space.oid = class.relnamespace
LEFT JOIN pg_tablespace AS tablespace ON tablespace.oid = class.reltablespace
LEFT JOIN pg_partitioned_table AS part ON part.partrelid = class.oid
LEFT JOIN pg_attribute AS column_
    ON column_.attrelid = class.oid AND column_.attnum = part.partattrs[0] AND column_.attnum > 0
WHERE space.nspname = %(schema)s AND class.relname = %(name)s;

-- name: partitions
-- The partitions as the system catalog has them, their bounds read by PostgreSQL itself; only reads.
-- A bound without a time zone is in UTC. Bounds outside the years 1 to 9999 are cut to them.
WITH partition AS (
    SELECT child.oid, space.nspname AS schema, child.relname AS name, child.relkind,
        inherits.inhdetachpending AS pending,
        pg_get_expr(child.relpartbound, child.oid) = 'DEFAULT' AS is_default,
        regexp_match(
            pg_get_expr(child.relpartbound, child.oid), '^FOR VALUES FROM \((.*)\) TO \((.*)\)$'
        ) AS bounds
    FROM pg_inherits AS inherits
    JOIN pg_class AS parent ON parent.oid = inherits.inhparent
    JOIN pg_namespace AS parent_space ON parent_space.oid = parent.relnamespace
    JOIN pg_class AS child ON child.oid = inherits.inhrelid
    JOIN pg_namespace AS space ON space.oid = child.relnamespace
    WHERE parent_space.nspname = %(schema)s AND parent.relname = %(name)s
)
SELECT partition.schema, partition.name, partition.relkind, partition.pending,
    partition.is_default, bound.lower, bound.upper, stored.bytes, stored.rows,
    ours.state, ours.restored_at AS since
FROM partition
LEFT JOIN crm_ops.audit_partition AS ours
    ON ours.parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
    AND ours.name = format('%%I.%%I', partition.schema, partition.name) AND ours.state = 'restored'
CROSS JOIN LATERAL (
    SELECT min(moment) FILTER (WHERE side = 1) AS lower, min(moment) FILTER (WHERE side = 2) AS upper
    FROM unnest(partition.bounds) WITH ORDINALITY AS given (text, side)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN text = 'MINVALUE' THEN '-infinity'
            WHEN text = 'MAXVALUE' THEN 'infinity'
            WHEN %(type)s = 'timestamp with time zone' THEN btrim(text, '''')::timestamptz
            ELSE btrim(text, '''')::timestamp AT TIME ZONE 'UTC'
        END
    ) AS parsed (exact)
    CROSS JOIN LATERAL (
        SELECT least(greatest(exact, '0001-01-01 00:00+00'), '9999-12-31 00:00+00')
    ) AS cut (moment)
) AS bound
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pg_total_relation_size(leaf.oid)), 0)::bigint AS bytes,
        coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint AS rows
    FROM pg_class AS leaf
    WHERE leaf.relkind <> 'p'
        AND leaf.oid IN (SELECT partition.oid UNION ALL SELECT relid FROM pg_partition_tree(partition.oid))
) AS stored
ORDER BY bound.lower, partition.name;

-- name: detached
-- The tables that we detached and that wait for their end: there, alone, and with our mark; only reads.
SELECT space.nspname AS schema, class.relname AS name, ours.lower, ours.upper,
    stored.bytes, stored.rows, ours.state, ours.detached_at AS since
FROM crm_ops.audit_partition AS ours
JOIN pg_class AS class ON class.oid = to_regclass(ours.name)
JOIN pg_namespace AS space ON space.oid = class.relnamespace
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pg_total_relation_size(leaf.oid)), 0)::bigint AS bytes,
        coalesce(sum(greatest(leaf.reltuples, 0)), 0)::bigint AS rows
    FROM pg_class AS leaf
    WHERE leaf.relkind <> 'p'
        AND leaf.oid IN (SELECT class.oid UNION ALL SELECT relid FROM pg_partition_tree(class.oid))
) AS stored
WHERE ours.parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
    AND ours.state IN ('detached', 'exported', 'verified')
    AND class.relkind IN ('r', 'p') AND NOT class.relispartition
    AND obj_description(class.oid, 'pg_class') = %(mark)s
ORDER BY ours.lower, ours.name;

-- name: names
-- Names with a prefix that a new table of the schema may not have: of relations and types, and of
-- tables that our record already tells of; only reads.
SELECT class.relname FROM pg_class AS class
JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE space.nspname = %(schema)s AND starts_with(class.relname, %(prefix)s)
UNION
SELECT type.typname FROM pg_type AS type
JOIN pg_namespace AS space ON space.oid = type.typnamespace
WHERE space.nspname = %(schema)s AND starts_with(type.typname, %(prefix)s)
UNION
SELECT (parse_ident(ours.name))[2] FROM crm_ops.audit_partition AS ours
WHERE (parse_ident(ours.name))[1] = %(schema)s;

-- name: missing_rights
-- What our role lacks to maintain the audit log, in words; no row where it lacks nothing.
WITH log AS (
    SELECT class.oid, class.relowner, space.oid AS space, space.nspname
    FROM pg_class AS class
    JOIN pg_namespace AS space ON space.oid = class.relnamespace
    WHERE space.nspname = %(schema)s AND class.relname = %(name)s
)
SELECT format('membership in the role %%I, which owns %%s', owner.rolname,
              string_agg(member.oid::regclass::text, ', ' ORDER BY member.oid::regclass::text))
FROM log
CROSS JOIN LATERAL (
    SELECT log.oid UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = log.oid
) AS part (oid)
JOIN pg_class AS member ON member.oid = part.oid
JOIN pg_roles AS owner ON owner.oid = member.relowner
WHERE NOT pg_has_role(member.relowner, 'USAGE')
GROUP BY owner.rolname
UNION ALL
SELECT format('CREATE on the schema %%I for the role %%I', log.nspname, role.rolname)
FROM log JOIN pg_roles AS role ON role.oid = log.relowner OR role.rolname = current_user
WHERE NOT has_schema_privilege(role.oid, log.space, 'CREATE')
UNION ALL
SELECT 'SELECT, INSERT and UPDATE on ' || ours.name
FROM unnest(ARRAY['crm_ops.audit_partition', 'crm_ops.audit_link', 'crm_ops.audit_archive',
                  'crm_ops.audit_hold']) AS ours (name)
WHERE NOT (has_table_privilege(ours.name, 'SELECT') AND has_table_privilege(ours.name, 'INSERT')
    AND has_table_privilege(ours.name, 'UPDATE'));

-- name: columns
-- The columns of the audit log that a row can be copied with: all but the generated ones; only reads.
SELECT column_.attname FROM pg_attribute AS column_
JOIN pg_class AS class ON class.oid = column_.attrelid
JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE space.nspname = %(schema)s AND class.relname = %(name)s
    AND column_.attnum > 0 AND NOT column_.attisdropped AND column_.attgenerated = ''
ORDER BY column_.attnum;

-- name: referencing
-- The tables whose foreign keys lead to the audit log; only reads.
SELECT DISTINCT other.conrelid::regclass::text FROM pg_constraint AS other
JOIN pg_class AS class ON class.oid = other.confrelid
JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE other.contype = 'f' AND space.nspname = %(schema)s AND class.relname = %(name)s
ORDER BY 1;

-- name: triggers
-- The triggers of a table that are switched on, and how; only reads.
SELECT trigger.tgname AS name, trigger.tgenabled AS enabled FROM pg_trigger AS trigger
JOIN pg_class AS class ON class.oid = trigger.tgrelid
JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE space.nspname = %(schema)s AND class.relname = %(name)s
    AND NOT trigger.tgisinternal AND trigger.tgenabled <> 'D'
ORDER BY trigger.tgname;

-- name: record_detached
-- Notes a table that we have just detached; noting it again changes nothing but the moment. What was
-- restored from its archive, and comes off again, keeps the links that it replaces.
INSERT INTO crm_ops.audit_partition (parent, name, lower, upper, state, bytes, detached_at)
VALUES (format('%%I.%%I', %(parent_schema)s::text, %(parent_name)s::text),
        format('%%I.%%I', %(schema)s::text, %(name)s::text),
        %(lower)s, %(upper)s, 'detached', %(bytes)s, now())
ON CONFLICT (parent, name) WHERE state <> 'dropped' DO UPDATE
SET lower = excluded.lower, upper = excluded.upper, state = excluded.state, rows = NULL,
    bytes = excluded.bytes, detached_at = excluded.detached_at,
    attempt = audit_partition.attempt + 1, file = NULL, file_bytes = NULL, sha256 = NULL,
    checksum = NULL, exported_at = NULL, verified_at = NULL, restored_at = NULL, link = NULL,
    replaces = CASE WHEN audit_partition.link IS NULL THEN audit_partition.replaces
                    ELSE audit_partition.replaces || audit_partition.link END;

-- name: record_dropped
-- Notes that a detached table is gone, with how many rows; in the transaction that drops it.
UPDATE crm_ops.audit_partition SET state = 'dropped', rows = %(rows)s, dropped_at = now()
WHERE parent = format('%%I.%%I', %(parent_schema)s::text, %(parent_name)s::text)
    AND name = format('%%I.%%I', %(schema)s::text, %(name)s::text)
    AND state IN ('detached', 'exported', 'verified');

-- name: lock_holds
-- No hold is placed or lifted until this transaction ends.
LOCK TABLE crm_ops.audit_hold IN SHARE MODE;

-- name: active_holds
-- The holds of an audit log that are in force, the oldest first; only reads.
SELECT id, tenant, object, lower, upper, reason, placed_by, placed_at, until, lifted_by, lifted_at
FROM crm_ops.audit_hold
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
    AND lifted_at IS NULL AND (until IS NULL OR until > now())
ORDER BY id;

-- name: all_holds
-- Every hold of an audit log, the oldest first; only reads.
SELECT id, tenant, object, lower, upper, reason, placed_by, placed_at, until, lifted_by, lifted_at
FROM crm_ops.audit_hold
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
ORDER BY id;

-- name: add_hold
-- Places a hold; it waits for a drop that is under way.
INSERT INTO crm_ops.audit_hold
    (parent, tenant, object, lower, upper, reason, placed_by, until)
VALUES (format('%%I.%%I', %(schema)s::text, %(name)s::text), %(tenant)s, %(object)s,
        %(lower)s, %(upper)s, %(reason)s, %(placed_by)s, %(until)s)
RETURNING id;

-- name: lift_hold
-- Lifts a hold that is in force; one that was lifted already keeps who lifted it.
UPDATE crm_ops.audit_hold SET lifted_by = %(lifted_by)s, lifted_at = now()
WHERE id = %(id)s AND lifted_at IS NULL
    AND parent = format('%%I.%%I', %(schema)s::text, %(name)s::text);

-- name: detaching
-- Whether a session is detaching a partition concurrently at this moment, as far as we may see.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()
        AND query ~* 'detach\s+partition.*\mconcurrently\M'
);

-- name: show_every_row
-- Makes it an error in this transaction that a policy hides a row from us.
SELECT set_config('row_security', 'off', true);

-- name: statement_timeout
-- Bounds the next statements of this transaction (milliseconds).
SELECT set_config('statement_timeout', %(statement_timeout_ms)s::text, true);

-- name: lock_timeout
-- Bounds the next waits for a lock in this transaction (milliseconds).
SELECT set_config('lock_timeout', %(lock_timeout_ms)s::text, true);

-- name: blockers
-- Who holds locks that stand in the way of ours, the longest transaction first; only reads.
-- Tables that the audit log refers to are locked with it when a partition comes or goes, and all
-- partitions are looked at.
WITH wanted AS (
    SELECT class.oid, given.conflicting
    FROM jsonb_to_recordset(%(locks)s::jsonb)
        AS given (schema text, name text, conflicting text[])
    JOIN pg_namespace AS space ON space.nspname = given.schema
    JOIN pg_class AS class ON class.relnamespace = space.oid AND class.relname = given.name
), every_wanted AS (
    SELECT oid, conflicting FROM wanted
    UNION ALL
    SELECT key.confrelid, ARRAY['RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
        'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']
    FROM wanted JOIN pg_constraint AS key ON key.conrelid = wanted.oid AND key.contype = 'f'
    UNION ALL
    SELECT part.inhrelid, ARRAY['AccessExclusiveLock']
    FROM wanted JOIN pg_inherits AS part ON part.inhparent = wanted.oid
)
SELECT lock.pid, activity.usename AS role, activity.application_name AS application,
    coalesce(activity.state, activity.backend_type) AS state,
    extract(epoch FROM clock_timestamp() - activity.xact_start)::integer AS age_s
FROM every_wanted AS wanted
JOIN pg_locks AS lock ON lock.relation = wanted.oid AND lock.granted
    AND lock.mode = ANY (wanted.conflicting)
    AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND lock.pid IS DISTINCT FROM pg_backend_pid()
LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
GROUP BY 1, 2, 3, 4, 5
ORDER BY age_s DESC NULLS LAST
LIMIT 5;
