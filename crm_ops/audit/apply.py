"""Does what a plan says and nothing else; killed at any line, the next run finishes.

Creation and retention stand apart: whichever fails, the other can be done. A table that PostgreSQL
refuses to touch does not stop the others; at the end one error names all such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from crm_ops.audit import creation, detachment, removal, rights
from crm_ops.audit.layout import Stored
from crm_ops.audit.locks import Patience, Tries
from crm_ops.audit.plan import Creation, Plan
from crm_ops.base import database, errors

T = TypeVar("T", Creation, Stored)
R = TypeVar("R")

_PATIENT = Patience()


@dataclass(frozen=True)
class Created:
    """How many partitions were created, rows moved out of DEFAULT, pending detaches finalized."""

    created: int
    moved_rows: int
    finalized: int


@dataclass(frozen=True)
class Retired:
    """How many partitions were detached, and dropped with how many rows; how many tables stay."""

    detached: int
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


def retire(engine: sa.Engine, plan: Plan, patience: Patience = _PATIENT) -> Retired:
    """Detach the planned partitions, then drop the planned tables; each on its own.

    Raises as `create` does.
    """
    tries = _begin(engine, plan, patience)
    refused: dict[str, str] = {}
    detached = _each(plan.expiries, lambda one: detachment.detach(tries, plan, one), refused)
    free = [each for each in plan.drops if str(each.table) not in refused]
    dropped = _each(free, lambda one: removal.drop(tries, plan, one), refused)
    _raise(refused, "retired")
    return Retired(
        detached=sum(detached),
        dropped=len([rows for rows in dropped if rows is not None]),
        dropped_rows=sum(rows or 0 for rows in dropped),
        kept=len(plan.kept),
    )


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
        raise errors.AuditError(f"{len(refused)} partition(s) could not be {what}: {told}")


__all__ = ["Created", "Retired", "create", "retire"]
