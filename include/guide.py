"""What the page of every DAG says below its own text: parameters, and what to do when it fails."""

from __future__ import annotations

_TEXT = """
## Parameters

*Trigger* asks for them and checks them; nothing chosen means everything. The same from a shell:

```
airflow dags trigger {dag_id} --conf '{{"dry_run": true}}'
crm-ops run --task {job} --dry-run
```

## When it fails

Read the log of the task `report`; the page [CRM Ops](plugin/crm-ops) and `crm-ops status` show the
same. A batch that failed was tried up to three times, and the other batches were done. Running
again does no harm, and the next run makes up for what this one missed.

- *There is no connection*, or it *cannot be reached*: see `crm_postgres` and `crm_redis` under
  Admin > Connections.
- *The catalog has problems*: each is named with its line; `crm-ops catalog validate` lists them.
- *The role may not*: the message names what to grant.
- A task stays *scheduled*: its pool `{pool}` is missing or full; see Admin > Pools, and
  `crm-ops settings apply`, which makes it. With Celery, a task that stays *queued* has no worker on
  the queue `{pool}`.
- The run is late: Browse > Deadlines has it; [CRM Ops](plugin/crm-ops) shows what the last ones
  took.

Schedule (in UTC), deadline, timeout and pool are set in the catalog, `include/crm_ops.yaml`, under
`jobs.{job}`; `README.md` has more about the jobs.
"""


def text(*, job: str, dag_id: str, pool: str) -> str:
    """The guide of one DAG in Markdown."""
    return _TEXT.format(job=job, dag_id=dag_id, pool=pool)


__all__ = ["text"]
