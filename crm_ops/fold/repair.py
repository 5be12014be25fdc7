"""Makes figures that were found to differ equal a count of the rows: those, and no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from crm_ops.base import database, errors
from crm_ops.changes import state as changes
from crm_ops.fold import bitmaps, drain, recount, refresh, rows
from crm_ops.fold.definition import Kind
from crm_ops.fold.verify import Difference


def figures(engine: sa.Engine, counted: rows.Counted, differences: Sequence[Difference]) -> bool:
    """Count the facets and aggregates anew that differ, of the tenants of which they do.

    They get a new version, so that Redis takes them whatever it holds. Tenants whose figures cannot
    be folded are left out, they have to be counted anew as a whole; False where that is all.
    """
    wait_s = counted.catalog.limits.statement_timeout_seconds
    locked, still = refresh.entity_lock(counted), rows.tables(counted)
    with database.snapshot(engine, locked, wait_s=wait_s, still=still) as connection:
        as_of = recount.prepare(connection, counted)
        state = changes.read(connection, counted.catalog, counted.name)
        if not state.foldable:
            return False
        try:
            # Other parts of the same tenants stay as they are, and must be as of this moment, too.
            drain.within(connection, counted, state, as_of=as_of)
            whole = refresh.captured(connection, counted)
            of_bits = {each.tenant for each in differences if each.place == "bitmaps"} & whole
            for kind, names, tenants in _alike(differences):
                sound = [tenant for tenant in tenants if tenant in whole]
                recount.within(
                    connection, counted, kind, sound, as_of=as_of, captured=True, only=names
                )
                of_bits |= set(sound) if kind == "facets" else set()
            # After the counts, which they are compared with.
            bitmaps.anew(connection, counted, sorted(of_bits), as_of=as_of)
        except recount.TooMany as error:
            raise errors.TenantsFailed(error.failures) from error
    return True


def _alike(differences: Sequence[Difference]) -> Iterator[tuple[Kind, frozenset[str], list[str]]]:
    """Tenants of which the same facets, or the same aggregates, differ."""
    found: dict[tuple[Kind, str], set[str]] = defaultdict(set)
    for each in (one for one in differences if one.place != "bitmaps"):
        found[each.kind, each.tenant].add(each.name)
    alike: dict[tuple[Kind, frozenset[str]], list[str]] = defaultdict(list)
    for (kind, tenant), names in sorted(found.items()):
        alike[kind, frozenset(names - {""})].append(tenant)
    for (kind, wanted), tenants in alike.items():
        yield kind, wanted, tenants


__all__ = ["figures"]
