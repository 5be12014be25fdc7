-- name: marker
-- The comment on the schema `crm`; no row where there is no such schema.
SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'crm';

-- name: relations
-- What the schema `crm` holds: tables, views, sequences and so on, without their indexes.
SELECT relname FROM pg_class
WHERE relnamespace = to_regnamespace('crm') AND relkind NOT IN ('i', 'I')
ORDER BY relname;

-- name: tables
-- The demo's own tables: those named, and months that were detached from the audit log.
SELECT relname FROM pg_class
WHERE relnamespace = to_regnamespace('crm') AND relkind IN ('r', 'p') AND NOT relispartition
    AND (relname = ANY (%(names)s) OR relname ~ '^audit_log_p[0-9]{6}(_[0-9]+)?$')
ORDER BY relname;

-- name: create
-- The schema; whose one that is there is, was asked before.
CREATE SCHEMA IF NOT EXISTS crm;

-- name: drop
-- RESTRICT: what somebody else put there stops the drop.
DROP SCHEMA crm RESTRICT;

-- name: lock
-- Two that would make or drop the demo at once: one waits, for as long as lock_timeout allows.
-- Held until the session ends, which may be a moment after its connection was closed.
SELECT pg_advisory_lock(hashtextextended('crm_ops:demo', 0));

-- name: settings
-- A demo lost in a crash is made anew: commits need not wait for the disk.
SELECT set_config('synchronous_commit', 'off', false), set_config('work_mem', '64MB', false),
    set_config('maintenance_work_mem', '256MB', false);
