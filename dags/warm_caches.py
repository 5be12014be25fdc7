"""Full caches before the day begins, so that nobody waits for the first answer.

This DAG fills Redis, off-peak, with the sharing rules of every active tenant and entity, and with
their facet counts and aggregates.

- `plan` cuts the active tenants into batches.
- `work` warms one batch, then looks how much of what is wanted is there.
- `report` closes the run in the ledger, with that coverage, and updates the Airflow asset
  `crm_ops_warm_caches`.

While it does not run, all answers stay right: what is not in Redis is read from PostgreSQL.
"""

from include import dag

caches = dag.make("warm_caches", __doc__)
