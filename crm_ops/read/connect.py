"""Opens what a reader works with, for requests: short waits, and no round trip but the answer's."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from crm_ops.base import database, store
from crm_ops.catalog import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.read import published

_LIMITS = database.Limits(lock_timeout_ms=2_000, statement_timeout_ms=30_000)


def load_catalog(path: str | Path) -> Catalog:
    """The catalog in the file at `path`; raises `CatalogError` with every problem of it."""
    return load.load(Path(path)).catalog


def engine(url: str, *, connections: int = 5) -> sa.Engine:
    """An engine for a `postgresql://` URL; a statement may take 30 seconds.

    `connections` are as many as threads search at a time: more are opened at need and closed after
    use, which takes longer than a search.
    """
    return database.engine(url, limits=_LIMITS, ping=False, connections=connections)


def redis_client(url: str) -> store.Client:
    """A client for a `redis://` URL; it waits 50 ms at most."""
    return published.client(url)


__all__ = ["engine", "load_catalog", "redis_client"]
