"""Plans and applies what captures changes: only what differs, in short transactions.

A table's writers wait at most for one lock attempt (milliseconds); an attempt that does not get its
lock is tried again, until the time for it is used up.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from crm_ops.base import database, errors, names, sql, statements
from crm_ops.base.sql import Relation
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import ddl, logs, members, state
from crm_ops.changes.logs import Log

_log = logging.getLogger(__name__)

# Under it capture is changed, step by step.
_LOCK = "capture"
_ATTEMPT_MS = 50
_PAUSE_S = 0.2
BUDGET_S = 60.0


class _Overtaken(Exception):
    """What a step was planned for is not what is there."""


@dataclass(frozen=True)
class Step:
    """What is done to one log in one transaction; `log` is None where it is taken away.

    `doubted` are the facets and aggregates of which pending changes do not tell enough: they lack a
    column, or were logged by another filter (then all, an empty tuple). None where there is none.
    `replaces` is the definition found when the step was planned, None where there was none.
    """

    relation: Relation
    title: str
    sql: tuple[str, ...]
    log: Log | None = None
    doubted: tuple[str, ...] | None = None
    replaces: str | None = None


def plan(connection: sa.Connection, catalog: Catalog) -> list[Step]:
    """What differs between the catalog and what was applied; an empty list where nothing does.

    `connection` is in a transaction; only reads. Raises `CatalogError` for what cannot be captured.
    """
    # What is looked at one after another is to be of one state.
    database.lock(connection, _LOCK)
    wanted = [
        log
        for name, entity in catalog.entities.items()
        if entity.capture == "trigger"
        for log in logs.read(connection, catalog, name)
    ]
    members.refuse(connection, wanted)
    load = statements.load("crm_ops.changes")
    known = {row.log: row for row in sql.run(connection, load["captures"], entity=None)}
    steps = [
        _removal(Relation(names.SCHEMA, name), row.relation)
        for name, row in known.items()
        if name not in {log.relation.name for log in wanted if str(log.source) == row.relation}
    ]
    moved = {step.relation.name for step in steps}
    for log in wanted:
        applied = None if log.relation.name in moved else known.get(log.relation.name)
        found = state.shape(connection, log)
        if applied is None or applied.definition != ddl.checksum(log) or found.wrong:
            fresh = log.relation.name in moved or not (columns := _columns(connection, log))
            had = {} if fresh else columns
            texts = _texts(connection, log, found, had)
            doubted = _doubted(connection, catalog, log, had)
            title = f"capture changes of {log.source}"
            replaces = None if applied is None else applied.definition
            steps.append(Step(log.relation, title, texts, log, doubted, replaces))
    return steps


def _doubted(
    connection: sa.Connection, catalog: Catalog, log: Log, columns: Mapping[str, str]
) -> tuple[str, ...] | None:
    """What cannot be brought up to date by the rows that wait in a log of these `columns`."""
    if not columns or log.facet is not None:
        return None
    row = sql.run(
        connection,
        statements.load("crm_ops.changes")["source_text"],
        function=sql.readable(log.relation.quoted),
    ).one()
    if row.text is None or not ddl.filters_as(log, row.text):
        return ()
    added = [column for column, type_ in log.columns.items() if columns.get(column) != type_]
    return tuple(logs.parts(catalog, log.entity, added)) or None


def _texts(
    connection: sa.Connection, log: Log, found: state.Shape, columns: Mapping[str, str]
) -> tuple[str, ...]:
    """What makes a log of these `columns`, its function and its triggers as they are needed.

    Triggers that are elsewhere, on a partition that left, go with the function. Where ours are in
    place, making them again comes first: it waits for the writers who would wait for the log.
    """
    table = list(ddl.altered(log, columns)) if columns else [ddl.table(log)]
    triggers = [
        text
        for member in members.of(connection, log)
        for text in ddl.triggers(log, Relation(member.schema, member.name))
    ]
    if columns and found.hooked and not found.astray:
        return (*triggers, *table, ddl.function(log))
    unhooked = [ddl.unhooked(log.relation)] if found.astray else []
    return (*unhooked, *table, ddl.function(log), *triggers)


def removal(connection: sa.Connection) -> list[Step]:
    """What takes all logs, functions and triggers of ours away."""
    load = statements.load("crm_ops.changes")
    return [
        _removal(Relation(names.SCHEMA, row.log), row.relation)
        for row in sql.run(connection, load["captures"], entity=None)
    ]


def apply(engine: sa.Engine, steps: Sequence[Step], *, budget_s: float = BUDGET_S) -> None:
    """Do `steps`, each in one transaction; raise `DatabaseBusy` where a table stays locked."""
    for step in steps:
        _patiently(engine, step, budget_s)
        _log.info("%s", step.title, extra={"action": "capture", "log": step.relation.name})


def _patiently(engine: sa.Engine, step: Step, budget_s: float) -> None:
    until = time.monotonic() + budget_s
    while True:
        try:
            return _do(engine, step)
        except _Overtaken as error:
            raise errors.DatabaseBusy(
                f"{step.title}: somebody else applied another catalog meanwhile; apply yours again"
            ) from error
        except errors.DatabaseBusy as error:
            if time.monotonic() > until:
                raise errors.DatabaseBusy(
                    f"{step.title}: its table was locked by others for {budget_s:.0f} s; try again"
                    " when fewer long transactions run"
                ) from error
            time.sleep(random.uniform(_PAUSE_S / 2, _PAUSE_S))  # noqa: S311


def _do(engine: sa.Engine, step: Step) -> None:
    load = statements.load("crm_ops.changes")
    with database.transaction(engine) as connection:
        database.lock(connection, _LOCK)
        sql.run(
            connection,
            "SELECT set_config('lock_timeout', %(wait)s, true)",
            wait=f"{_ATTEMPT_MS}ms",
        )
        known = {row.log: row for row in sql.run(connection, load["captures"], entity=None)}
        before = known.get(step.relation.name)
        if _done(connection, step, before):
            return
        if step.log is not None and step.replaces != (before.definition if before else None):
            raise _Overtaken
        for statement in step.sql:
            sql.run(connection, statement)
        if step.log is None:
            sql.run(connection, load["forget"], log=step.relation.name)
            return
        # Changes that nobody captured until now: what was counted before is not to be trusted. The
        # triggers' lock keeps writers out, so that none is between the old state and the new.
        if before is None:
            missed = step.log.facet is None
        else:
            # Beside our transaction it is what they left behind, and nothing can be added to it.
            with database.transaction(engine) as beside:
                seen = state.shape(beside, step.log, before.watched)
            missed = before.shape != seen.checksum
        _remember(connection, step.log, missed=missed, doubted=step.doubted)


def _remember(
    connection: sa.Connection, log: Log, *, missed: bool, doubted: Sequence[str] | None
) -> None:
    """Note what was applied, and which figures it does not serve."""
    load = statements.load("crm_ops.changes")
    if missed:
        reason = f"{log.source} was not captured for a while"
        sql.run(connection, load["mark"], entity=log.entity, reason=reason)
    if doubted is not None:
        sql.run(connection, load["doubt"], entity=log.entity, parts=list(doubted))
    sql.run(
        connection,
        load["remember"],
        log=log.relation.name,
        entity=log.entity,
        relation=str(log.source),
        definition=ddl.checksum(log),
        watched=list(log.watched),
        shape=state.shape(connection, log).checksum,
    )


def _done(connection: sa.Connection, step: Step, before: sa.Row[Any] | None) -> bool:
    """Whether somebody did the same between the plan and now."""
    if step.log is None or before is None:
        return False
    same = before.definition == ddl.checksum(step.log)
    return same and state.shape(connection, step.log).wrong is None


def _removal(relation: Relation, source: str) -> Step:
    return Step(relation, f"stop capturing changes of {source}", tuple(ddl.removal(relation)))


def _columns(connection: sa.Connection, log: Log) -> dict[str, str]:
    rows = sql.run(
        connection,
        statements.load("crm_ops.changes")["log_columns"],
        log=sql.readable(log.relation.quoted),
    )
    return {row.name: row.type for row in rows}


__all__ = ["BUDGET_S", "Step", "apply", "plan", "removal"]
