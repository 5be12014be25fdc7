"""What a task works with, opened by Airflow's connections and closed when the task is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from airflow.sdk import Variable

from crm_ops.base import database, settings
from crm_ops.catalog import load
from crm_ops.jobs.work import Tools
from include import connections

# Airflow hides the values of variables whose names hold the word secret.
SIGNING_VARIABLE = "crm_ops_signing_secret"


@contextmanager
def opened(environment: Mapping[str, str]) -> Iterator[Tools]:
    """The tools of one task; `environment` names catalog and archive and holds the signing key.

    Where it holds none, the key is Airflow's variable, which its secrets backends hold, too.
    Raises CatalogError where the catalog is wrong, SettingsError where a connection is missing.
    """
    loaded = load.load(settings.catalog_path(environment))
    limits = loaded.catalog.limits
    key = environment.get(settings.SIGNING_KEY)
    if not key and loaded.catalog.sharing is not None:
        key = Variable.get(SIGNING_VARIABLE, default=None)
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


__all__ = ["SIGNING_VARIABLE", "opened"]
