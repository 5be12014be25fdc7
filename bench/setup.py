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
        told = ", ".join(f"{self.rows[t]:,} {t}s" for t in ("lead", "deal", "account", "contact"))
        name = section if self.size == sizes.MEDIUM.name else f"{section}-{self.size}"
        facts = f"PostgreSQL {version}, {self.rounds} rounds in turn after one unmeasured; {told}"
        return Report(self.output / f"{name}.md", title, about, facts=facts)


@contextmanager
def up(size: str, rounds: int, output: Path) -> Iterator[Setup]:
    """Start the servers and fill the demo CRM, unless it is filled already."""
    place = layout.make(ROOT, ROOT / ".local" / f"bench-{size}")
    with services.up(place, note=lambda what, state: say(f"{what}: {state}")) as servers:
        engine = database.engine(servers.database_url)
        redis = store.client(servers.redis_url)
        migrate.upgrade(engine)
        made = build.create(
            engine,
            size=sizes.SIZES[size],
            as_of=AS_OF,
            progress=lambda what, done, of: say(f"demo CRM: {what} {done:,} of {of:,}"),
        )
        catalog = load.load(ROOT / settings.DEFAULT_CATALOG).catalog
        with database.transaction(engine) as connection:
            active = tenants.active(connection, catalog)
        yield Setup(
            engine,
            redis,
            servers.database_url,
            servers.redis_url,
            catalog,
            active,
            made.rows,
            size,
            rounds,
            output,
        )
        engine.dispose()


__all__ = ["ROOT", "Setup", "up"]
