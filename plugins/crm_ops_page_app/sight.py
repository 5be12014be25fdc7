"""What the page looks with: the catalog as the file is now, few and quick connections."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

from crm_ops.base import database, settings
from crm_ops.catalog import load
from crm_ops.catalog.catalog import Catalog
from include import connections

# A person waits no longer, and the CRM's server is not kept busy by who looks.
_LIMITS = database.Limits(lock_timeout_ms=1_000, statement_timeout_ms=5_000)
_MOST_CONNECTIONS = 3
# A connection that was edited in Airflow is taken up after so long.
_KEPT_S = 60.0


@dataclass(frozen=True)
class Sight:
    """Enough to look how things stand; see `crm_ops.jobs.work.Sight`."""

    engine: sa.Engine
    catalog: Catalog
    clock: Callable[[], datetime]


class Eyes:
    """Opens a sight, and keeps its engine for a while: a page asks every few seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: sa.Engine | None = None
        self._until = 0.0

    def open(self) -> Sight:
        """A sight of the CRM. Raises SettingsError where Airflow has no connection to it."""
        path = settings.catalog_path(os.environ)
        return Sight(
            self._kept_engine(), _catalog(path, path.stat().st_mtime_ns), lambda: datetime.now(UTC)
        )

    def close(self) -> None:
        """Give back all connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    def _kept_engine(self) -> sa.Engine:
        with self._lock:
            if self._engine is None or time.monotonic() > self._until:
                made = connections.engine(_LIMITS, most=_MOST_CONNECTIONS)
                if self._engine is not None:
                    self._engine.dispose()
                self._engine, self._until = made, time.monotonic() + _KEPT_S
            return self._engine


@lru_cache(maxsize=1)
def _catalog(path: Path, _changed: int) -> Catalog:
    """The catalog, read again when its file was changed."""
    return load.load(path).catalog


__all__ = ["Eyes", "Sight"]
