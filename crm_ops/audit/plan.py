"""What maintenance would do to a layout, and nothing else is done: months to create, to retire.

Creation fills exactly what is missing of the wanted months; retirement takes only what is fully
past its retention, and never the newest partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from crm_ops.audit import months, naming, stretch
from crm_ops.audit.layout import Default, Layout, Parent, Stored
from crm_ops.audit.months import Month
from crm_ops.audit.stretch import Stretch
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

# Writers wait while rows of DEFAULT are moved, some 4 microseconds for each.
MOST_MOVED = 50_000


@dataclass(frozen=True)
class Creation:
    """A partition to create; `rows` wait for it in DEFAULT, at most (whole days are counted)."""

    table: Relation
    stretch: Stretch
    rows: int


@dataclass(frozen=True)
class Kept:
    """A table that stays, and why."""

    table: Relation
    why: str


@dataclass(frozen=True)
class Plan:
    """Steps in their order: finalize, create; detach, drop. `runway_days` are those after it.

    `most_moved` rows may be moved out of DEFAULT in one transaction.
    """

    parent: Parent
    default: Relation | None
    finalizations: tuple[Stored, ...]
    creations: tuple[Creation, ...]
    expiries: tuple[Stored, ...]
    drops: tuple[Stored, ...]
    kept: tuple[Kept, ...]
    runway_days: int
    most_moved: int

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data, ready for JSON."""
        return {
            "table": str(self.parent.table),
            "finalize": [_stored_dict(each) for each in self.finalizations],
            "create": [_dict(each.table, each.stretch, rows=each.rows) for each in self.creations],
            "detach": [_stored_dict(each) for each in self.expiries],
            "drop": [_stored_dict(each) for each in self.drops],
            "kept": [{"table": str(each.table), "why": each.why} for each in self.kept],
            "runway_days": self.runway_days,
        }


def make(layout: Layout, policy: Audit, now: datetime, *, most_moved: int = MOST_MOVED) -> Plan:
    """The plan for a layout at `now`; the same layout, policy and moment give the same plan."""
    # What an interrupted DETACH CONCURRENTLY left pending takes no more rows.
    standing = [each for each in layout.partitions if not each.pending]
    # A machine whose clock runs ahead must not retire what PostgreSQL's clock would keep.
    cutoff = months.cutoff(min(now, layout.read_at), policy.retention_months)
    creations = _creations(layout, standing, _wanted(layout.default, policy, now), most_moved)
    expiries = _expired(standing, cutoff) if policy.on_expiry != "keep" else ()
    waiting = [each for each in layout.detached if each.stretch.upper <= cutoff]
    drops = (*waiting, *expiries) if policy.on_expiry == "drop" else ()
    return Plan(
        parent=layout.parent,
        default=layout.default.table if layout.default else None,
        finalizations=tuple(each for each in layout.partitions if each.pending),
        creations=creations,
        expiries=expiries,
        drops=drops,
        kept=_kept(layout, policy, cutoff, {each.table for each in (*expiries, *drops)}),
        runway_days=stretch.unbroken_days(
            [*(each.stretch for each in standing), *(each.stretch for each in creations)], now
        ),
        most_moved=most_moved,
    )


def _wanted(default: Default | None, policy: Audit, now: datetime) -> list[Month]:
    """The months ahead, then past ones within the retention whose rows wait in DEFAULT.

    Months further off get no partition of their own: a wrong clock must not make thousands.
    """
    ahead = months.upcoming(now, policy.months_ahead)
    oldest = ahead[0].plus(-policy.retention_months)
    waiting = {Month(day.year, day.month) for day, _ in (default.days if default else ())}
    return [*ahead, *sorted(month for month in waiting if oldest <= month < ahead[0])]


def _creations(
    layout: Layout, standing: list[Stored], wanted: list[Month], most_moved: int
) -> tuple[Creation, ...]:
    existing = [each.stretch for each in standing]
    days = layout.default.days if layout.default else ()
    taken, creations = set(layout.names), []
    for month in wanted:
        for missing in month.stretch.without(existing):
            for part, rows in _movable(missing, days, most_moved):
                table = layout.parent.table
                name = naming.free(table.name, month, taken)
                taken.add(name)
                creations.append(Creation(Relation(table.schema, name), part, rows))
    return tuple(creations)


def _movable(
    missing: Stretch, days: tuple[tuple[date, int], ...], most_moved: int
) -> list[tuple[Stretch, int]]:
    """`missing` cut at midnights, so that no part but one of a single day has too many rows.

    A part and the rows it takes from DEFAULT must appear in one transaction: attached empty it
    is refused, filled before it is attached its rows would be invisible meanwhile.
    """
    parts, start, held = [], missing.lower, 0
    for day, rows in days:
        midnight = datetime.combine(day, time(), UTC)
        if not missing.overlaps(Stretch(midnight, midnight + timedelta(days=1))):
            continue
        if held and held + rows > most_moved:
            parts.append((Stretch(start, midnight), held))
            start, held = midnight, 0
        held += rows
    return [*parts, (Stretch(start, missing.upper), held)]


def _expired(standing: list[Stored], cutoff: datetime) -> tuple[Stored, ...]:
    newest = max((each.stretch.upper for each in standing), default=cutoff)
    return tuple(
        each
        for each in standing
        if each.stretch.upper <= cutoff and each.stretch.upper < newest and not each.foreign
    )


def _kept(
    layout: Layout, policy: Audit, cutoff: datetime, leaving: set[Relation]
) -> tuple[Kept, ...]:
    kept = [
        Kept(each.table, _why_attached(each, policy, cutoff))
        for each in layout.partitions
        if each.table not in leaving
    ]
    if layout.default is not None:
        old = sum(rows for day, rows in layout.default.days if day < cutoff.date())
        why = f"DEFAULT takes what no month takes; {old} of its rows have expired"
        kept.append(Kept(layout.default.table, why))
    kept += [
        Kept(each.table, _why_detached(each, policy, cutoff))
        for each in layout.detached
        if each.table not in leaving
    ]
    return tuple(kept)


def _why_attached(stored: Stored, policy: Audit, cutoff: datetime) -> str:
    if stored.pending:
        return "a DETACH CONCURRENTLY of it was interrupted; it is finalized"
    if stored.stretch.upper > cutoff:
        return f"may hold rows from {cutoff:%Y-%m-%d} on"
    if policy.on_expiry == "keep":
        return "expired; on_expiry is keep"
    if stored.foreign:
        return "expired; a foreign table is not ours to retire"
    return "expired; it is the newest partition"


def _why_detached(stored: Stored, policy: Audit, cutoff: datetime) -> str:
    if stored.stretch.upper > cutoff:
        return "detached; its rows are within the retention again: attach it by hand"
    return f"detached; on_expiry is {policy.on_expiry}"


def _dict(table: Relation, part: Stretch, **figures: int) -> dict[str, Any]:
    bounds = {"lower": part.lower.isoformat(), "upper": part.upper.isoformat()}
    return {"table": str(table), **bounds, **figures}


def _stored_dict(stored: Stored) -> dict[str, Any]:
    return _dict(stored.table, stored.stretch, rows=stored.rows, bytes=stored.bytes)


__all__ = ["MOST_MOVED", "Creation", "Kept", "Plan", "make"]
