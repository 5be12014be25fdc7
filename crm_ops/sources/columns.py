"""Says what is wrong with the columns that a catalog names: not there, or not of a fitting type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crm_ops.base.sql import Relation
from crm_ops.catalog import suggestion
from crm_ops.catalog.document import Keys
from crm_ops.sources import needs
from crm_ops.sources.tables import Table

_MODIFIER = re.compile(r"\([^)]*\)")
# Types whose values have the same text, so that one may refer to the other.
_ALIKE = {
    **dict.fromkeys(("smallint", "integer", "bigint"), "whole number"),
    **dict.fromkeys(("text", "character varying", "character"), "text"),
}

Found = Mapping[Relation, Table]


def present(need: needs.Column, found: Found) -> Iterator[tuple[Keys, str]]:
    """What is wrong with a column by itself; of a table that is not there nothing is said."""
    table = found.get(need.relation)
    if table is None:
        return
    if need.name not in table.columns:
        yield need.keys, missing(table, need.name)
    elif need.kind is not None and _plain(table.columns[need.name]) not in need.kind.types:
        yield (
            need.keys,
            f"{need.relation}.{need.name} is {table.columns[need.name]}; name a column that is"
            f" {need.kind.label}",
        )


def alike(need: needs.Match, found: Found) -> Iterator[tuple[Keys, str]]:
    """What is wrong with two columns that are compared, if each is there."""
    one, other = _type(need.column, found), _type(need.other, found)
    if one is None or other is None:
        return
    if _ALIKE.get(_plain(one), one) != _ALIKE.get(_plain(other), other):
        yield (
            need.column.keys,
            f"{need.column.relation}.{need.column.name} is {one}, but {need.other.relation}."
            f"{need.other.name}, in which it is looked for, is {other}; name columns of one type",
        )


def partitioned(need: needs.Months, found: Found) -> Iterator[tuple[Keys, str]]:
    """What is wrong with the way a table is partitioned."""
    table = found.get(need.relation)
    if table is not None and table.range_key != (need.column,):
        yield (
            need.keys,
            f"{need.relation} is not partitioned by RANGE ({need.column}); partition it so, or take"
            " `audit` out of the catalog",
        )


def missing(table: Table, name: str) -> str:
    """What is said of a column that is not there."""
    return f"{table.relation} has no column {name}{suggestion.of(name, table.columns)}"


def _type(column: needs.Column, found: Found) -> str | None:
    table = found.get(column.relation)
    return None if table is None else table.columns.get(column.name)


def _plain(type_name: str) -> str:
    """A type without its length or precision."""
    return _MODIFIER.sub("", type_name)


__all__ = ["Found", "alike", "missing", "partitioned", "present"]
