"""A filter as buckets: which of a facet's buckets hold the rows that its condition finds.

A row is in one of them exactly where the condition of `facet_filter` holds for it. What is no union
of buckets (a range that begins within one) is None: then the rows themselves are asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from hashlib import md5

from crm_ops.catalog.facets import DateFacet, LinkFacet, RangesFacet
from crm_ops.read import periods, values
from crm_ops.read.layout import Layout

Bucket = str | None

_LONGEST_BYTES = 200
_BEGINNING = 120
_LOWEST, _HIGHEST = Decimal("-Infinity"), Decimal("Infinity")


def chosen(
    layout: Layout, name: str, wanted: Sequence[Bucket], there: Collection[Bucket]
) -> set[Bucket] | None:
    """Those of the buckets `there` that `wanted`, which was checked before, asks for.

    The bucket None stands for the rows without a value, of a link facet those without a link.
    """
    facet = layout.entity.facets[name]
    found: set[Bucket] = {each for each in wanted if each is None}
    for each in wanted:
        if each is None:
            continue
        match facet:
            case RangesFacet():
                some = _range(facet, each)
            case DateFacet():
                some = _dates(each, there)
            case LinkFacet():
                some = _equal(each, layout.linked[name])
            case _:
                type_name = "text" if facet.kind == "json" else layout.type_of(facet.column)
                some = _equal(each, type_name)
        if some is None:
            return None
        found |= some
    return found


def _equal(value: str, type_name: str) -> set[Bucket]:
    """The bucket of a value: its text as PostgreSQL writes it, bounded."""
    if type_name in values.WHOLE:
        number = values.whole(value, type_name)
        return set() if number is None else {str(number)}
    if type_name == "numeric":
        return {_trimmed(value)}
    if type_name == "uuid":
        return {values.uuid(value)}
    # A very long value may be asked for by itself, or by its bucket's name.
    return {value, clipped(value)}


def _trimmed(value: str) -> str:
    number = Decimal(value)
    if not number.is_finite():
        return value
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def clipped(value: str) -> str:
    """A value's bucket, as the fold names it."""
    encoded = value.encode()
    if len(encoded) <= _LONGEST_BYTES:
        return value
    checksum = md5(encoded, usedforsecurity=False).hexdigest()
    return f"{value[:_BEGINNING]}…{checksum}"


def _range(facet: RangesFacet, text: str) -> set[Bucket] | None:
    begin, end = text.split("..")
    low = Decimal(begin) if begin else _LOWEST
    high = Decimal(end) if end else None
    edges = [_LOWEST, *facet.bounds]
    if low not in edges or (high is not None and high not in facet.bounds):
        return None
    return {
        label
        for edge, label in zip(edges, facet.labels(), strict=True)
        if low <= edge and (high is None or edge < high)
    }


def _dates(text: str, there: Collection[Bucket]) -> set[Bucket] | None:
    """The buckets within a period; None where one is only in part, or beyond the calendar."""
    if ".." not in text:
        period = periods.parse(text)
        if period is None:
            return {text}
        begins, ends = period.begins, period.ends
    else:
        begin, end = (periods.parse(each) if each else None for each in text.split(".."))
        begins = date.min if begin is None else begin.begins
        ends = date.max if end is None else end.begins
    found: set[Bucket] = set()
    for bucket in there:
        if bucket is None:
            continue
        period = periods.parse(bucket)
        if period is None:
            return None
        if begins <= period.begins and period.ends <= ends:
            found.add(bucket)
        elif period.begins < ends and begins < period.ends:
            return None
    return found


__all__ = ["Bucket", "chosen", "clipped"]
