"""What the sections measure on: a PostgreSQL and a Redis of their own, filled with a demo CRM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from bench.report import Report, say
from crm_ops.base import database, settings, sql, store
from crm_ops.catalog import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.demo import build, sizes
from crm_ops.local import layout, services
from crm_ops.schema import migrate
from crm_ops.sources import tenants

ROOT = Path(__file__).parents[1]
AS_OF = date(2026, 6, 30)

# Of a server whose memory is its own, a tenth or more is PostgreSQL's; a small stack's is less.
_SERVER = {"shared_buffers": "2GB"}


@dataclass(frozen=True)
class Setup:
    """The two servers, the catalog, the active tenants, and rows by table of the demo CRM."""

    engine: sa.Engine
    redis: store.Client
    database_url: str
    redis_url: str
    catalog: Catalog
    tenants: list[str]
    rows: Mapping[str, int]
    size: str
    rounds: int
    output: Path

    def report(self, section: str, title: str, about: str | None) -> Report:
        """The page of a section; `about` is the docstring of its module."""
        with database.transaction(self.engine) as connection:
            version = sql.run(connection, "SHOW server_version").scalar_one()
        counted = ("lead", "deal", "account", "contact")
        told = ", ".join(f"{self.rows[t]:,} {t}s" for t in counted if t in self.rows)
        name = section if self.size == sizes.MEDIUM.name else f"{section}-{self.size}"
        rounds = "1 round" if self.rounds == 1 else f"{self.rounds} rounds"
        facts = (
            f"PostgreSQL {version} with {_SERVER['shared_buffers']} of shared buffers, {rounds} in"
            f" turn after one unmeasured; {told}"
        )
        return Report(self.output / f"{name}.md", title, about, facts=facts)


@contextmanager
def up(size: str, rounds: int, output: Path, *, demo: bool = True) -> Iterator[Setup]:
    """Start the servers, and fill the demo CRM unless it is filled, or not asked for."""
    place = layout.make(ROOT, ROOT / ".local" / f"bench-{size}")
    with services.up(
        place, note=lambda what, state: say(f"{what}: {state}"), server=_SERVER
    ) as servers:
        engine = database.engine(servers.database_url)
        redis = store.client(servers.redis_url)
        migrate.upgrade(engine)
        catalog = load.load(ROOT / settings.DEFAULT_CATALOG).catalog
        rows, active = _demo(engine, catalog, size) if demo else ({}, [])
        yield Setup(
            engine,
            redis,
            servers.database_url,
            servers.redis_url,
            catalog,
            active,
            rows,
            size,
            rounds,
            output,
        )
        engine.dispose()


def _demo(engine: sa.Engine, catalog: Catalog, size: str) -> tuple[Mapping[str, int], list[str]]:
    """Make the demo CRM; its rows by table, and its active tenants."""
    made = build.create(
        engine,
        size=sizes.SIZES[size],
        as_of=AS_OF,
        progress=lambda what, done, of: say(f"demo CRM: {what} {done:,} of {of:,}"),
    )
    with database.transaction(engine) as connection:
        return made.rows, tenants.active(connection, catalog)


def ensure(engine: sa.Engine, name: str) -> None:
    """Create the database called `name` beside the setup's own, where there is none."""
    with database.autocommit(engine) as connection:
        there = sql.run(
            connection, "SELECT 1 FROM pg_database WHERE datname = %(name)s", name=name
        ).scalar()
        if there is None:
            sql.run(connection, f"CREATE DATABASE {sql.identifier(name)}")


__all__ = ["AS_OF", "ROOT", "Setup", "ensure", "up"]
