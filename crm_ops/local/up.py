"""The whole stack from nothing: servers and data, Airflow, the jobs run once; then it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from crm_ops.base import database, errors
from crm_ops.base.results import JobResult
from crm_ops.jobs import ledger
from crm_ops.local import airflow, connections, databases, ports, rest, services
from crm_ops.local.layout import Layout
from crm_ops.local.services import Note, Services

_METADATA = "airflow"
_FIRST_PORT = 8080


@dataclass(frozen=True)
class Stack:
    """A running stack: its servers, the CRM's database, and Airflow at `url`."""

    services: Services
    engine: sa.Engine
    airflow: rest.Airflow
    url: str
    note: Note

    def run(self, jobs: Mapping[str, str]) -> list[JobResult]:
        """Run jobs once through Airflow, all at once, and say what each did.

        `jobs` is each job's DAG id by its name. A job that failed is a result, not an error.
        """
        since = datetime.now(UTC)
        run_id = f"up__{since.isoformat()}"
        # Unpaused after it was triggered, so that our run goes before a scheduled one.
        runs = {job: self.airflow.trigger(dag_id, run_id) for job, dag_id in jobs.items()}
        for dag_id in jobs.values():
            self.airflow.unpause(dag_id)

        def ended() -> bool:
            now = self.airflow.runs(run_id)
            for job, run in runs.items():
                runs[job] = now[run.dag_id]
                if run.state != runs[job].state:
                    self.note(job, runs[job].state)
            return all(run.ended for run in runs.values())

        # A DAG's own timeout ends its run long before.
        self.services.processes.until(ended, what="a job", timeout_s=3600, every_s=0.2)
        last = ledger.last_runs(self.engine)
        return [self._result(job, run, last.get(job), since) for job, run in runs.items()]

    def _result(
        self, job: str, run: rest.Run, row: ledger.LastRun | None, since: datetime
    ) -> JobResult:
        page = f"see {self.url}/dags/{run.dag_id}/runs/{run.run_id}"
        if row is None or row.started_at < since or row.state == "running":
            tasks = [task.task_id for task in self.airflow.tasks(run) if task.state == "failed"]
            what = f"failed in {', '.join(tasks)}" if tasks else "left no line in the ledger"
            return JobResult(job, "failed", 0, 0, 0, 0, error=f"it {what}; {page}")
        state = row.state if run.state == "success" else "failed"
        return JobResult(
            job,
            state,
            row.tenants,
            row.rows_seen,
            row.figures_written,
            row.took_ms or 0,
            error=row.error or (None if state == "success" else page),
        )


@contextmanager
def stack(
    layout: Layout,
    *,
    prepare: Callable[[sa.Engine], None],
    inherited: Mapping[str, str],
    note: Note,
) -> Iterator[Stack]:
    """Start everything, and stop it at the end.

    `prepare` makes schema and data in the CRM's database, in a thread of its own while Airflow
    starts; `inherited` is the environment of the caller. Raises LocalError where a part does not
    come up, and what `prepare` raises.
    """
    # The thread is waited for last: the end of its database is the end of it.
    with ThreadPoolExecutor(1) as helper, services.up(layout, note=note) as base:
        engine = database.engine(base.database_url)
        prepared = helper.submit(prepare, engine)
        port = ports.first_free(_FIRST_PORT)
        url = f"http://{ports.LOOPBACK}:{port}"
        password = base.credentials.airflow_admin
        with rest.Airflow(url, user="admin", password=password) as client:
            _start_airflow(
                layout, base, client, prepared, inherited=inherited, port=port, note=note
            )
            note("data", "waiting")
            base.processes.until(prepared.done, what="the data", timeout_s=3600)
            prepared.result()
            yield Stack(base, engine, client, url, note)
        engine.dispose()


def _start_airflow(
    layout: Layout,
    base: Services,
    client: rest.Airflow,
    prepared: Future[None],
    *,
    inherited: Mapping[str, str],
    port: int,
    note: Note,
) -> None:
    """Start Airflow; return when its DAGs can run. What is waited for longest is started first."""
    processes = base.processes
    databases.ensure(base.postgres, _METADATA)
    airflow.write_logins(layout, base.credentials)
    programs = airflow.programs(
        layout,
        airflow.environment(
            layout,
            base.credentials,
            inherited=inherited,
            database_url=base.postgres.url(_METADATA),
            connections=connections.variables(base.postgres, services.DATABASE, base.redis),
            port=port,
        ),
    )

    def sound(ready: Callable[[], bool]) -> Callable[[], bool]:
        """`ready`, asked only while the data are being made or are there."""

        def both() -> bool:
            if prepared.done():
                prepared.result()
            return ready()

        return both

    fingerprint = airflow.fingerprint(layout)
    fresh = databases.noted(base.postgres, _METADATA) != fingerprint
    if fresh:
        note("Airflow", "migrating")
        processes.start(programs["migrate"])
        processes.finish("airflow-migrate", timeout_s=120)
    note("Airflow", "starting")
    for name in ("api-server", "scheduler", "dag-processor"):
        processes.start(programs[name])
    processes.until(sound(client.answers), what="Airflow's API server", timeout_s=120, every_s=0.1)
    processes.start(programs["triggerer"])
    if fresh:
        processes.start(programs["settings"])
    client.warm()
    files = len(list((layout.root / "dags").glob("*.py")))
    processes.until(
        sound(lambda: _parsed(client, files)), what="the list of DAGs", timeout_s=120, every_s=0.2
    )
    if fresh:
        processes.finish("airflow-settings", timeout_s=120)
        databases.note(base.postgres, _METADATA, fingerprint)
    note("Airflow", "up")


def _parsed(client: rest.Airflow, files: int) -> bool:
    for failure in client.import_failures():
        raise errors.LocalError(f"{failure.file} cannot be imported: {failure.reason}")
    return len(client.dags()) >= files


__all__ = ["Stack", "stack"]
