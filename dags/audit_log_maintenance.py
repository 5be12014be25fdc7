"""Partitions of the audit log: made before they are needed, retired when they have expired.

The audit log is partitioned by calendar month. How far ahead months are made, how long they are
kept and what happens then is said in the catalog, under `audit`.

- `plan` compares the months that are wanted with the partitions that are there.
- `ensure` makes what is missing; for a lock it waits briefly. Whatever stops the rest, it is done.
- `expire`, `archive`, `verify` and `drop` take each month past its retention off the log, to a
  file, through a comparison of the two, and away: as far as each may go by now. One that fails
  stops neither other months nor the report.
- `report` closes the run in the ledger, with partitions, sizes and the days until the last
  partition ends, and updates the Airflow asset `crm_ops_audit_maintenance`.

Each task returns its figures (*XCom*). `archive` and `verify` run in the pool `workflow_cpu`.

While it does not run, no row is lost: what falls into a month without a partition lands in the
default partition, and the next run moves it.
"""

from include import dag

audit = dag.make("audit_maintenance", __doc__)
