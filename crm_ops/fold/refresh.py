"""Brings an entity's figures up to date by the changes since the last time: cost follows change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from crm_ops.base import database, errors, sql, statements
from crm_ops.changes import state as changes
from crm_ops.changes.state import State
from crm_ops.fold import aggregates, definition, drain, recount, rows
from crm_ops.fold.drain import Drained

# From so many dead rows on, reading past them costs more than taking them away.
_WORTH_VACUUMING = 10_000


@dataclass(frozen=True)
class Refreshed:
    """What was folded, or why it could not be.

    `set_aside` says why the log was given up: every tenant must be rebuilt. `unusable` says why
    there is no log to fold.
    """

    drained: Drained = field(default_factory=Drained)
    set_aside: str | None = None
    unusable: str | None = None


def entity_lock(counted: rows.Counted, *, shared: bool = False) -> database.Lock:
    """The lock under which an entity's figures change; rebuilds of other tenants share it."""
    return database.Lock(f"fold:{counted.name}", shared)


def fold(
    engine: sa.Engine, counted: rows.Counted, *, anew: str | None = None, dry_run: bool = False
) -> Refreshed:
    """Fold all pending changes of an entity; safe to repeat, to overlap and to kill.

    `anew` gives a reason to set the entity aside instead. So does a change that cannot be counted:
    it must not keep all others waiting, and counting anew finds whose it is.
    """
    try:
        return _fold(engine, counted, anew=anew, dry_run=dry_run)
    except errors.DataError as error:
        reason = f"a change cannot be counted: {error}"
    return _fold(engine, counted, anew=reason, dry_run=dry_run)


def _fold(
    engine: sa.Engine, counted: rows.Counted, *, anew: str | None, dry_run: bool
) -> Refreshed:
    wait_s = counted.catalog.limits.statement_timeout_seconds
    with database.snapshot(
        engine,
        entity_lock(counted),
        wait_s=wait_s,
        keep=not dry_run,
        still=rows.tables(counted),
    ) as connection:
        as_of = recount.prepare(connection, counted)
        state = changes.read(connection, counted.catalog, counted.name)
        if state.unusable is not None:
            return Refreshed(unusable=state.unusable)
        reason = state.spoiled or anew
        if reason is not None:
            changes.set_aside(connection, state)
            return Refreshed(set_aside=reason)
        try:
            drained = drain.within(connection, counted, state, as_of=as_of)
        except recount.TooMany as error:
            raise errors.TenantsFailed(error.failures) from error
    if drained.changes >= _WORTH_VACUUMING and not dry_run:
        _vacuum(engine, state)
    return Refreshed(drained)


def _vacuum(engine: sa.Engine, state: State) -> None:
    """Give the log's space back; not where somebody else is about to."""
    with database.autocommit(engine) as connection:
        for log in state.logs:
            sql.run(connection, f"VACUUM (SKIP_LOCKED) {log.relation.quoted}")


def uncaptured(engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str]) -> list[str]:
    """Those of `tenants` whose figures cannot be folded: never counted, set aside, distrusted."""
    with database.transaction(engine) as connection:
        known = captured(connection, counted)
    return [tenant for tenant in tenants if tenant not in known]


def captured(connection: sa.Connection, counted: rows.Counted) -> set[str]:
    """The tenants whose figures can be folded."""
    statement = statements.load("crm_ops.fold")["captured"]
    kinds = list(definition.KINDS)
    return set(sql.run(connection, statement, entity=counted.name, kinds=kinds).scalars())


def forget(engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str]) -> int:
    """Delete the figures of tenants that are no longer active; return how many there were."""
    wait_s = counted.catalog.limits.statement_timeout_seconds
    with database.snapshot(engine, entity_lock(counted), wait_s=wait_s) as connection:
        return int(
            sql.run(
                connection,
                statements.load("crm_ops.fold")["remove_tenants"],
                entity=counted.name,
                tenants=list(tenants),
                aggregates=list(aggregates.of_entity(counted)),
            ).scalar_one()
        )


__all__ = ["Refreshed", "captured", "entity_lock", "fold", "forget", "uncaptured"]
