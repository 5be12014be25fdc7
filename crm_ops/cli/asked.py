"""What `search` and `report` share: the filters and the age that an option's text asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from crm_ops.base import settings
from crm_ops.read import connect
from crm_ops.read.answers import Step
from crm_ops.read.reader import Reader


@contextmanager
def reader(
    database_url: str | None, redis_url: str | None, catalog: Path | None
) -> Iterator[Reader]:
    """A reader for one command; without Redis PostgreSQL answers alone."""
    given = settings.read(
        os.environ, database_url=database_url, redis_url=redis_url, catalog=catalog
    )
    loaded = connect.load_catalog(given.catalog)
    engine = connect.engine(given.require_database())
    redis = None if given.redis_url is None else connect.redis_client(given.redis_url)
    try:
        yield Reader(loaded, engine, redis, signing_key=given.signing_key)
    finally:
        engine.dispose()
        if redis is not None:
            redis.close()


def filters(given: Sequence[str] | None) -> dict[str, list[str | None]]:
    """`facet=value` texts as filters; a facet alone asks for rows without a value."""
    found: dict[str, list[str | None]] = {}
    for text in given or ():
        name, is_value, value = text.partition("=")
        found.setdefault(name, []).append(value if is_value else None)
    return found


def moment(max_age_s: float | None) -> datetime | None:
    """The moment so many seconds ago."""
    return None if max_age_s is None else datetime.now(UTC) - timedelta(seconds=max_age_s)


def explained(steps: Sequence[Step]) -> list[dict[str, object]]:
    """The steps of an answer, as data."""
    return [
        {
            "where": step.where,
            "what": step.what,
            "took_ms": round(step.took_ms, 3),
            "statement": step.statement,
            "values": None if step.values is None else dict(step.values),
        }
        for step in steps
    ]


__all__ = ["explained", "filters", "moment", "reader"]
