-- One row for each change log: the CRM's table it follows, the SQL that was applied (its checksum),
-- and what the table and our triggers looked like when the figures were last made to match.
CREATE TABLE crm_ops.capture (
    log text PRIMARY KEY,
    entity text NOT NULL,
    relation text NOT NULL,
    definition text NOT NULL,
    watched text[] NOT NULL,
    shape text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Written where changes of an entity's rows were not logged: its figures are counted again.
CREATE TABLE crm_ops.rebuild_marker (
    entity text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What figures were made with: the checksum of each facet's or aggregate's declaration.
CREATE TABLE crm_ops.definition (
    id text PRIMARY KEY,
    parts jsonb NOT NULL
);

-- `definition` is what a tenant's figures were made with; `captured` says that every later change is
-- in the log, so that they can be folded; `proved_at` when they were last found equal to a recount.
ALTER TABLE crm_ops.refresh
    ADD COLUMN definition text REFERENCES crm_ops.definition (id),
    ADD COLUMN captured boolean NOT NULL DEFAULT false,
    ADD COLUMN proved_at timestamptz;

-- The moment that all tenants' captured figures of an entity are exact as of, touched or not.
CREATE TABLE crm_ops.moment (
    entity text PRIMARY KEY,
    as_of timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The version of a tenant's figures that Redis was last given.
CREATE TABLE crm_ops.published (
    kind text NOT NULL,
    entity text NOT NULL,
    tenant text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (kind, entity, tenant)
) WITH (fillfactor = 50);
