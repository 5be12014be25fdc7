"""Airflow as the stack speaks to it: its REST API, with the answers as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from crm_ops.base import errors


@dataclass(frozen=True)
class ImportFailure:
    """A DAG file that Airflow could not import, the last line of why, and when it tried."""

    file: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Dag:
    """A DAG as it was last read from its file."""

    dag_id: str
    is_paused: bool
    parsed_at: datetime


@dataclass(frozen=True)
class Run:
    """A DAG run; `state` is queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str

    @property
    def ended(self) -> bool:
        """Whether it succeeded or failed."""
        return self.state in ("success", "failed")


@dataclass(frozen=True)
class TaskRun:
    """A task instance; `state` is None while nothing has happened to it."""

    task_id: str
    map_index: int
    state: str | None


class Airflow:
    """A logged-in client of the Airflow at `url` (`http://host:port`)."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self.url = url
        # Not through a proxy: it is on this machine.
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=120)
        self._login = {"username": user, "password": password}
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def answers(self) -> bool:
        """Whether it is up and ours: what else may be on its port does not know the login."""
        try:
            return self._client.post("/auth/token", json=self._login).is_success
        except httpx.TransportError:
            return False

    def warm(self) -> None:
        """Have the API server build what tasks speak to: seconds that the first task would wait."""
        self._send("GET", "/execution/health")

    def token(self) -> str:
        """A new access token, for the header `Authorization: Bearer`."""
        answer = self._send("POST", "/auth/token", json=self._login)
        return str(answer["access_token"])

    def dags(self) -> dict[str, Dag]:
        """The DAGs by their ids."""
        answer = self._call("GET", "/api/v2/dags", params={"limit": 100})
        return {
            dag["dag_id"]: Dag(
                dag["dag_id"], dag["is_paused"], datetime.fromisoformat(dag["last_parsed_time"])
            )
            for dag in answer["dags"]
        }

    def import_failures(self) -> list[ImportFailure]:
        """The DAG files that could not be imported."""
        answer = self._call("GET", "/api/v2/importErrors")
        return [
            ImportFailure(
                failure["filename"],
                failure["stack_trace"].strip().splitlines()[-1],
                datetime.fromisoformat(failure["timestamp"]),
            )
            for failure in answer["import_errors"]
        ]

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a DAG."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> Run:
        """Start a run of a DAG with parameters."""
        wanted = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        return _run(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=wanted))

    def runs(self, run_id: str) -> dict[str, Run]:
        """The runs of all DAGs that have this id, as they are now, by DAG id."""
        answer = self._call("GET", "/api/v2/dags/~/dagRuns", params={"run_id_pattern": run_id})
        return {run["dag_id"]: _run(run) for run in answer["dag_runs"]}

    def tasks(self, run: Run) -> list[TaskRun]:
        """The task instances of a run."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        answer = self._call("GET", path, params={"limit": 100})
        return [
            TaskRun(task["task_id"], task["map_index"], task["state"])
            for task in answer["task_instances"]
        ]

    def _call(self, method: str, path: str, **more: Any) -> Any:
        if not self._token:
            self._token = self.token()
        return self._send(method, path, headers={"Authorization": f"Bearer {self._token}"}, **more)

    def _send(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.TransportError as error:
            raise errors.LocalError(
                f"Airflow at {self.url} does not answer ({error}); see its log"
            ) from error
        if answer.is_error:
            raise errors.LocalError(
                f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}"
            )
        return answer.json()


def _run(answer: Mapping[str, Any]) -> Run:
    return Run(answer["dag_id"], answer["dag_run_id"], answer["state"])


__all__ = ["Airflow", "Dag", "ImportFailure", "Run", "TaskRun"]
