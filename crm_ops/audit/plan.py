"""What maintenance would do to a layout, and nothing else is done: months to create, to retire.

Creation fills exactly what is missing of the wanted months; retirement takes only what is fully
past its retention, and never the newest partition. A table is dropped when its grace is over, no
hold concerns it and, where the catalog says archive, its rows were verified there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from crm_ops.audit import claims, months, naming, stretch
from crm_ops.audit.claims import Claims
from crm_ops.audit.layout import Default, Layout, Parent, Stored
from crm_ops.audit.months import Month
from crm_ops.audit.stretch import Stretch
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

# Writers wait while rows of DEFAULT are moved, some 4 microseconds for each.
MOST_MOVED = 50_000


# What each step locks, and what that keeps others from; all are had within 50 ms or tried again.
LOCKS = {
    "finalize": "SHARE UPDATE EXCLUSIVE on the log: nobody waits",
    "create": "SHARE ROW EXCLUSIVE on the log, ACCESS EXCLUSIVE on DEFAULT: writers wait",
    "detach": "ACCESS EXCLUSIVE on the log, DEFAULT and the partition: all wait",
    "late": "ACCESS EXCLUSIVE on DEFAULT: writers of rows without a month wait",
    "archive": "none on the log",
    "drop": "ACCESS EXCLUSIVE on the detached table: none on the log",
}


@dataclass(frozen=True)
class Creation:
    """A partition to create; `rows` wait for it in DEFAULT, at most (whole days are counted)."""

    table: Relation
    stretch: Stretch
    rows: int


@dataclass(frozen=True)
class Late:
    """Rows of an expired month that wait in DEFAULT, and the table they are put into."""

    table: Relation
    stretch: Stretch
    rows: int


@dataclass(frozen=True)
class Kept:
    """A table that stays, why, and the legal holds on it."""

    table: Relation
    why: str
    holds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps in their order: finalize, create; detach, put late rows aside, archive, drop.

    `runway_days` are those after it. `most_moved` rows may be moved out of DEFAULT in one
    transaction.
    """

    parent: Parent
    policy: Audit
    default: Relation | None
    finalizations: tuple[Stored, ...]
    creations: tuple[Creation, ...]
    expiries: tuple[Stored, ...]
    late: tuple[Late, ...]
    archives: tuple[Stored | Late, ...]
    drops: tuple[Stored | Late, ...]
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
            "late": [_stored_dict(each) for each in self.late],
            "archive": [_stored_dict(each) for each in self.archives],
            "drop": [_stored_dict(each) for each in self.drops],
            "kept": [
                {"table": str(each.table), "why": each.why, "holds": list(each.holds)}
                for each in self.kept
            ],
            "locks": LOCKS,
            "runway_days": self.runway_days,
        }


def make(
    layout: Layout,
    policy: Audit,
    now: datetime,
    *,
    claimed: Claims = claims.NONE,
    most_moved: int = MOST_MOVED,
) -> Plan:
    """The plan for a layout at `now`; the same layout, policy, claims and moment give the same."""
    # What an interrupted DETACH CONCURRENTLY left pending takes no more rows.
    standing = [each for each in layout.partitions if not each.pending]
    # A machine whose clock runs ahead must not retire what PostgreSQL's clock would keep.
    moment = min(now, layout.read_at)
    cutoff = months.cutoff(moment, policy.retention_months)
    taken = set(layout.names)
    creations = _creations(
        layout, standing, _wanted(layout.default, policy, now), most_moved, taken
    )
    expiries: tuple[Stored, ...] = ()
    late: tuple[Late, ...] = ()
    if policy.on_expiry != "keep":
        expiries = tuple(
            each
            for each in _expired(standing, cutoff)
            if each.table not in claimed.tenants and not _fresh(each, policy, layout.read_at)
        )
        late = _late(layout, policy, moment, most_moved, taken)
    waiting = [each for each in layout.detached if each.stretch.upper <= cutoff]
    over: list[Stored | Late] = [*waiting, *expiries, *late]
    archives = [each for each in over if not _verified(each)]
    drops = [
        each
        for each in over
        if each.table not in claimed.holds and _grace_over(each, policy, layout.read_at)
    ]
    leaving = {each.table for each in (*expiries, *(drops if policy.on_expiry != "keep" else ()))}
    return Plan(
        parent=layout.parent,
        policy=policy,
        default=layout.default.table if layout.default else None,
        finalizations=tuple(each for each in layout.partitions if each.pending),
        creations=creations,
        expiries=expiries,
        late=late,
        archives=tuple(archives) if policy.on_expiry == "archive" else (),
        drops=tuple(drops) if policy.on_expiry != "keep" else (),
        kept=_kept(layout, policy, cutoff, leaving, claimed),
        runway_days=stretch.unbroken_days(
            [*(each.stretch for each in standing), *(each.stretch for each in creations)], now
        ),
        most_moved=most_moved,
    )


def _verified(each: Stored | Late) -> bool:
    return isinstance(each, Stored) and each.state == "verified"


def _grace_over(each: Stored | Late, policy: Audit, moment: datetime) -> bool:
    """Whether it has waited long enough on PostgreSQL's clock; what is attached has not begun."""
    if policy.grace_days == 0:
        return True
    if isinstance(each, Late) or each.state in (None, "restored") or each.since is None:
        return False
    return each.since + timedelta(days=policy.grace_days) <= moment


def _fresh(each: Stored, policy: Audit, moment: datetime) -> bool:
    """Whether it was restored from its archive so lately that it is left for those who asked."""
    if each.state != "restored" or each.since is None:
        return False
    return moment < each.since + timedelta(days=max(policy.grace_days, 1))


def _late(
    layout: Layout, policy: Audit, moment: datetime, most_moved: int, taken: set[str]
) -> tuple[Late, ...]:
    """The expired months that rows in DEFAULT are of, for no tenant within the retention.

    A month with more rows than may be moved at once is taken in parts, day by day.
    """
    longest = max((policy.retention_months, *policy.retention_months_by_tenant.values()))
    cutoff = months.cutoff(moment, longest)
    by_month: dict[Month, int] = {}
    parts: list[tuple[Month, Stretch, int]] = []
    days = layout.default.days if layout.default else ()
    for day, _ in days:
        by_month.setdefault(Month(day.year, day.month), 0)
    for month in by_month:
        if month.stretch.upper <= cutoff:
            parts += [(month, *each) for each in _movable(month.stretch, days, most_moved)]
    found = []
    for month, part, rows in parts:
        name = naming.free(layout.parent.table.name, month, taken)
        taken.add(name)
        found.append(Late(Relation(layout.parent.table.schema, name), part, rows))
    return tuple(found)


def _wanted(default: Default | None, policy: Audit, now: datetime) -> list[Month]:
    """The months ahead, then past ones within the retention whose rows wait in DEFAULT.

    Months further off get no partition of their own: a wrong clock must not make thousands.
    """
    ahead = months.upcoming(now, policy.months_ahead)
    oldest = ahead[0].plus(-policy.retention_months)
    waiting = {Month(day.year, day.month) for day, _ in (default.days if default else ())}
    return [*ahead, *sorted(month for month in waiting if oldest <= month < ahead[0])]


def _creations(
    layout: Layout,
    standing: list[Stored],
    wanted: list[Month],
    most_moved: int,
    taken: set[str],
) -> tuple[Creation, ...]:
    existing = [each.stretch for each in standing]
    days = layout.default.days if layout.default else ()
    creations = []
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
    layout: Layout, policy: Audit, cutoff: datetime, leaving: set[Relation], claimed: Claims
) -> tuple[Kept, ...]:
    kept = [
        Kept(each.table, _why_attached(each, policy, cutoff, claimed), _holds(each, claimed))
        for each in layout.partitions
        if each.table not in leaving
    ]
    if layout.default is not None:
        old = sum(rows for day, rows in layout.default.days if day < cutoff.date())
        why = f"DEFAULT takes what no month takes; {old} of its rows have expired"
        kept.append(Kept(layout.default.table, why))
    kept += [
        Kept(each.table, _why_detached(each, policy, cutoff, claimed), _holds(each, claimed))
        for each in layout.detached
        if each.table not in leaving
    ]
    return tuple(kept)


def _holds(stored: Stored, claimed: Claims) -> tuple[int, ...]:
    return claimed.holds.get(stored.table, ())


def _why_attached(stored: Stored, policy: Audit, cutoff: datetime, claimed: Claims) -> str:
    if stored.pending:
        return "a DETACH CONCURRENTLY of it was interrupted; it is finalized"
    if stored.stretch.upper > cutoff:
        return f"may hold rows from {cutoff:%Y-%m-%d} on"
    return f"expired{_why_expired_stays(stored, policy, claimed)}"


def _why_expired_stays(stored: Stored, policy: Audit, claimed: Claims) -> str:
    if policy.on_expiry == "keep":
        return "; on_expiry is keep"
    if stored.foreign:
        return "; a foreign table is not ours to retire"
    if tenants := claimed.tenants.get(stored.table):
        return f", but for rows of {', '.join(tenants)}, who keep theirs longer"
    if stored.state == "restored" and stored.since is not None:
        return f"; restored on {stored.since:%Y-%m-%d}; it leaves again after the grace time"
    return "; it is the newest partition"


def _why_detached(stored: Stored, policy: Audit, cutoff: datetime, claimed: Claims) -> str:
    if stored.stretch.upper > cutoff:
        return f"{stored.state}; its rows are within the retention again: attach it by hand"
    if policy.on_expiry == "keep":
        return f"{stored.state}; on_expiry is keep"
    if held := claimed.holds.get(stored.table):
        return f"{stored.state}; legal hold {', '.join(str(each) for each in held)}"
    return (
        f"{stored.state}; dropped when {policy.grace_days} days have passed since it was detached"
    )


def _dict(table: Relation, part: Stretch, **figures: int) -> dict[str, Any]:
    bounds = {"lower": part.lower.isoformat(), "upper": part.upper.isoformat()}
    return {"table": str(table), **bounds, **figures}


def _stored_dict(stored: Stored | Late) -> dict[str, Any]:
    figures = {"bytes": stored.bytes} if isinstance(stored, Stored) else {}
    return _dict(stored.table, stored.stretch, rows=stored.rows, **figures)


__all__ = ["LOCKS", "MOST_MOVED", "Creation", "Kept", "Late", "Plan", "make"]
