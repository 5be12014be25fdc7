"""The whole stack from nothing: servers and data, Airflow, the jobs run once; then it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from crm_ops.base import database, errors, rest
from crm_ops.base.results import JobResult
from crm_ops.local import outcome, ports, services, startup
from crm_ops.local.layout import Layout
from crm_ops.local.services import Note, Services

_FIRST_PORT = 8080


@dataclass(frozen=True)
class Stack:
    """A running stack: its servers, the CRM's database, and Airflow."""

    services: Services
    engine: sa.Engine
    airflow: rest.Airflow
    started_at: datetime
    note: Note

    @property
    def url(self) -> str:
        """Where Airflow's UI is."""
        return self.airflow.url

    def run(self, jobs: Mapping[str, str]) -> list[JobResult]:
        """Run jobs once through Airflow, all at once, and say what each did.

        `jobs` is each job's DAG id by its name. A job that failed is a result, not an error; a DAG
        file that cannot be imported raises LocalError.
        """
        until = self.services.processes.until
        until(lambda: self._read(jobs.values()), what="a DAG", timeout_s=300, every_s=0.2)
        run_id = f"up__{datetime.now(UTC).isoformat()}"
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
        until(ended, what="a job", timeout_s=3600, every_s=0.2)
        return [self._outcome(job, run) for job, run in runs.items()]

    def _read(self, dag_ids: Iterable[str]) -> bool:
        """Whether Airflow has read these DAGs from their files as they are now."""
        for failure in self.airflow.import_failures():
            if failure.at >= self.started_at:
                raise errors.LocalError(f"{failure.file} cannot be imported: {failure.reason}")
        found = self.airflow.dags()
        return all(
            dag_id in found and found[dag_id].parsed_at >= self.started_at for dag_id in dag_ids
        )

    def _outcome(self, job: str, run: rest.Run) -> JobResult:
        failed = [task.task_id for task in self.airflow.tasks(run) if task.state == "failed"]
        page = f"{self.url}/dags/{run.dag_id}/runs/{run.run_id}"
        return outcome.read(self.engine, job, run, failed=failed, page=page)


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
    with (
        # Waited for last: the end of its database is the end of the thread.
        ThreadPoolExecutor(1) as helper,
        services.up(layout, note=note) as base,
        _engine(base.database_url) as engine,
        ports.claimed(_FIRST_PORT) as port,
        _client(base, port) as client,
    ):
        prepared = helper.submit(prepare, engine)
        started_at = datetime.now(UTC)
        startup.airflow_up(layout, base, client, inherited=inherited, port=port, note=note)
        if not prepared.done():
            note("data", "being made")
        base.processes.until(prepared.done, what="the data", timeout_s=3600)
        prepared.result()
        yield Stack(base, engine, client, started_at, note)


@contextmanager
def _engine(url: str) -> Iterator[sa.Engine]:
    engine = database.engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _client(base: Services, port: int) -> rest.Airflow:
    url = f"http://{ports.LOOPBACK}:{port}"
    return rest.Airflow(url, rest.Login("admin", base.credentials.airflow_admin))


__all__ = ["Stack", "stack"]
