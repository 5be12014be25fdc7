"""A facet or dimension as SQL: the key rows are grouped by, and the text that names its bucket.

Every row falls into exactly one bucket of a single-valued facet; NULL is a bucket. Keys stay typed
where that is cheaper to group; the text is made once for each group. What follows from one value is
always the same text, whatever the session's time zone or collation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crm_ops.base import errors, sql
from crm_ops.catalog.facets import (
    ColumnFacet,
    DateFacet,
    JsonFacet,
    LookupFacet,
    RangesFacet,
    SingleValued,
)

# A bucket is part of an index, whose entries are bounded: a longer value keeps its beginning, and
# the checksum of the whole keeps it apart from others.
_LONGEST_BYTES = 200
_BEGINNING = 120

# PostgreSQL has moments from 4713 BC to 294276, and dates beyond; near the ends another time zone
# or the beginning of a year cannot be told. What lies there is counted as infinitely far.
_FIRST_DAY = "4711-01-01 BC"
_LAST_DAY = "294276-01-01"

_FORMATS = {
    "day": "YYYY-MM-DD",
    "week": 'IYYY-"W"IW',
    "month": "YYYY-MM",
    "quarter": 'YYYY-"Q"Q',
    "year": "YYYY",
}


@dataclass(frozen=True)
class Split:
    """A facet's or dimension's SQL.

    `key` is an expression over the row `r`; it is made from `value`, another, of which equals have
    equal keys. `text(column)` names the bucket of a key held in `column`. Where a bucket is one
    value of a column, that is `value_of`.
    """

    name: str
    value: str
    key_template: str
    template: str
    value_of: str | None = None

    @property
    def key(self) -> str:
        """The key as SQL."""
        return self.key_of(self.value)

    def key_of(self, value: str) -> str:
        """The key as SQL, from the SQL of a column that holds what it is made from."""
        return self.key_template.replace("{value}", value)

    def text(self, column: str) -> str:
        """The bucket's name as SQL, from the SQL of a column that holds the key."""
        return self.template.replace("{key}", column)


def make(name: str, facet: SingleValued, types: Mapping[str, str], time_zone: str) -> Split:
    """The SQL of one facet, given the types of the table's columns and the catalog's time zone."""
    match facet:
        case RangesFacet():
            return Split(name, _row(facet.column), _range(facet), _range_label(facet))
        case DateFacet():
            key = _date(facet, types[facet.column], time_zone)
            return Split(name, _row(facet.column), key, _date_label(facet))
        case JsonFacet():
            path = ", ".join(sql.literal(step) for step in facet.path)
            value = f"({_row(facet.column)} #>> ARRAY[{path}]::text[])"
            return Split(name, value, "{value}", clipped("{key}"))
        case ColumnFacet() | LookupFacet():
            value = value_text(_row(facet.column), types[facet.column])
            return Split(name, value, "{value}", clipped("{key}"), facet.column)


def value_text(column: str, type_name: str) -> str:
    """A column's value as text: equal values give equal texts, and only they."""
    if type_name.startswith("numeric"):
        return f"trim_scale({column})::text"
    return f'{column}::text COLLATE "C"'


def clipped(text: str) -> str:
    """`text` as SQL, bounded: a very long value becomes its beginning and its checksum."""
    return (
        f"CASE WHEN octet_length({text}) <= {_LONGEST_BYTES} THEN {text}"
        f" ELSE left({text}, {_BEGINNING}) || '…' || md5({text}) END"
    )


def is_whole(bucket: str) -> bool:
    """Whether a bucket's name is surely the value itself, not its beginning and checksum."""
    return len(bucket) != _BEGINNING + 33


def _row(column: str) -> str:
    return f"r.{sql.identifier(column)}"


def _range(facet: RangesFacet) -> str:
    bounds = ", ".join(f"{bound:f}" for bound in facet.bounds)
    return f"width_bucket({{value}}::numeric, ARRAY[{bounds}]::numeric[])"


def _range_label(facet: RangesFacet) -> str:
    labels = ", ".join(sql.literal(label) for label in facet.labels())
    return f"(ARRAY[{labels}])[{{key}} + 1]"


def _date(facet: DateFacet, type_name: str, time_zone: str) -> str:
    if type_name.endswith("with time zone"):
        local = f"{{value}} AT TIME ZONE {sql.literal(facet.time_zone or time_zone)}"
    elif type_name == "date" or type_name.endswith("without time zone"):
        local = "{value}::timestamp"
    else:
        raise errors.DataError(
            f"column {facet.column} is {type_name}; a date facet needs date or timestamp"
        )
    return (
        f"CASE WHEN {{value}} >= '{_LAST_DAY}' THEN 'infinity' WHEN {{value}} < '{_FIRST_DAY}'"
        f" THEN '-infinity' ELSE date_trunc('{facet.bucket}', {local}) END"
    )


def _date_label(facet: DateFacet) -> str:
    shown = f"to_char({{key}}, {sql.literal(_FORMATS[facet.bucket])})"
    era = "CASE WHEN {key} < '0001-01-01' THEN ' BC' ELSE '' END"
    return f"CASE WHEN isfinite({{key}}) THEN {shown} || {era} ELSE {{key}}::text END"


__all__ = ["Split", "clipped", "is_whole", "make", "value_text"]
