"""Does what a plan says and nothing else; killed at any line, the next run finishes.

Creation and retention stand apart: whichever fails, the other can be done. A table that PostgreSQL
refuses to touch does not stop the others; at the end one error names all such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from crm_ops.audit import collection, creation, detachment, removal, rights
from crm_ops.audit.layout import Stored
from crm_ops.audit.locks import Patience, Tries
from crm_ops.audit.plan import Creation, Late, Plan
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors

T = TypeVar("T", bound=Creation | Stored | Late)
R = TypeVar("R")

_PATIENT = Patience()


@dataclass(frozen=True)
class Created:
    """How many partitions were created, rows moved out of DEFAULT, pending detaches finalized."""

    created: int
    moved_rows: int
    finalized: int


@dataclass(frozen=True)
class Detached:
    """How many partitions were detached; late rows put aside, in how many tables."""

    detached: int
    late_tables: int
    late_rows: int


@dataclass(frozen=True)
class Dropped:
    """How many tables were dropped, with how many rows; how many of the planned ones stay."""

    dropped: int
    dropped_rows: int
    kept: int


def create(engine: sa.Engine, plan: Plan, patience: Patience = _PATIENT) -> Created:
    """Finalize pending detaches, create the planned partitions, move their rows out of DEFAULT.

    Raises PermissionMissing before anything is written, DatabaseBusy with those in the way, and
    AuditError with the partitions that could not be created after the others were.
    """
    tries = _begin(engine, plan, patience)
    refused: dict[str, str] = {}
    finalized = _each(
        plan.finalizations, lambda one: detachment.finalize(tries, plan, one), refused
    )
    moved = _each(plan.creations, lambda one: creation.create(engine, tries, plan, one), refused)
    _raise(refused, "created")
    return Created(
        created=len([rows for rows in moved if rows is not None]),
        moved_rows=sum(rows or 0 for rows in moved),
        finalized=sum(finalized),
    )


def detach(engine: sa.Engine, plan: Plan, patience: Patience = _PATIENT) -> Detached:
    """Detach the planned partitions and put late rows aside; each on its own.

    Raises as `create` does.
    """
    tries = _begin(engine, plan, patience)
    refused: dict[str, str] = {}
    detached = _each(plan.expiries, lambda one: detachment.detach(tries, plan, one), refused)
    late = _each(plan.late, lambda one: collection.collect(tries, plan, one), refused)
    _raise(refused, "detached")
    moved = [rows for rows in late if rows is not None]
    return Detached(sum(detached), len(moved), sum(moved))


def drop(
    engine: sa.Engine, plan: Plan, storage: Storage | None = None, patience: Patience = _PATIENT
) -> Dropped:
    """Drop the planned tables; each on its own. Without `storage` no archived table is dropped.

    Raises as `create` does.
    """
    tries = _begin(engine, plan, patience)
    refused: dict[str, str] = {}
    found = _each(plan.drops, lambda one: removal.drop(engine, tries, plan, storage, one), refused)
    _raise(refused, "dropped")
    dropped = [rows for rows in found if rows is not None]
    return Dropped(len(dropped), sum(dropped), kept=len(found) - len(dropped))


def _begin(engine: sa.Engine, plan: Plan, patience: Patience) -> Tries:
    with database.transaction(engine) as connection:
        rights.require(connection, plan.parent.table)
    return Tries(engine, plan.parent.table, patience)


def _each(items: Iterable[T], step: Callable[[T], R], refused: dict[str, str]) -> list[R]:
    """Do `step` for each; what PostgreSQL or the layout refuses goes to `refused`, by table."""
    done = []
    for item in items:
        try:
            done.append(step(item))
        except (errors.AuditError, errors.DataError, errors.DatabaseRefused) as error:
            refused[str(item.table)] = str(error)
    return done


def _raise(refused: dict[str, str], what: str) -> None:
    if refused:
        told = "; ".join(f"{table}: {why}" for table, why in refused.items())
        number = "1 partition" if len(refused) == 1 else f"{len(refused)} partitions"
        raise errors.AuditError(f"{number} could not be {what}: {told}")


__all__ = ["Created", "Detached", "Dropped", "create", "detach", "drop"]
