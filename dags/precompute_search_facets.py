"""Exact facet counts, so that faceted search answers at once.

Beside each filter a search page shows how many records it would leave: leads by status, deals by
stage, accounts by industry. This DAG counts them for every tenant; a search only reads them.

- `plan` checks the catalog against the database and cuts the tenants into batches of even size.
- `work` counts one batch of one entity in PostgreSQL and publishes the counts to Redis.
- `report` closes the run in the ledger and updates the Airflow asset `crm_ops_precompute_facets`.

While it does not run, search shows the counts of the last run with their age.
"""

from include import dag

facets = dag.make("precompute_facets", __doc__)
