-- One row for each incident: something that people were told of, and whether it is over. The same
-- incident is open once, however many evaluations see it at the same moment.
CREATE TABLE crm_ops.alert (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident text NOT NULL,
    kind text NOT NULL CHECK (
        kind IN ('late', 'failed', 'stale', 'runway', 'drift', 'tenants', 'repairs')
    ),
    subject text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'recovered')),
    message text NOT NULL,
    opened_at timestamptz NOT NULL,
    recovered_at timestamptz,
    CHECK ((state = 'recovered') = (recovered_at IS NOT NULL))
);
CREATE UNIQUE INDEX alert_open ON crm_ops.alert (incident) WHERE state = 'open';
CREATE INDEX alert_by_moment ON crm_ops.alert (opened_at DESC);

-- Who is told what: one row for each message to each recipient. A pending one is due at
-- `next_attempt_at`, which also keeps a second sender away while the first is at it.
CREATE TABLE crm_ops.alert_delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES crm_ops.alert (id) ON DELETE CASCADE,
    channel text NOT NULL,
    recipient text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('opened', 'recovered')),
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    next_attempt_at timestamptz NOT NULL,
    delivered_at timestamptz,
    UNIQUE (alert_id, channel, recipient, phase),
    CHECK ((state = 'delivered') = (delivered_at IS NOT NULL))
);
CREATE INDEX alert_delivery_due ON crm_ops.alert_delivery (next_attempt_at) WHERE state = 'pending';

-- The ledger is pruned by age; a run is found by who started it, and the newest of a job that was
-- asked for everything at once, however long the ledger is.
CREATE INDEX run_by_start ON crm_ops.run (started_at);
CREATE INDEX run_by_starter ON crm_ops.run (started_by);
CREATE INDEX run_whole ON crm_ops.run (job, id DESC)
    WHERE finished_at IS NOT NULL AND request -> 'dry_run' = 'false'
      AND request -> 'entities' = '[]' AND request -> 'tenants' = '[]';
