"""Airflow by its REST API, with the answers as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from crm_ops.base import errors

# What was asked is not there, or not so: asking again is of no use.
_WRONG_CALL = (400, 404, 409, 422)


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


@dataclass(frozen=True)
class Login:
    """A user's name and password, by which Airflow gives a token."""

    user: str
    password: str = field(repr=False)


class Airflow:
    """A logged-in client of the Airflow at `url` (`http://host:port`, or below a path of it).

    `login` is a user's, or a token that was given before. With `here` it is on this machine, and
    the proxies of the environment are not for it.
    """

    def __init__(self, url: str, login: Login | str, *, here: bool = True) -> None:
        self.url = url.rstrip("/")
        try:
            self._client = httpx.Client(base_url=self.url, trust_env=not here, timeout=120)
        except httpx.InvalidURL as error:
            raise errors.ParameterError(
                f"{url!r} is no address of an Airflow; write one such as https://airflow.example.com"
            ) from error
        self._login = login if isinstance(login, Login) else None
        self._token = "" if isinstance(login, Login) else login

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
            return self._client.post("/auth/token", json=self._credentials()).is_success
        except httpx.TransportError:
            return False

    def warm(self) -> None:
        """Have the API server build what tasks speak to: seconds that the first task would wait."""
        self._send("GET", "/execution/health")

    def token(self) -> str:
        """A new access token, for the header `Authorization: Bearer`."""
        answer = self._send("POST", "/auth/token", json=self._credentials())
        return str(answer["access_token"])

    def dags(self) -> dict[str, Dag]:
        """The DAGs by their ids."""
        answer = self._call("GET", "/api/v2/dags", params={"limit": 100})
        return {dag["dag_id"]: _dag(dag) for dag in answer["dags"]}

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

    def run(self, run: Run) -> Run:
        """A run as it is now."""
        return _run(self._call("GET", self._of(run)))

    def dag(self, dag_id: str) -> Dag:
        """One DAG."""
        return _dag(self._call("GET", f"/api/v2/dags/{dag_id}"))

    def tasks(self, run: Run) -> list[TaskRun]:
        """The task instances of a run."""
        answer = self._call("GET", f"{self._of(run)}/taskInstances", params={"limit": 100})
        return [
            TaskRun(task["task_id"], task["map_index"], task["state"])
            for task in answer["task_instances"]
        ]

    def xcom(self, run: Run, task_id: str, key: str) -> Any:
        """What a task handed on under a key; None where it did not."""
        path = f"{self._of(run)}/taskInstances/{task_id}/xcomEntries"
        held = self._call("GET", path, params={"limit": 100})["xcom_entries"]
        if key not in {each["key"] for each in held}:
            return None
        return self._call("GET", f"{path}/{key}", params={"deserialize": True})["value"]

    def _of(self, run: Run) -> str:
        return f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}"

    def _credentials(self) -> dict[str, str]:
        if self._login is None:
            return {}
        return {"username": self._login.user, "password": self._login.password}

    def _call(self, method: str, path: str, **more: Any) -> Any:
        if not self._token:
            self._token = self.token()
        return self._send(method, path, headers={"Authorization": f"Bearer {self._token}"}, **more)

    def _send(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.TransportError as error:
            raise errors.AirflowError(
                f"Airflow at {self.url} does not answer ({error}); see its log"
            ) from error
        if answer.is_success:
            return answer.json()
        told = f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}"
        if answer.status_code in _WRONG_CALL:
            raise errors.ParameterError(told)
        raise errors.AirflowError(told)


def _dag(answer: Mapping[str, Any]) -> Dag:
    parsed_at = datetime.fromisoformat(answer["last_parsed_time"])
    return Dag(answer["dag_id"], answer["is_paused"], parsed_at)


def _run(answer: Mapping[str, Any]) -> Run:
    return Run(answer["dag_id"], answer["dag_run_id"], answer["state"])


__all__ = ["Airflow", "Dag", "ImportFailure", "Login", "Run", "TaskRun"]
