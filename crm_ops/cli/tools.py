"""Opens what a command works with, and closes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from crm_ops.base import database, settings, store
from crm_ops.catalog import load
from crm_ops.jobs.work import Tools


def settings_from(
    database_url: str | None = None, redis_url: str | None = None, catalog: Path | None = None
) -> settings.Settings:
    """The settings of a command: its options, then the environment."""
    return settings.read(
        os.environ, database_url=database_url, redis_url=redis_url, catalog=catalog
    )


@contextmanager
def opened(given: settings.Settings) -> Iterator[Tools]:
    """The tools of the jobs; connects when they are first used."""
    loaded = load.load(given.catalog)
    limits = loaded.catalog.limits
    engine = database.engine(
        given.require_database(),
        limits=database.Limits(
            lock_timeout_ms=limits.lock_timeout_seconds * 1000,
            statement_timeout_ms=limits.statement_timeout_seconds * 1000,
        ),
    )
    redis = store.client(given.require_redis())
    try:
        yield Tools(
            loaded=loaded,
            engine=engine,
            redis=redis,
            clock=lambda: datetime.now(UTC),
            signing_key=given.signing_key,
        )
    finally:
        redis.close()
        engine.dispose()


__all__ = ["opened", "settings_from"]
