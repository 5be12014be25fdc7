"""Partitions of the audit log: made before they are needed, retired when they have expired.

The audit log is partitioned by calendar month. How far ahead months are made, how long they are
kept and what happens then is said in the catalog, under `audit`.

- `plan` compares the months that are wanted with the partitions that are there.
- `work` makes what is missing and retires what has expired; for a lock it waits briefly.
- `report` closes the run in the ledger, with partitions, sizes and the days until the last
  partition ends, and updates the Airflow asset `crm_ops_audit_maintenance`.

While it does not run, no row is lost: what falls into a month without a partition lands in the
default partition, and the next run moves it.
"""

from include import dag

audit = dag.make("audit_maintenance", __doc__)
