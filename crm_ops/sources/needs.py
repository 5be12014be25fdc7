"""The words for what a catalog needs of the CRM's tables, each with its place in the catalog."""

from __future__ import annotations

from dataclasses import dataclass

from crm_ops.base.sql import Relation
from crm_ops.catalog.document import Keys
from crm_ops.catalog.parts import Where


@dataclass(frozen=True)
class Kind:
    """A kind of types, as a message calls it and as PostgreSQL writes them."""

    label: str
    types: frozenset[str]


NUMBER = Kind(
    "a number",
    frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"}),
)
MOMENT = Kind(
    "a date, timestamp or timestamptz",
    frozenset({"date", "timestamp without time zone", "timestamp with time zone"}),
)
JSON = Kind("json or jsonb", frozenset({"json", "jsonb"}))
BOOLEAN = Kind("boolean", frozenset({"boolean"}))
TEXT = Kind("text or varchar", frozenset({"text", "character varying"}))
ORDERED = Kind(
    "a number, text, date, timestamp, timestamptz or uuid",
    NUMBER.types | TEXT.types | MOMENT.types | {"uuid"},
)


@dataclass(frozen=True)
class Table:
    """A table that must be there and readable."""

    keys: Keys
    relation: Relation


@dataclass(frozen=True)
class Column:
    """A column that must be there, of a kind of types if one is named."""

    keys: Keys
    relation: Relation
    name: str
    kind: Kind | None = None


@dataclass(frozen=True)
class Match:
    """A column whose values are looked for in another: their types must agree."""

    column: Column
    other: Column


@dataclass(frozen=True)
class Filter:
    """A row filter, whose columns must be comparable with its values."""

    keys: Keys
    relation: Relation
    where: Where


@dataclass(frozen=True)
class Months:
    """A table that must be partitioned by RANGE on one column."""

    keys: Keys
    relation: Relation
    column: str


Need = Table | Column | Match | Filter | Months


__all__ = [
    "BOOLEAN",
    "JSON",
    "MOMENT",
    "NUMBER",
    "ORDERED",
    "TEXT",
    "Column",
    "Filter",
    "Kind",
    "Match",
    "Months",
    "Need",
    "Table",
]
