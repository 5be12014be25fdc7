"""Which rows a user may see, as bitmaps: those that buckets tell of, and those they leave open.

Who owns a row, and what a rule tests, is told by the facets of these columns. What no facet tells,
or where a rule draws its line within a bucket, leaves rows open; records shared with the user are
not here at all. The rows that changed since the bitmaps were made are theirs to know who asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyroaring import BitMap

from crm_ops.catalog.facets import ColumnFacet, LinkFacet, LookupFacet
from crm_ops.read import extent, values, verdicts
from crm_ops.read.extent import Extent, Truth
from crm_ops.read.kept import Held
from crm_ops.read.layout import Layout
from crm_ops.sharing.kept import Kept
from crm_ops.sharing.predicate import Condition, Predicate
from crm_ops.sharing.viewer import READ, Viewer
from crm_ops.sharing.visible import Visible

_NOTHING = extent.exactly(BitMap())
# Each takes up to some hundred kilobytes of a tenant of a million rows.
_VIEWS = 100


class Views:
    """What was found out of users, until the bitmaps or the rules are others; safe in threads."""

    def __init__(self) -> None:
        self._known: Kept[tuple[str, str, str], tuple[object, Viewer, Extent]] = Kept(_VIEWS)

    def of_user(self, layout: Layout, held: Held, tenant: str, given: Visible) -> Extent:
        """The same as the function of this name."""
        place = (layout.counted.name, tenant, given.viewer.user)
        made_with = (held.set_id, held.version)
        known = self._known.get(place)
        if known is not None and known[0] == made_with and known[1] is given.viewer:
            return known[2]
        found = of_user(layout, held, given)
        self._known.put(place, (made_with, given.viewer, found))
        return found


def of_user(layout: Layout, held: Held, given: Visible) -> Extent:
    """The rows that the user of `given` sees other than by shares, as of the bitmaps."""
    if not given.viewer.active:
        return _NOTHING
    if given.viewer.floor >= READ:
        return extent.exactly(held.everything)
    ways = [_owned(layout, held, given.owners)]
    ways += [_truth(layout, held, rule.predicate).true for _, _, rule in given.viewer.granted]
    return extent.any_of(ways)


def _owned(layout: Layout, held: Held, owners: Sequence[str]) -> Extent:
    column = layout.entity.owner
    if column is None:
        return _NOTHING
    type_name = layout.counted.types[column]
    # Of these types equal values have equal texts.
    plain = type_name in values.WHOLE or type_name in ("uuid", "text", "character varying")
    for name, facet in layout.entity.facets.items():
        by_value = isinstance(facet, ColumnFacet | LookupFacet) and facet.column == column
        if by_value and plain and column not in layout.loose:
            there = held.places.get(name, {})
            found = [there[owner] for owner in owners if owner in there]
            return extent.exactly(BitMap().union(*found))
    return Extent(BitMap(), held.everything)


def _truth(layout: Layout, held: Held, predicate: Predicate) -> Truth:
    if isinstance(predicate, Condition):
        return _condition(layout, held, predicate)
    parts = [_truth(layout, held, part) for part in predicate.parts]
    true, false = [each.true for each in parts], [each.false for each in parts]
    match predicate.junction:
        case "not":
            return Truth(parts[0].false, parts[0].true)
        case "and":
            return Truth(extent.all_of(true), extent.any_of(false))
        case "or":
            return Truth(extent.any_of(true), extent.all_of(false))


def _condition(layout: Layout, held: Held, condition: Condition) -> Truth:
    known = list(_by_facets(layout, held, condition))
    everything = held.everything
    return Truth(
        extent.agreed([each.true for each in known], everything),
        extent.agreed([each.false for each in known], everything),
    )


def _by_facets(layout: Layout, held: Held, condition: Condition) -> Iterator[Truth]:
    """What each facet of the tested column tells."""
    zone = layout.counted.catalog.time_zone
    for name, facet in layout.entity.facets.items():
        if isinstance(facet, LinkFacet) or facet.column != condition.field:
            continue
        judge = verdicts.judge(facet, condition, zone)
        if judge is None:
            continue
        there = held.places.get(name, {})
        found = {bucket: judge(bucket) for bucket in there}
        yield Truth(
            *(
                Extent(
                    BitMap().union(*(there[b] for b, said in found.items() if said == {verdict})),
                    BitMap().union(*(there[b] for b, said in found.items() if verdict in said)),
                )
                for verdict in (True, False)
            )
        )


__all__ = ["Views", "of_user"]
