"""Brings an entity's figures up to a snapshot by the changes in its log.

What changes alone cannot tell (an extreme that went, a facet that is new in the catalog) is counted
anew in the same snapshot. What cannot be right is found and said.
"""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.catalog.facets import LinkFacet
from crm_ops.changes.state import State
from crm_ops.fold import (
    bitmaps,
    compaction,
    definition,
    groups,
    planning,
    recount,
    rows,
    statement,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drained:
    """What a fold did.

    `changes` log rows were applied to `figures` figures of `tenants`; the figures of `recounted`
    tenants were in part counted anew. `distrusted` tenants must be rebuilt before they are served;
    the figures of those in `repairs` could not be right, which is a defect.
    """

    changes: int = 0
    figures: int = 0
    tenants: tuple[str, ...] = ()
    recounted: int = 0
    distrusted: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()


def within(
    connection: sa.Connection, counted: rows.Counted, state: State, *, as_of: datetime
) -> Drained:
    """Fold what the snapshot shows of the log; `connection` holds the entity's exclusive lock."""
    with bitmaps.gathering(connection, counted) as gathered:
        due = compaction.due(connection, counted)
        # A log that was just emptied is taken for empty: what is in it is joined, not looped over.
        with planning.hashed(connection):
            row = sql.run(
                connection, statement.fold(counted, state.logs), entity=counted.name, as_of=as_of
            ).one()
        if row.lost:
            groups.recounted(connection, counted, row.lost)
        recounted = len({tenant for _, tenant, _, _ in row.lost})
        recounted += _outdated(connection, counted, as_of)
        touched = sorted({*row.facets, *(tenant for tenant, _ in row.aggregates)})
        _sweep(connection, counted, row)
        found = _impossible(connection, counted, row)
        unsound = compaction.compact(connection, due)
        digests = bitmaps.append(connection, gathered(), as_of=as_of)
    unsound += bitmaps.differing(digests, dict(row.digests))
    load = statements.load("crm_ops.fold")
    bitmaps.settle(connection, counted, unsound, as_of=as_of)
    sql.run(connection, load["set_moment"], entity=counted.name, as_of=as_of)
    repairs = tuple(tenant for tenant, impossible in found.items() if impossible)
    written = row.counts + row.figures
    return Drained(row.changes, written, tuple(touched), recounted, tuple(found), repairs)


def _outdated(connection: sa.Connection, counted: rows.Counted, as_of: datetime) -> int:
    """Count anew the facets and aggregates that the catalog declares otherwise than before."""
    found = 0
    for kind in definition.KINDS:
        now = definition.of(counted, kind)
        outdated = sql.run(
            connection,
            statements.load("crm_ops.fold")["outdated"],
            kind=kind,
            entity=counted.name,
            definition=now.id,
        ).all()
        for _, group in itertools.groupby(outdated, key=attrgetter("definition")):
            members = list(group)
            recount.within(
                connection,
                counted,
                kind,
                [row.tenant for row in members],
                as_of=as_of,
                captured=True,
                only=now.differing(members[0].parts),
            )
            found += len(members)
    return found


def _sweep(connection: sa.Connection, counted: rows.Counted, folded: sa.Row[Any]) -> None:
    """Delete what the fold emptied."""
    load = statements.load("crm_ops.fold")
    if folded.emptied:
        sql.run(connection, load["sweep_facets"], entity=counted.name, tenants=folded.emptied)
    # What came and went at once leaves no row, but where it was NaN a sum that tells nothing.
    emptied = [*folded.gone, *(group[:2] for group in folded.lost)]
    if emptied:
        sql.run(connection, load["sweep_aggregates"], _pairs(emptied))


def _impossible(
    connection: sa.Connection, counted: rows.Counted, folded: sa.Row[Any]
) -> dict[str, bool]:
    """Find, and distrust, tenants whose changed figures cannot stand.

    Those that contradict themselves are true, those that are more than allowed false.
    """
    single = [
        name for name, facet in counted.entity.facets.items() if not isinstance(facet, LinkFacet)
    ]
    load = statements.load("crm_ops.fold")
    bound = {
        "entity": counted.name,
        "limit": counted.catalog.limits.distinct_values_per_facet,
    }
    rows_: list[sa.Row[Any]] = []
    if folded.facets:
        query = load["impossible_facets"]
        rows_ += sql.run(connection, query, bound, tenants=folded.facets, single=single)
    if folded.aggregates:
        changed = [(name, tenant) for tenant, names in folded.aggregates for name in names]
        rows_ += sql.run(connection, load["impossible_aggregates"], {**bound, **_pairs(changed)})
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows_:
        found[row.tenant] += [row.told] if row.told else []
    if found:
        sql.run(connection, load["distrust"], entity=counted.name, tenants=list(found))
    for tenant in (tenant for tenant, told in found.items() if told):
        _log.error(
            "%s of tenant %s do not add up and are counted anew, changes were missed: %s",
            counted.name,
            tenant,
            "; ".join(found[tenant]),
            extra={"action": "repair", "entity": counted.name, "tenant": tenant},
        )
    return {tenant: bool(told) for tenant, told in sorted(found.items())}


def _pairs(groups: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Pairs of (aggregate, tenant) as they are bound."""
    return {
        "aggregates": [aggregate for aggregate, _ in groups],
        "tenants": [tenant for _, tenant in groups],
    }


__all__ = ["Drained", "within"]
