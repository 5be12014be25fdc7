DROP SEQUENCE crm_ops.audit_mirror_failure;
DROP TABLE crm_ops.audit_adoption;
DROP TABLE crm_ops.audit_hold;
DROP TABLE crm_ops.audit_link;
DROP INDEX crm_ops.audit_partition_present;
-- The first form knows one table of a name, and no restored ones.
DELETE FROM crm_ops.audit_partition AS old USING crm_ops.audit_partition AS newer
    WHERE newer.parent = old.parent AND newer.name = old.name AND newer.id > old.id;
DELETE FROM crm_ops.audit_partition WHERE state = 'restored';
ALTER TABLE crm_ops.audit_partition
    DROP CONSTRAINT audit_partition_pkey,
    DROP CONSTRAINT audit_partition_state_check,
    DROP COLUMN id, DROP COLUMN attempt, DROP COLUMN file, DROP COLUMN file_bytes,
    DROP COLUMN sha256, DROP COLUMN checksum, DROP COLUMN link, DROP COLUMN replaces,
    DROP COLUMN exported_at, DROP COLUMN verified_at, DROP COLUMN restored_at,
    ADD CONSTRAINT audit_partition_state_check
        CHECK (state IN ('detached', 'exported', 'verified', 'dropped')),
    ADD PRIMARY KEY (parent, name);
