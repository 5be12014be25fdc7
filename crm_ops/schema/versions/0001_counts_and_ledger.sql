-- The ledger: one row for each run of a job, and one for each batch of it.
CREATE TABLE crm_ops.run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'success', 'partial', 'failed')),
    started_by text NOT NULL,
    request jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    tenants integer NOT NULL DEFAULT 0,
    rows_seen bigint NOT NULL DEFAULT 0,
    figures_written bigint NOT NULL DEFAULT 0,
    took_ms bigint,
    error text,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX run_by_job ON crm_ops.run (job, id DESC);

CREATE TABLE crm_ops.batch (
    run_id bigint NOT NULL REFERENCES crm_ops.run (id) ON DELETE CASCADE,
    number integer NOT NULL,
    label text NOT NULL,
    work jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'success', 'partial', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    finished_at timestamptz,
    tenants integer NOT NULL DEFAULT 0,
    rows_seen bigint NOT NULL DEFAULT 0,
    figures_written bigint NOT NULL DEFAULT 0,
    failures jsonb NOT NULL DEFAULT '{}',
    details jsonb NOT NULL DEFAULT '{}',
    error text,
    PRIMARY KEY (run_id, number)
);

-- How many rows of a tenant's entity are in each bucket of each facet. The facet '' has one bucket,
-- NULL: the total. A bucket NULL of another facet counts the rows without a value.
CREATE TABLE crm_ops.facet_count (
    entity text NOT NULL,
    tenant text NOT NULL,
    facet text NOT NULL,
    bucket text,
    n bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (entity, tenant, facet, bucket)
) WITH (fillfactor = 50);

-- The figures of one group of an aggregate: of the rows (measured '') or of a measured column,
-- how many values there are, their sum, the smallest and the largest.
CREATE TABLE crm_ops.aggregate (
    aggregate text NOT NULL,
    tenant text NOT NULL,
    dimensions text[] NOT NULL,
    measured text NOT NULL,
    n bigint NOT NULL,
    total numeric,
    low numeric,
    high numeric,
    PRIMARY KEY (aggregate, tenant, dimensions, measured)
) WITH (fillfactor = 50);

-- When a tenant's figures of an entity were last made exact, from how many rows, and their version.
CREATE TABLE crm_ops.refresh (
    kind text NOT NULL CHECK (kind IN ('facets', 'aggregates')),
    entity text NOT NULL,
    tenant text NOT NULL,
    version bigint NOT NULL,
    as_of timestamptz NOT NULL,
    counted bigint NOT NULL,
    PRIMARY KEY (kind, entity, tenant)
) WITH (fillfactor = 50);

-- Partitions of the audit log that we detached, and how far each has come.
CREATE TABLE crm_ops.audit_partition (
    parent text NOT NULL,
    name text NOT NULL,
    lower timestamptz NOT NULL,
    upper timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('detached', 'exported', 'verified', 'dropped')),
    rows bigint,
    bytes bigint,
    detached_at timestamptz NOT NULL,
    dropped_at timestamptz,
    PRIMARY KEY (parent, name)
);
