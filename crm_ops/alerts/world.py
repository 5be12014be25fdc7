"""Measures what no single run tells: how far figures lag behind the rows, and the runway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_ops.alerts import text
from crm_ops.alerts.incident import Incident
from crm_ops.audit import layout, summary
from crm_ops.base import database, sql, statements
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import state as changes


@dataclass(frozen=True)
class Lag:
    """How an entity's figures stand to its rows.

    They have everything that was written before `since`, or everything at all where it is None;
    `backlog` changes wait in the log.
    """

    since: datetime | None
    backlog: int

    def seconds(self, now: datetime) -> float:
        """The age of the oldest change that may be missing in the figures; 0 where none is."""
        return 0.0 if self.since is None else max(0.0, (now - self.since).total_seconds())


@dataclass(frozen=True)
class World:
    """How things are at the moment `at`: the lag of each entity that was ever counted, the runway.

    `runway_days` is None where the catalog declares no audit log.
    """

    at: datetime
    lags: Mapping[str, Lag]
    runway_days: int | None


def read(engine: sa.Engine, catalog: Catalog, now: datetime) -> World:
    """Measure it; only reads, in one short transaction."""
    with database.transaction(engine) as connection:
        moments = {
            row.entity: row
            for row in sql.run(connection, statements.load("crm_ops.alerts")["moments"])
        }
        lags = {
            name: _lag(connection, catalog, name, moments[name])
            for name in catalog.entities
            if name in moments
        }
        runway = None
        if catalog.audit is not None:
            runway = summary.of(layout.read(connection, catalog.audit), now).runway_days
    return World(now, lags, runway)


@dataclass(frozen=True)
class OfTenant:
    """An entity's counted rows of one tenant, and the age of what may be missing in its figures."""

    entity: str
    tenant: str
    rows: int
    freshness_seconds: float


def of_tenants(engine: sa.Engine, world: World) -> list[OfTenant]:
    """The same by tenant: as old as the entity's, or as its last count where that is older."""
    with database.transaction(engine) as connection:
        found = sql.run(connection, statements.load("crm_ops.alerts")["tenants"]).all()
    return [
        OfTenant(
            row.entity,
            row.tenant,
            row.counted,
            max(
                world.lags[row.entity].seconds(world.at),
                Lag(row.uncaptured, 0).seconds(world.at),
            ),
        )
        for row in found
        if row.entity in world.lags
    ]


def incidents(world: World, catalog: Catalog, page: str | None = None) -> list[Incident]:
    """What is wrong with the world: figures that are too old, partitions that soon run out."""
    found = []
    for name, lag in world.lags.items():
        allowed = catalog.entities[name].fresh_within_minutes or catalog.alerts.fresh_within_minutes
        if lag.since is not None and lag.seconds(world.at) > allowed * 60:
            found.append(_stale(name, lag, lag.since, allowed, world.at, page))
    audit = catalog.audit
    if audit and world.runway_days is not None and world.runway_days < audit.minimum_runway_days:
        found.append(_runway(audit.table, world.runway_days, audit.minimum_runway_days, page))
    return found


def _lag(connection: sa.Connection, catalog: Catalog, name: str, moment: sa.Row[tuple[()]]) -> Lag:
    state = changes.read(connection, catalog, name)
    backlog = changes.backlog(connection, state)
    if not state.foldable:
        # Nobody knows what changed since.
        return Lag(moment.oldest, backlog.rows)
    # A tenant whose figures are not kept by the log is as old as its last count.
    missing = [at for at in (backlog.oldest, moment.uncaptured) if at is not None]
    return Lag(min(missing, default=None), backlog.rows)


def _stale(
    name: str, lag: Lag, since: datetime, allowed: int, now: datetime, page: str | None
) -> Incident:
    minutes = int(lag.seconds(now) // 60)
    message = text.message(
        f"{name}: figures lag {minutes:,} minutes behind the rows",
        {
            "Entity": name,
            "Since": f"{text.moment(since)}; {allowed:,} minutes are allowed",
            "Changes waiting": f"{lag.backlog:,}",
            "What to do": "see whether precompute_facets and precompute_aggregates run and succeed"
            " (paused, queued, failing?); `crm-ops run --task precompute_facets` brings the figures"
            " up to date at once",
            "Figures": page,
        },
    )
    return Incident("stale", name, message)


def _runway(table: str, days: int, wanted: int, page: str | None) -> Incident:
    message = text.message(
        f"{table}: partitions reach only {days:,} days ahead",
        {
            "Table": f"{table}; {wanted:,} days are wanted",
            "What to do": "`crm-ops run --task audit_maintenance` creates what is missing and says"
            " what is in its way; rows without a partition go to DEFAULT meanwhile, none is lost",
            "Figures": page,
        },
    )
    return Incident("runway", table, message)


__all__ = ["Lag", "OfTenant", "World", "incidents", "of_tenants", "read"]
