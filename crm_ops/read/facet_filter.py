"""A filter on a facet, as a condition on the column that an index can serve.

A row fulfils `facet = bucket` exactly where a count puts it into that bucket. Ranges and dates may
be any range, `25..75`, `..0`, `2026-01..2026-04`, `2026`: from its beginning to before its end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from crm_ops.base import errors, sql
from crm_ops.catalog.facets import (
    DateFacet,
    Facet,
    LinkFacet,
    RangesFacet,
    SingleValued,
)
from crm_ops.fold import splits
from crm_ops.read import periods, values
from crm_ops.read.condition import Condition, all_of, any_of
from crm_ops.read.layout import Layout, column

_CLIPPED = re.compile(r".*…[0-9a-f]{32}", re.DOTALL)
_UTC = frozenset({"UTC", "Etc/UTC"})


def condition(layout: Layout, name: str, wanted: Sequence[str | None], place: str) -> Condition:
    """The rows in one of the buckets `wanted` of a facet (None: without a value).

    `place` begins the names of the bound values. Raises `ParameterError` for a value that the facet
    cannot have.
    """
    facet = layout.entity.facets[name]
    given = [each for each in dict.fromkeys(wanted) if each is not None]
    tests = [_one_of(layout, name, facet, given, place)] if given else []
    if None in wanted:
        tests.append(_without(layout, name, facet))
    return any_of(tests)


def _one_of(layout: Layout, name: str, facet: Facet, given: Sequence[str], place: str) -> Condition:
    match facet:
        case LinkFacet():
            return _linked(layout, name, facet, given, place)
        case RangesFacet():
            return any_of(
                _range(layout, name, facet, text, f"{place}_{at}") for at, text in enumerate(given)
            )
        case DateFacet():
            some = any_of(
                _dates(layout, name, facet, text, f"{place}_{at}") for at, text in enumerate(given)
            )
            return all_of([some, *_around(layout, facet, given, place)])
        case _:
            return _equal(layout, name, facet, given, place)


def _without(layout: Layout, name: str, facet: Facet) -> Condition:
    if isinstance(facet, LinkFacet):
        return Condition(f"NOT EXISTS ({_links(layout, facet)} AND {_value(facet)} IS NOT NULL)")
    if facet.kind == "json":
        return Condition(f"{_split(layout, name, facet).key} IS NULL")
    return Condition(f"{column(facet.column)} IS NULL")


def _equal(
    layout: Layout, name: str, facet: SingleValued, given: Sequence[str], place: str
) -> Condition:
    type_name = layout.type_of(facet.column)
    typed = None if facet.kind == "json" else values.of_type(given, type_name, f"filter {name}")
    if typed is not None:
        return Condition(
            f"{column(facet.column)} = ANY(%({place})s::text[]::{type_name}[])", {place: typed}
        )
    split = _split(layout, name, facet)
    plain = type_name in values.TEXTS and facet.column not in layout.loose
    subject = column(facet.column) if plain else split.key
    quick = Condition(f"{subject} = ANY(%({place})s::text[])", {place: list(given)})
    clipped = [text for text in given if _CLIPPED.fullmatch(text)]
    if not clipped:
        return quick
    # The bucket of a very long value is named by its beginning and its checksum.
    by_name = Condition(
        f"{split.text(split.key)} = ANY(%({place}_clipped)s::text[])", {f"{place}_clipped": clipped}
    )
    return any_of([quick, by_name])


def _linked(
    layout: Layout, name: str, facet: LinkFacet, given: Sequence[str], place: str
) -> Condition:
    type_name = layout.linked[name]
    typed = values.of_type(given, type_name, f"filter {name}")
    if typed is not None:
        test = f"{_value(facet)} = ANY(%({place})s::text[]::{type_name}[])"
        return Condition(f"EXISTS ({_links(layout, facet)} AND {test})", {place: typed})
    value = f"{_value(facet)}::text"
    wanted = f"ANY(%({place})s::text[])"
    test = f"({value} = {wanted} OR {splits.clipped(value)} = {wanted})"
    return Condition(f"EXISTS ({_links(layout, facet)} AND {test})", {place: list(given)})


def _links(layout: Layout, facet: LinkFacet) -> str:
    return (
        f"SELECT FROM {sql.Relation.parse(facet.table).quoted} AS link"
        f" WHERE link.{sql.identifier(facet.parent)} = {layout.key}"
    )


def _value(facet: LinkFacet) -> str:
    return f"link.{sql.identifier(facet.column)}"


def _range(layout: Layout, name: str, facet: RangesFacet, text: str, place: str) -> Condition:
    what = f"filter {name}"
    ends = text.split("..")
    if len(ends) != 2 or ends == ["", ""]:
        raise values.wrong(what, text, "range; write one such as 25..75, ..25 or 75..")
    tests = [
        _compared(layout, facet.column, sign, _number(what, end), f"{place}_{side}")
        for side, sign, end in (("low", ">=", ends[0]), ("high", "<", ends[1]))
        if end
    ]
    return Condition(
        f"({' AND '.join(test.text for test in tests)})",
        {key: value for test in tests for key, value in test.values.items()},
    )


def _compared(layout: Layout, name: str, sign: str, bound: Decimal, place: str) -> Condition:
    """A column beside a number, of the column's own type where that is as exact."""
    type_name = layout.type_of(name)
    if type_name in values.WHOLE:
        # Of whole numbers those from 24.5 on are those from 25 on, those below 24.5 below 25.
        above = math.ceil(bound)
        fits = values.whole(str(above), "bigint") is not None
        cast = "bigint" if fits else "numeric"
        return Condition(f"{column(name)} {sign} %({place})s::{cast}", {place: str(above)})
    subject = column(name) if type_name == "numeric" else f"{column(name)}::numeric"
    return Condition(f"{subject} {sign} %({place})s::numeric", {place: str(bound)})


def _number(what: str, text: str) -> Decimal:
    found = values.number(text)
    if found is None:
        raise values.wrong(what, text, "number")
    return found


def _dates(layout: Layout, name: str, facet: DateFacet, text: str, place: str) -> Condition:
    what = f"filter {name}"
    if ".." not in text:
        period = periods.parse(text)
        if period is not None:
            return _between(
                layout, facet, period.begins.isoformat(), period.ends.isoformat(), place
            )
        if periods.far(text):
            split = _split(layout, name, facet)
            return Condition(f"{split.text(split.key)} = %({place})s", {place: text})
        raise _no_date(what, text, facet)
    ends = text.split("..")
    if len(ends) != 2 or ends == ["", ""]:
        raise _no_date(what, text, facet)
    bounds: list[str | None] = []
    for end in ends:
        period = periods.parse(end) if end else None
        if end and period is None:
            raise _no_date(what, end, facet)
        bounds.append(None if period is None else period.begins.isoformat())
    return _between(layout, facet, bounds[0], bounds[1], place)


def _around(
    layout: Layout, facet: DateFacet, given: Sequence[str], place: str
) -> Iterator[Condition]:
    """Where several periods are wanted: from the first to the last, which an index can serve."""
    periods_ = [periods.parse(text) for text in given]
    found = [each for each in periods_ if each is not None]
    if len(given) > 1 and len(found) == len(given):
        begins, ends = min(each.begins for each in found), max(each.ends for each in found)
        yield _between(layout, facet, begins.isoformat(), ends.isoformat(), f"{place}_all")


def _between(
    layout: Layout, facet: DateFacet, begins: str | None, ends: str | None, place: str
) -> Condition:
    """From midnight of the day `begins` to before midnight of `ends`, on the facet's calendar."""
    type_name = layout.type_of(facet.column)
    bounds = [
        (sign, f"%({place}_{side})s", f"{place}_{side}", bound, slack)
        for side, sign, bound, slack in (
            ("from", ">=", begins, "- interval '1 day'"),
            ("to", "<", ends, "+ interval '1 day'"),
        )
        if bound is not None
    ]
    bound_values = {key: bound for _, _, key, bound, _ in bounds}
    if not type_name.endswith("with time zone"):
        tests = [f"{column(facet.column)} {sign} {held}::{type_name}" for sign, held, *_ in bounds]
        return Condition(f"({' AND '.join(tests)})", bound_values)
    zone_name = facet.time_zone or layout.counted.catalog.time_zone
    zone = sql.literal(zone_name)
    moments = [
        (sign, held, f"({held}::timestamp AT TIME ZONE {zone})", slack)
        for sign, held, _, _, slack in bounds
    ]
    if zone_name in _UTC:
        tests = [f"{column(facet.column)} {sign} {moment}" for sign, _, moment, _ in moments]
    else:
        # Where clocks go back over midnight a local day is no one stretch of time: the index finds
        # a little more, the clock on the wall decides.
        local = f"({column(facet.column)} AT TIME ZONE {zone})"
        tests = [
            f"{column(facet.column)} {sign} ({moment} {slack}) AND {local} {sign} {held}::timestamp"
            for sign, held, moment, slack in moments
        ]
    return Condition(f"({' AND '.join(tests)})", bound_values)


def _no_date(what: str, text: str, facet: DateFacet) -> errors.ParameterError:
    example = periods.EXAMPLES[facet.bucket]
    return values.wrong(what, text, f"date; write one such as {example}, 2026, 2026-01..2026-04")


def _split(layout: Layout, name: str, facet: SingleValued) -> splits.Split:
    return splits.make(name, facet, layout.counted.types, layout.counted.catalog.time_zone)


__all__ = ["condition"]
