"""The words of a job: what is asked, with which tools, and the batches it is cut into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

import sqlalchemy as sa

from crm_ops.base.archive import Archive
from crm_ops.base.store import Client
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.load import Loaded

Mode = Literal["auto", "incremental", "full", "verify"]


@dataclass(frozen=True)
class Request:
    """What a run is asked to do; an empty `entities` or `tenants` means all of them.

    `mode` is how figures are brought up to date: "incremental" folds the changes and refuses where
    that would not be exact, "full" counts anew, "auto" folds where it can. "verify" compares
    with a count of the rows and changes no figure.
    """

    entities: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    dry_run: bool = False
    mode: Mode = "auto"


@dataclass(frozen=True)
class Tools:
    """What a job works with, opened and closed by its caller."""

    loaded: Loaded
    engine: sa.Engine
    redis: Client
    clock: Callable[[], datetime]
    signing_key: bytes | None = field(default=None, repr=False)
    archive: Archive = field(default_factory=Archive)

    @property
    def catalog(self) -> Catalog:
        """What the catalog file declares."""
        return self.loaded.catalog


class Sight(Protocol):
    """What it takes to look how things stand; the tools of a job are enough."""

    @property
    def engine(self) -> sa.Engine:
        """The CRM's PostgreSQL."""

    @property
    def catalog(self) -> Catalog:
        """What the catalog file declares."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """Says what time it is."""


@dataclass(frozen=True)
class Work:
    """One batch as a job plans it: a label for people, and JSON-ready arguments for its `do`.

    Of a job that has stages also which stage it is of and, where a stage is done for each of
    several subjects, which subject it is for: what failed for one is not gone on with.
    """

    label: str
    arguments: Mapping[str, Any]
    stage: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Batch:
    """One batch in the ledger: JSON-ready, so that Airflow can hand it to a mapped task."""

    job: str
    run_id: int
    number: int
    label: str
    arguments: Mapping[str, Any]
    dry_run: bool
    stage: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run that was opened in the ledger, and its batches."""

    run_id: int
    batches: tuple[Batch, ...]


__all__ = ["Batch", "Mode", "Plan", "Request", "Sight", "Tools", "Work"]
