-- A name may come back after its table was dropped, so a row has a number of its own. What was
-- exported is told beside it: the file, its SHA-256, and the rows it was verified to hold.
-- `replaces` names the links of the chain whose rows are all in this table again.
ALTER TABLE crm_ops.audit_partition
    ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN attempt integer NOT NULL DEFAULT 1,
    ADD COLUMN file text,
    ADD COLUMN file_bytes bigint,
    ADD COLUMN sha256 text,
    ADD COLUMN checksum numeric,
    ADD COLUMN link bigint,
    ADD COLUMN replaces bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN exported_at timestamptz,
    ADD COLUMN verified_at timestamptz,
    ADD COLUMN restored_at timestamptz,
    DROP CONSTRAINT audit_partition_pkey,
    DROP CONSTRAINT audit_partition_state_check,
    ADD CONSTRAINT audit_partition_state_check
        CHECK (state IN ('restored', 'detached', 'exported', 'verified', 'dropped')),
    ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX audit_partition_present
    ON crm_ops.audit_partition (parent, name) WHERE state <> 'dropped';

-- The manifest chain: one link for each archived file. `entry` is the link's JSON to the byte, which
-- also lies beside the files; `hash` is its SHA-256, and the next entry holds it.
CREATE TABLE crm_ops.audit_link (
    parent text NOT NULL,
    number bigint NOT NULL,
    entry text NOT NULL,
    hash text NOT NULL,
    PRIMARY KEY (parent, number)
);

-- Legal holds. A hold without tenant, object or range concerns every row; one that is lifted, or
-- whose end has passed, concerns none.
CREATE TABLE crm_ops.audit_hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent text NOT NULL,
    tenant text,
    object text,
    lower timestamptz,
    upper timestamptz,
    reason text NOT NULL CHECK (reason <> ''),
    placed_by text NOT NULL CHECK (placed_by <> ''),
    placed_at timestamptz NOT NULL DEFAULT now(),
    until timestamptz,
    lifted_by text,
    lifted_at timestamptz,
    CHECK (lower < upper)
);

-- Tables that are being made into partitioned ones, and the last key that was copied. The sequence
-- counts writes that could not be mirrored: it needs no lock and survives a rollback.
CREATE TABLE crm_ops.audit_adoption (
    name text PRIMARY KEY,
    position text,
    copied bigint NOT NULL DEFAULT 0
);
CREATE SEQUENCE crm_ops.audit_mirror_failure;
