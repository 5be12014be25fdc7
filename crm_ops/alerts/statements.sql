-- name: of_scheduler
-- The newest run of a job that a run of the scheduler started.
SELECT max(id) FROM crm_ops.run WHERE job = %(job)s AND started_by = %(started_by)s;

-- name: whole
-- The newest run of each job that has ended and was asked for everything, no dry run.
SELECT last.id
FROM unnest(%(jobs)s::text[]) AS wanted (job)
CROSS JOIN LATERAL (
    SELECT id FROM crm_ops.run
    WHERE run.job = wanted.job AND finished_at IS NOT NULL
      AND request -> 'dry_run' = 'false'
      AND request -> 'entities' = '[]' AND request -> 'tenants' = '[]'
    ORDER BY id DESC LIMIT 1
) AS last;

-- name: runs
-- Runs, and what went wrong in their batches.
SELECT run.job, run.state, run.started_by, run.started_at, run.finished_at,
       (run.request ->> 'dry_run')::boolean AS dry_run, run.error, run.details,
       batches.failures, batches.broken
FROM crm_ops.run AS run
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(failure.key, failure.value)
                      FILTER (WHERE failure.key IS NOT NULL), '{}') AS failures,
           count(*) FILTER (WHERE batch.state NOT IN ('success', 'partial'))::int AS broken
    FROM crm_ops.batch AS batch
    LEFT JOIN LATERAL jsonb_each(batch.failures) AS failure ON true
    WHERE batch.run_id = run.id
) AS batches
WHERE run.id = ANY (%(ids)s::bigint[]);

-- name: moments
-- As of when each entity's figures are exact at least, and those of tenants the log does not keep.
-- Whoever left, or what is not declared any more, grows old by right.
SELECT entity,
       min(CASE WHEN captured THEN greatest(refresh.as_of, moment.as_of) ELSE refresh.as_of END)
         AS oldest,
       min(refresh.as_of) FILTER (WHERE NOT captured) AS uncaptured
FROM crm_ops.refresh AS refresh
LEFT JOIN crm_ops.moment AS moment USING (entity)
WHERE tenant = ANY (%(tenants)s::text[])
  AND (kind = 'facets' OR entity = ANY (%(reported)s::text[]))
GROUP BY entity;

-- name: tenants
-- The counted rows of each tenant's entity, and since when the log does not keep its figures.
SELECT entity, tenant, max(counted)::bigint AS counted,
       min(as_of) FILTER (WHERE NOT captured) AS uncaptured
FROM crm_ops.refresh
WHERE tenant = ANY (%(tenants)s::text[])
  AND (kind = 'facets' OR entity = ANY (%(reported)s::text[]))
GROUP BY entity, tenant;

-- name: open
-- Opens an incident; while it is open a second time changes nothing and returns no row.
INSERT INTO crm_ops.alert (incident, kind, subject, message, opened_at)
VALUES (%(incident)s, %(kind)s, %(subject)s, %(message)s, %(now)s)
ON CONFLICT (incident) WHERE state = 'open' DO NOTHING
RETURNING id;

-- name: announce
-- One message to a recipient; a second time changes nothing.
INSERT INTO crm_ops.alert_delivery (alert_id, channel, recipient, phase, next_attempt_at)
VALUES (%(alert_id)s, %(channel)s, %(recipient)s, 'opened', %(now)s)
ON CONFLICT (alert_id, channel, recipient, phase) DO NOTHING;

-- name: standing
-- The incidents that are open.
SELECT id, incident, kind, subject, opened_at FROM crm_ops.alert WHERE state = 'open' ORDER BY id;

-- name: recover
-- Closes an incident, and tells whoever was told of it; only one of two at once does.
WITH over AS (
    UPDATE crm_ops.alert SET state = 'recovered', recovered_at = %(now)s
    WHERE id = %(id)s AND state = 'open'
    RETURNING id
), told AS (
    INSERT INTO crm_ops.alert_delivery (alert_id, channel, recipient, phase, next_attempt_at)
    SELECT over.id, channel, recipient, 'recovered', %(now)s
    FROM over JOIN crm_ops.alert_delivery AS opened ON opened.alert_id = over.id
    WHERE opened.phase = 'opened' AND opened.state <> 'failed'
)
SELECT id FROM over;

-- name: claim
-- Takes the next message that is due, for as long as a sender may need; nobody else takes it until
-- then. Of one incident a recipient hears the end after the beginning.
UPDATE crm_ops.alert_delivery AS delivery
SET attempts = attempts + 1, next_attempt_at = %(until)s
FROM crm_ops.alert AS alert
WHERE alert.id = delivery.alert_id AND delivery.id = (
    SELECT due.id FROM crm_ops.alert_delivery AS due
    WHERE due.state = 'pending' AND due.next_attempt_at <= %(now)s
      AND due.channel <> ALL (%(skip)s::text[])
      AND (due.phase = 'opened' OR NOT EXISTS (
            SELECT FROM crm_ops.alert_delivery AS opened
            WHERE opened.alert_id = due.alert_id AND opened.channel = due.channel
              AND opened.recipient = due.recipient AND opened.phase = 'opened'
              AND opened.state = 'pending'))
    ORDER BY due.id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING delivery.id, delivery.channel, delivery.recipient, delivery.phase, delivery.attempts,
          alert.id AS alert_id, alert.incident, alert.kind, alert.subject, alert.message,
          alert.opened_at, alert.recovered_at;

-- name: delivered
-- Notes that a message arrived.
UPDATE crm_ops.alert_delivery
SET state = 'delivered', delivered_at = %(now)s, last_error = NULL
WHERE id = %(id)s AND state = 'pending';

-- name: not_delivered
-- Notes why a message did not arrive, and when it is tried again, or that it is given up.
UPDATE crm_ops.alert_delivery
SET state = %(state)s, last_error = %(error)s, next_attempt_at = %(next)s
WHERE id = %(id)s AND state = 'pending';

-- name: pending
-- How many messages wait.
SELECT count(*) FROM crm_ops.alert_delivery WHERE state = 'pending';
