"""Opens what a command works with, and closes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

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
def engine(
    given: settings.Settings, *, limits: database.Limits | None = None
) -> Iterator[sa.Engine]:
    """An engine on the CRM's PostgreSQL; it connects when it is first used."""
    made = database.engine(given.require_database(), limits=limits)
    try:
        yield made
    finally:
        made.dispose()


@contextmanager
def opened(given: settings.Settings) -> Iterator[Tools]:
    """The tools of the jobs; connects when they are first used."""
    loaded = load.load(given.catalog)
    declared = loaded.catalog.limits
    limits = database.Limits(
        lock_timeout_ms=declared.lock_timeout_seconds * 1000,
        statement_timeout_ms=declared.statement_timeout_seconds * 1000,
    )
    with engine(given, limits=limits) as made, store.client(given.require_redis()) as redis:
        yield Tools(
            loaded=loaded,
            engine=made,
            redis=redis,
            clock=lambda: datetime.now(UTC),
            signing_key=given.signing_key,
            archive=given.archive,
        )


__all__ = ["engine", "opened", "settings_from"]
