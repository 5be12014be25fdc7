"""Compares the catalog with the database, so that nothing is written by a catalog that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.catalog import suggestion
from crm_ops.catalog.document import Keys
from crm_ops.catalog.entities import ColumnTenancy, Tenancy
from crm_ops.catalog.load import Loaded
from crm_ops.sources import catalog_needs, columns, comparable, needs, tables
from crm_ops.sources.columns import Found

Problem = tuple[Keys, str]


def check(connection: sa.Connection, loaded: Loaded) -> None:
    """Raise `CatalogError` with everything that the catalog says wrongly of the database.

    `connection` is in a transaction, and stays usable.
    """
    wanted = list(catalog_needs.of(loaded.catalog))
    named = [need for need in wanted if isinstance(need, needs.Table)]
    found = tables.inspect(connection, [need.relation for need in named])
    problems = [
        *_absent(connection, named, found),
        *_unseen(connection, named, found, loaded.catalog.tenancy),
        *(problem for need in wanted for problem in _wrong(connection, need, found)),
    ]
    if problems:
        placed = loaded.document.problem
        raise loaded.document.refusal(placed(keys, message) for keys, message in problems)


def _absent(
    connection: sa.Connection, named: Sequence[needs.Table], found: Found
) -> Iterator[Problem]:
    """Tables that are not there."""
    absent = [need for need in named if need.relation not in found]
    known = tables.existing(connection) if absent else []
    for need in absent:
        name = str(need.relation)
        namesakes = [relation for relation in known if relation.name == need.relation.name]
        meant = suggestion.of(name, map(str, namesakes or known))
        yield need.keys, f"there is no table {name}{meant}"


def _unseen(
    connection: sa.Connection, named: Sequence[needs.Table], found: Found, tenancy: Tenancy
) -> Iterator[Problem]:
    """Tables of which our role sees no row, or not all; each once, where it is named first."""
    setting = tenancy.setting if isinstance(tenancy, ColumnTenancy) else None
    role = str(sql.run(connection, "SELECT current_user").scalar_one())
    first = {need.relation: need.keys for need in reversed(named) if need.relation in found}
    for relation, keys in first.items():
        if not found[relation].selectable:
            yield (
                keys,
                f"the role {role} may not read {relation}; grant it SELECT on the table and USAGE"
                f" on the schema {relation.schema}",
            )
        elif found[relation].row_security and setting is None:
            yield (
                keys,
                f"the role {role} sees only what policies of {relation} show it; grant it BYPASSRLS"
                " or declare tenancy.setting",
            )


def _wrong(connection: sa.Connection, need: needs.Need, found: Found) -> Iterator[Problem]:
    match need:
        case needs.Column():
            yield from columns.present(need, found)
        case needs.Match():
            yield from columns.alike(need, found)
        case needs.Months():
            yield from columns.partitioned(need, found)
        case needs.Filter():
            yield from comparable.problems(connection, need, found)


__all__ = ["check"]
