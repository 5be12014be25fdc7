"""What a task works with, opened by Airflow's connections and closed when the task is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from crm_ops.base import database, settings
from crm_ops.catalog import load
from crm_ops.jobs.work import Tools
from include import connections


@contextmanager
def opened(environment: Mapping[str, str]) -> Iterator[Tools]:
    """The tools of one task; `environment` names catalog and archive and holds the signing key.

    Raises CatalogError where the catalog is wrong, SettingsError where a connection is missing.
    """
    loaded = load.load(settings.catalog_path(environment))
    limits = loaded.catalog.limits
    key = environment.get(settings.SIGNING_KEY)
    engine = connections.engine(
        database.Limits(
            lock_timeout_ms=limits.lock_timeout_seconds * 1000,
            statement_timeout_ms=limits.statement_timeout_seconds * 1000,
        )
    )
    redis = connections.redis()
    try:
        yield Tools(
            loaded=loaded,
            engine=engine,
            redis=redis,
            clock=lambda: datetime.now(UTC),
            signing_key=key.encode() if key else None,
            archive=connections.archive(environment, loaded.catalog),
        )
    finally:
        redis.close()
        engine.dispose()


__all__ = ["opened"]
