"""Exact figures of every aggregate, so that reports do not scan tables.

Reports show figures by dimensions: leads by source, revenue by stage, deals by owner. This DAG
computes them for every tenant; a report only reads them.

- `plan` checks the catalog against the database and cuts the tenants into batches of even size.
- `work` counts one batch of one entity in PostgreSQL and publishes the figures to Redis.
- `report` closes the run in the ledger and updates the Airflow asset
  `crm_ops_precompute_aggregates`.

While it does not run, reports show the figures of the last run with their age.
"""

from include import dag

aggregates = dag.make("precompute_aggregates", __doc__)
