-- name: begin_run
-- Opens a run in the ledger.
INSERT INTO crm_ops.run (job, state, started_by, request, started_at)
VALUES (%(job)s, 'running', %(started_by)s, %(request)s::jsonb, %(now)s)
RETURNING id;

-- name: add_batch
-- Adds a planned batch; a second time it changes nothing.
INSERT INTO crm_ops.batch (run_id, number, label, work, state)
VALUES (%(run_id)s, %(number)s, %(label)s, %(work)s::jsonb, 'waiting')
ON CONFLICT (run_id, number) DO NOTHING;

-- name: begin_batch
-- Notes that a batch is being tried (again).
UPDATE crm_ops.batch
SET state = 'running', attempts = attempts + 1, started_at = %(now)s, finished_at = NULL, error = NULL
WHERE run_id = %(run_id)s AND number = %(number)s;

-- name: finish_batch
-- Stores what a batch did; the last try counts.
UPDATE crm_ops.batch
SET state = %(state)s, finished_at = %(now)s, tenants = %(tenants)s, rows_seen = %(rows_seen)s,
    figures_written = %(figures_written)s, failures = %(failures)s::jsonb,
    details = %(details)s::jsonb, error = %(error)s
WHERE run_id = %(run_id)s AND number = %(number)s;

-- name: batches
-- The batches of a run, in order.
SELECT number, label, state, tenants, rows_seen, figures_written, failures, details, error
FROM crm_ops.batch
WHERE run_id = %(run_id)s
ORDER BY number;

-- name: finish_run
-- Closes a run; closing it again stores the same.
UPDATE crm_ops.run
SET state = %(state)s, finished_at = %(now)s, tenants = %(tenants)s, rows_seen = %(rows_seen)s,
    figures_written = %(figures_written)s, error = %(error)s, details = %(details)s::jsonb,
    took_ms = greatest(0, extract(epoch FROM %(now)s - started_at) * 1000)::bigint
WHERE id = %(run_id)s
RETURNING job, took_ms;

-- name: hold_run
-- Notes that the run's process holds its lock.
UPDATE crm_ops.run SET held = true WHERE id = %(run_id)s;

-- name: interrupt_run
-- Closes a run that was broken off, with what its batches did; one that has ended stays as it is.
UPDATE crm_ops.run
SET state = 'failed', finished_at = %(now)s, error = %(error)s, tenants = %(tenants)s,
    rows_seen = %(rows_seen)s, figures_written = %(figures_written)s, details = %(details)s::jsonb,
    took_ms = greatest(0, extract(epoch FROM %(now)s - started_at) * 1000)::bigint
WHERE id = %(run_id)s AND state = 'running';

-- name: close_lost
-- Closes runs of a job that never ended: they began before a moment, their process is gone, or
-- Airflow, which has one run of a job at a time, has begun another.
UPDATE crm_ops.run
SET state = 'failed', finished_at = %(now)s,
    error = 'the run never ended: its process was killed, its machine stopped, or Airflow ended it'
WHERE job = %(job)s AND state = 'running'
  AND (started_at < %(before)s OR held AND crm_ops.nobody_at(id)
       OR %(airflow)s AND started_by LIKE 'airflow %%');

-- name: request_of
-- What a run was asked to do.
SELECT job, request FROM crm_ops.run WHERE id = %(run_id)s;

-- name: last_runs
-- The newest run of each job, and its newest success: one step into an index for each.
SELECT last.*,
       (SELECT done.finished_at FROM crm_ops.run AS done
        WHERE done.job = last.job AND done.state = 'success'
        ORDER BY done.finished_at DESC LIMIT 1) AS last_success_at
FROM unnest(%(jobs)s::text[]) AS asked (job)
CROSS JOIN LATERAL (
    SELECT id, job, state, started_by, started_at, finished_at, tenants, rows_seen,
           figures_written, took_ms, error, details
    FROM crm_ops.run_as_it_is AS run WHERE run.job = asked.job
    ORDER BY id DESC LIMIT 1
) AS last;

-- name: trend
-- The newest runs of each job, the oldest of them first.
SELECT last.*
FROM unnest(%(jobs)s::text[]) WITH ORDINALITY AS asked (job, place)
CROSS JOIN LATERAL (
    SELECT id, job, state, started_at, took_ms, rows_seen, figures_written,
           coalesce((request ->> 'dry_run')::boolean, false) AS dry_run
    FROM crm_ops.run_as_it_is AS run WHERE run.job = asked.job
    ORDER BY id DESC LIMIT %(most)s
) AS last
ORDER BY asked.place, last.id;

-- name: failed_tenants
-- The tenants that failed in some runs, and how many there are of each run.
SELECT run_id, tenant, why, of_run
FROM (
    SELECT batch.run_id, failure.key AS tenant, failure.value AS why,
           count(*) OVER (PARTITION BY batch.run_id)::integer AS of_run,
           row_number() OVER (PARTITION BY batch.run_id
                              ORDER BY batch.number, length(failure.key), failure.key) AS place
    FROM crm_ops.batch AS batch
    CROSS JOIN LATERAL jsonb_each_text(batch.failures) AS failure
    WHERE batch.run_id = ANY(%(runs)s::bigint[])
) AS failed
WHERE place <= %(most)s
ORDER BY run_id, place;

-- name: warmings
-- What the newest finished runs of warm_caches that wrote something left, the newest first.
SELECT started_at, details FROM crm_ops.run
WHERE job = 'warm_caches' AND state <> 'running' AND details ? 'facets_wanted'
  AND NOT coalesce((request ->> 'dry_run')::boolean, false)
ORDER BY id DESC LIMIT %(most)s;

-- name: epochs
-- How many scopes have an epoch, and whether epochs are kept at all; only reads.
SELECT count(DISTINCT scope) FILTER (WHERE scope NOT LIKE '*%%') AS scopes,
       coalesce(bool_or(scope LIKE '*%%' AND slot = 0), false) AS kept
FROM crm_ops.sharing_epoch;

-- name: counted_before
-- How many rows each tenant has by the figures that can be served.
SELECT tenant, counted FROM crm_ops.refresh
WHERE kind = %(kind)s AND entity = %(entity)s AND definition IS NOT NULL;

-- name: freshness
-- The oldest moment any tenant's figures of an entity are exact as of: of captured ones the moment
-- of the last fold, whether they changed or not; and when the oldest proof was.
SELECT kind, entity, count(*) AS tenants, sum(counted)::bigint AS counted,
       min(CASE WHEN captured THEN greatest(refresh.as_of, moment.as_of) ELSE refresh.as_of END)
         AS as_of,
       CASE WHEN count(proved_at) = count(*) THEN min(proved_at) END AS proved_at
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.moment AS moment USING (entity)
WHERE %(tenants)s::text[] = '{}' OR tenant = ANY(%(tenants)s::text[])
GROUP BY kind, entity
ORDER BY kind, entity;

-- name: freshness_by_tenant
-- The same of each tenant: as of when all its figures of an entity are exact, and their proof.
SELECT tenant,
       min(CASE WHEN captured THEN greatest(refresh.as_of, moment.as_of) ELSE refresh.as_of END)
         AS as_of,
       CASE WHEN count(proved_at) = count(*) THEN min(proved_at) END AS proved_at
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.moment AS moment USING (entity)
WHERE entity = %(entity)s
GROUP BY tenant;

-- name: tenants
-- One page of tenants with the oldest moment and the oldest proof among their figures, which all are
-- exact as of then or later, and their figures one by one. `total` counts what was searched for.
WITH figure AS (
    SELECT refresh.tenant, refresh.kind, refresh.counted, refresh.proved_at,
           CASE WHEN refresh.captured THEN greatest(refresh.as_of, moment.as_of)
                ELSE refresh.as_of END AS as_of
    FROM crm_ops.refresh AS refresh
    LEFT JOIN crm_ops.moment AS moment USING (entity)
    WHERE %(search)s = '' OR strpos(lower(refresh.tenant), lower(%(search)s)) > 0
), tenant AS (
    SELECT tenant, min(as_of) AS as_of,
           CASE WHEN count(proved_at) = count(*) THEN min(proved_at) END AS proved_at,
           coalesce(sum(counted) FILTER (WHERE kind = 'facets'), 0)::bigint AS counted
    FROM figure
    GROUP BY tenant
), shown AS (
    SELECT *, count(*) OVER () AS total,
           row_number() OVER (ORDER BY @order, length(tenant), tenant) AS place
    FROM tenant
    ORDER BY place LIMIT %(limit)s OFFSET %(offset)s
)
SELECT shown.tenant, shown.as_of, shown.proved_at, shown.counted, shown.total, parts.figures
FROM shown
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'kind', refresh.kind, 'entity', refresh.entity, 'counted', refresh.counted,
               'as_of', CASE WHEN refresh.captured THEN greatest(refresh.as_of, moment.as_of)
                             ELSE refresh.as_of END,
               'proved_at', refresh.proved_at
           ) ORDER BY refresh.entity, refresh.kind DESC) AS figures
    FROM crm_ops.refresh AS refresh
    LEFT JOIN crm_ops.moment AS moment USING (entity)
    WHERE refresh.tenant = shown.tenant
) AS parts
ORDER BY shown.place;

-- name: incidents
-- The newest alerts, open ones first, each with its deliveries. What a channel answered stays out: it
-- may hold an address that is a secret.
SELECT alert.id, alert.kind, alert.subject, alert.message, alert.opened_at, alert.recovered_at,
       coalesce((
           SELECT jsonb_agg(jsonb_build_object(
                      'channel', sent.channel, 'recipient', sent.recipient, 'phase', sent.phase,
                      'state', sent.state, 'attempts', sent.attempts,
                      'delivered_at', sent.delivered_at
                  ) ORDER BY sent.id)
           FROM crm_ops.alert_delivery AS sent WHERE sent.alert_id = alert.id
       ), '[]') AS deliveries
FROM (
    (SELECT * FROM crm_ops.alert WHERE state = 'open' ORDER BY opened_at DESC LIMIT %(most)s)
    UNION ALL
    (SELECT * FROM crm_ops.alert WHERE state = 'recovered' ORDER BY opened_at DESC LIMIT %(most)s)
) AS alert
ORDER BY alert.recovered_at IS NOT NULL, alert.opened_at DESC, alert.id DESC
LIMIT %(most)s;

-- name: forget_runs
-- Deletes some of the runs that began before a moment, but the newest and the newest success of each
-- job; what another deletes at the same moment is left to it.
WITH old AS MATERIALIZED (
    SELECT id FROM crm_ops.run
    WHERE started_at < %(before)s AND state <> 'running'
      AND id NOT IN (
          SELECT max(id) FROM crm_ops.run GROUP BY job
          UNION ALL
          SELECT max(id) FROM crm_ops.run WHERE state = 'success' GROUP BY job)
    ORDER BY started_at LIMIT %(rows)s FOR UPDATE SKIP LOCKED
)
DELETE FROM crm_ops.run USING old WHERE run.id = old.id;

-- name: forget_alerts
-- Deletes some of the alerts that were over before a moment.
WITH old AS MATERIALIZED (
    SELECT id FROM crm_ops.alert WHERE recovered_at < %(before)s
    ORDER BY id LIMIT %(rows)s FOR UPDATE SKIP LOCKED
)
DELETE FROM crm_ops.alert USING old WHERE alert.id = old.id;
