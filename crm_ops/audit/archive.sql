-- name: columns
-- The columns of a table and their types, in order; only reads.
SELECT column_.attname AS name, format_type(column_.atttypid, column_.atttypmod) AS type,
    format_type(column_.atttypid, NULL) AS plain_type,
    column_.attgenerated <> '' AS generated
FROM pg_attribute AS column_
JOIN pg_class AS class ON class.oid = column_.attrelid
JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE space.nspname = %(schema)s AND class.relname = %(name)s
    AND column_.attnum > 0 AND NOT column_.attisdropped
ORDER BY column_.attnum;

-- name: present
-- What we know of a table that is not dropped; only reads.
SELECT id, state, lower, upper, attempt, file, file_bytes, sha256, rows, checksum, link, replaces
FROM crm_ops.audit_partition
WHERE parent = format('%%I.%%I', %(parent_schema)s::text, %(parent_name)s::text)
    AND name = format('%%I.%%I', %(schema)s::text, %(name)s::text) AND state <> 'dropped';

-- name: record_exported
-- Notes the file that a table was written to; written again, it says the same of the newer file.
UPDATE crm_ops.audit_partition
SET state = 'exported', file = %(file)s, file_bytes = %(file_bytes)s, sha256 = %(sha256)s,
    rows = %(rows)s, exported_at = now()
WHERE id = %(id)s AND state IN ('detached', 'exported');

-- name: record_verified
-- Notes that the file was read back and holds the table's rows, with its link of the chain; in the
-- transaction that adds the link.
UPDATE crm_ops.audit_partition
SET state = 'verified', rows = %(rows)s, checksum = %(checksum)s, link = %(link)s,
    verified_at = now()
WHERE id = %(id)s AND state = 'exported';

-- name: record_again
-- Sends a table back to be exported to another file: the file, or the table, is not what it was. A
-- link that it had is replaced by the next one.
UPDATE crm_ops.audit_partition
SET state = 'detached', attempt = attempt + 1, file = NULL, file_bytes = NULL, sha256 = NULL,
    rows = NULL, checksum = NULL, exported_at = NULL, verified_at = NULL, link = NULL,
    replaces = CASE WHEN link IS NULL THEN replaces ELSE replaces || link END
WHERE id = %(id)s AND state IN ('exported', 'verified');

-- name: links
-- The manifest chain in its order; only reads.
SELECT number, entry, hash FROM crm_ops.audit_link
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
ORDER BY number;

-- name: last_link
-- The head of the manifest chain; no row before the first.
SELECT number, hash FROM crm_ops.audit_link
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
ORDER BY number DESC LIMIT 1;

-- name: add_link
-- Adds a link; a number that is taken is refused.
INSERT INTO crm_ops.audit_link (parent, number, entry, hash)
VALUES (format('%%I.%%I', %(schema)s::text, %(name)s::text), %(number)s, %(entry)s, %(hash)s);

-- name: archive_begun
-- Where the archive was begun; no row before; only reads.
SELECT url FROM crm_ops.audit_archive
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text);

-- name: begin_archive
-- Notes where the archive was begun, after its head was put there; begun again it is the newer place.
INSERT INTO crm_ops.audit_archive (parent, url)
VALUES (format('%%I.%%I', %(schema)s::text, %(name)s::text), %(url)s)
ON CONFLICT (parent) DO UPDATE SET url = excluded.url, begun_at = now();

-- name: unlinked
-- The tables whose file has no link yet, and how often each was written; only reads.
SELECT id, name, lower, attempt FROM crm_ops.audit_partition
WHERE parent = format('%%I.%%I', %(schema)s::text, %(name)s::text)
    AND state IN ('detached', 'exported');

-- name: record_restored
-- Notes a table that was filled from the archive and attached, with the links it was filled from; in
-- the transaction that attaches it.
INSERT INTO crm_ops.audit_partition
    (parent, name, lower, upper, state, rows, detached_at, restored_at, replaces)
VALUES (format('%%I.%%I', %(parent_schema)s::text, %(parent_name)s::text),
        format('%%I.%%I', %(schema)s::text, %(name)s::text),
        %(lower)s, %(upper)s, 'restored', %(rows)s, now(), now(), %(replaces)s::bigint[])
ON CONFLICT (parent, name) WHERE state <> 'dropped' DO UPDATE
SET state = excluded.state, rows = excluded.rows, restored_at = excluded.restored_at,
    lower = excluded.lower, upper = excluded.upper, replaces = excluded.replaces, link = NULL;

-- name: adoption
-- How far the adoption of a table has come; only reads.
SELECT position, copied FROM crm_ops.audit_adoption
WHERE name = format('%%I.%%I', %(schema)s::text, %(name)s::text);

-- name: adoption_begin
-- Notes that a table is being adopted; a second time keeps how far it has come.
INSERT INTO crm_ops.audit_adoption (name)
VALUES (format('%%I.%%I', %(schema)s::text, %(name)s::text)) ON CONFLICT DO NOTHING;

-- name: adoption_advance
-- Notes the last key copied, in the transaction that copies it.
UPDATE crm_ops.audit_adoption SET position = %(position)s, copied = copied + %(copied)s
WHERE name = format('%%I.%%I', %(schema)s::text, %(name)s::text);

-- name: adoption_end
-- Forgets an adoption that was finished or undone.
DELETE FROM crm_ops.audit_adoption
WHERE name = format('%%I.%%I', %(schema)s::text, %(name)s::text);

-- name: mirror_failures
-- How many writes could not be mirrored since the sequence was made; only reads.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM crm_ops.audit_mirror_failure;

-- name: adoption_hindrances
-- What a table has that cannot be carried over, in words; no row where it has nothing of it.
WITH subject AS (
    SELECT class.* FROM pg_class AS class
    WHERE class.oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(name)s::text))
)
SELECT CASE WHEN relkind = 'p' THEN 'it is partitioned already' ELSE 'it is not a plain table' END
    FROM subject WHERE relkind <> 'r' OR relispartition
    OR EXISTS (SELECT FROM pg_inherits WHERE oid IN (inhrelid, inhparent))
UNION ALL SELECT 'row-level security: switch it on again afterwards' FROM subject WHERE relrowsecurity
UNION ALL SELECT format('the foreign key %%I of %%s leads to it', conname, conrelid::regclass)
    FROM pg_constraint JOIN subject ON confrelid = subject.oid WHERE contype = 'f'
UNION ALL SELECT DISTINCT format('%%s depends on it', rewrite.ev_class::regclass)
    FROM pg_depend AS depend JOIN subject ON depend.refobjid = subject.oid
    JOIN pg_rewrite AS rewrite ON rewrite.oid = depend.objid
    WHERE depend.classid = 'pg_rewrite'::regclass
UNION ALL SELECT format('the column %%I may be NULL: it must be NOT NULL', attname)
    FROM pg_attribute JOIN subject ON attrelid = subject.oid
    WHERE attname = %(time)s AND NOT attnotnull
UNION ALL SELECT format('the column %%I has grants of its own', attname)
    FROM pg_attribute JOIN subject ON attrelid = subject.oid WHERE attacl IS NOT NULL
UNION ALL SELECT format('%%I is not its primary key alone', %(key)s::text) FROM subject
    WHERE relkind = 'r' AND NOT EXISTS (
        SELECT FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum]
        WHERE conrelid = subject.oid AND contype = 'p' AND attname = %(key)s
    )
UNION ALL SELECT format('the unique index %%s lacks the column %%I', indexrelid::regclass, %(time)s::text)
    FROM pg_index JOIN subject ON indrelid = subject.oid
    WHERE indisunique AND NOT indisprimary AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = indrelid AND attnum = ANY (indkey) AND attname = %(time)s
    );

-- name: adoption_carried
-- The statements that give the new table what the old one has: indexes and foreign keys at once,
-- grants with them, triggers at the swap. %%s stands for the new table.
WITH subject AS (
    SELECT to_regclass(format('%%I.%%I', %(schema)s::text, %(name)s::text)) AS oid
)
SELECT 'index' AS kind, indexrelid::regclass::text AS name,
    pg_get_indexdef(indexrelid) AS definition, indrelid::regclass::text AS holder
FROM pg_index JOIN subject ON indrelid = subject.oid WHERE NOT indisprimary
UNION ALL
SELECT 'key', conname, pg_get_constraintdef(pg_constraint.oid), conrelid::regclass::text
FROM pg_constraint JOIN subject ON conrelid = subject.oid WHERE contype = 'f'
UNION ALL
SELECT 'grant', CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ''
FROM pg_class JOIN subject ON pg_class.oid = subject.oid CROSS JOIN LATERAL aclexplode(relacl)
UNION ALL
SELECT 'trigger', tgname, pg_get_triggerdef(pg_trigger.oid), tgenabled::text
FROM pg_trigger JOIN subject ON tgrelid = subject.oid
WHERE NOT tgisinternal AND NOT starts_with(tgname, 'crm_ops_mirror')
UNION ALL
SELECT 'sequence', attname, pg_get_serial_sequence(subject.oid::regclass::text, attname), attidentity::text
FROM pg_attribute JOIN subject ON attrelid = subject.oid
WHERE attnum > 0 AND NOT attisdropped
    AND pg_get_serial_sequence(subject.oid::regclass::text, attname) IS NOT NULL;
