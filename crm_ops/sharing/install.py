"""The triggers that move the epochs of sharing: in the writer's transaction, waiting for nobody.

An error in one of them aborts the write that it belongs to: a change whose epoch did not move would
leave revoked grants honoured. They read nothing but the rows of the statement, and need no more
than TRIGGER and SELECT on the CRM's tables.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import database, errors, names, sql
from crm_ops.base.sql import Relation
from crm_ops.base.statements import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import ColumnTenancy, Tenancy
from crm_ops.catalog.sharing import Members, Roles, Rules, TenantDefault, Users
from crm_ops.sharing import scopes

# The CRM's writers queue behind a lock that waits: it waits this long, and is tried again.
_LOCK_WAIT_MS = 50
_TRIES = 100
_PAUSE_S = 0.1

# Where a statement concerns so many scopes, everything is moved, too.
_MOST_SCOPES = 1001

_OPERATIONS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


# What is declared under `sharing`, and the columns of each that decide who may see what. Of rules
# every update counts: they are written when somebody edits them, and comparing costs the writer.
_PARTS = {
    "rules": (),
    "users": ("key", "role", "active"),
    "roles": ("key", "parent"),
    "tenant_default": ("access",),
    "members": ("team", "user"),
}

_Declared = Rules | Users | Roles | TenantDefault | Members

_ABOUT = re.compile(r"\A(--.*\n)+")
_WORD = re.compile(r"@([a-z]+)\b")


@dataclass(frozen=True)
class Source:
    """A table whose changes move epochs: the scope of a row and the columns that matter, as SQL.

    Without columns every update moves them.
    """

    name: str
    relation: Relation
    scope: str
    columns: tuple[str, ...]


def sources(catalog: Catalog) -> list[Source]:
    """The tables that hold the sharing configuration; record shares are read each time instead."""
    return list(_sources(catalog))


def statements(catalog: Catalog) -> list[str]:
    """The SQL that installs the functions and triggers in place of what is installed.

    With its last statement the epochs are kept, from a number that was not used before.
    """
    if catalog.sharing is None:
        return removal()
    everything = sql.literal(scopes.everything(catalog))
    return [
        *removal(),
        *(text for source in sources(catalog) for text in _installed(source, everything)),
        _filled("keep", everything=everything),
    ]


def removal() -> list[str]:
    """The SQL that removes them, whatever was declared, and makes sure nothing is remembered."""
    # A trigger goes with its function: dropping it by itself is for the owner of its table only.
    functions = (_function(name, operation) for name in _PARTS for operation in _OPERATIONS)
    return [
        _filled("forget"),
        *(f"DROP FUNCTION IF EXISTS {function.quoted}() CASCADE" for function in functions),
        _filled("drop_former"),
    ]


def missing(connection: sa.Connection, catalog: Catalog) -> list[str]:
    """The triggers that are not there or switched off, as `schema.table: trigger`."""
    wanted = [
        (source.relation, _trigger(source, operation))
        for source in sources(catalog)
        for operation in _OPERATIONS
    ]
    there = sql.run(
        connection,
        _filled("triggers"),
        schemas=[relation.schema for relation, _ in wanted],
        tables=[relation.name for relation, _ in wanted],
        triggers=[trigger for _, trigger in wanted],
    )
    return [f"{wanted[at][0]}: {wanted[at][1]}" for at in there.scalars()]


def plan(connection: sa.Connection, catalog: Catalog) -> list[str]:
    """The SQL that `apply` would run; none where all is as it should be."""
    if kept(connection, catalog) and not missing(connection, catalog):
        return []
    return statements(catalog) if catalog.sharing is not None else []


def apply(engine: sa.Engine, catalog: Catalog) -> bool:
    """Install them in one transaction; False where all is as it should be and nothing was done.

    Raises DatabaseBusy where the tables stay locked too long.
    """
    with database.transaction(engine) as connection:
        planned = plan(connection, catalog)
    if planned:
        _run(engine, planned)
    return bool(planned)


def remove(engine: sa.Engine) -> None:
    """Remove them in one transaction; DatabaseBusy where the tables stay locked too long."""
    _run(engine, removal())


def kept(connection: sa.Connection, catalog: Catalog) -> bool:
    """Whether epochs are kept for what `catalog` declares."""
    return bool(sql.run(connection, f"SELECT {scopes.kept(catalog)}").scalar_one())


def forget(connection: sa.Connection) -> None:
    """Let nothing be remembered any more, until `apply`."""
    sql.run(connection, _filled("forget"))


def _sources(catalog: Catalog) -> Iterator[Source]:
    if catalog.sharing is None:
        return
    for name, parts in _PARTS.items():
        declared = getattr(catalog.sharing, name)
        if declared is None:
            continue
        named = [getattr(declared, part) for part in parts]
        # In a CRM of one company the tenant column is not looked at, and may not be there.
        if named and hasattr(declared, "tenant") and isinstance(catalog.tenancy, ColumnTenancy):
            named.append(declared.tenant)
        columns = tuple(sql.identifier(column) for column in named if column is not None)
        yield Source(
            name, Relation.parse(declared.table), _scope(declared, catalog.tenancy), columns
        )


def _scope(declared: _Declared, tenancy: Tenancy) -> str:
    if isinstance(declared, Members):
        scope = scopes.user(f"{sql.identifier(declared.user)}::text")
    else:
        scope = scopes.tenant_of(sql.identifier(declared.tenant), tenancy)
    # Two keys that a column's collation takes for one have scopes of their own.
    return f'{scope} COLLATE "C"'


def _installed(source: Source, everything: str) -> Iterator[str]:
    for operation, rows in _OPERATIONS.items():
        function = _function(source.name, operation).quoted
        yield _filled("function", function=function, body=_body(source, operation, everything))
        yield f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC"
        yield (
            f"CREATE TRIGGER {sql.identifier(_trigger(source, operation))}"
            f" AFTER {operation.upper()} ON {source.relation.quoted} {rows}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )


def _body(source: Source, operation: str, everything: str) -> str:
    whole = _filled("moved", changed=f"SELECT {everything} AS scope")
    scope, columns = source.scope, ", ".join(source.columns)
    match operation:
        case "truncate":
            return whole
        case "insert":
            scopes = _filled("written", scope=scope, rows="new_rows")
        case "delete":
            scopes = _filled("written", scope=scope, rows="old_rows")
        case "update" if columns:
            scopes = _filled("altered", scope=scope, columns=columns)
        case _:
            scopes = _filled("rewritten", scope=scope)
    most = str(_MOST_SCOPES)
    distinct = _filled("distinct", scopes=scopes, most=most)
    many = _filled("many", some=_filled("moved", changed=distinct), all=whole, most=most)
    if operation == "update" and columns:
        # Mostly none is concerned: to compare twice would cost those who log in.
        return many
    single = _filled("moved", changed=_filled("single", scopes=scopes))
    return _filled("one", one=single, many=many)


def _function(name: str, operation: str) -> Relation:
    return Relation(names.SCHEMA, f"sharing_{name}_{operation}")


def _trigger(source: Source, operation: str) -> str:
    return f"crm_ops_sharing_{source.name}_{operation}"


def _filled(name: str, **parts: str) -> str:
    """A fixed text, without what is said of it, with its words `@part` replaced, all at once."""
    text = _ABOUT.sub("", load("crm_ops.sharing")[name])
    return _WORD.sub(lambda found: parts[found[1]], text)


def _run(engine: sa.Engine, texts: Sequence[str]) -> None:
    for turn in range(1, _TRIES + 1):
        try:
            with database.transaction(engine) as connection:
                database.lock(connection, "sharing triggers")
                sql.run(connection, f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}")
                for text in texts:
                    sql.run(connection, text)
        except errors.DatabaseBusy:
            if turn == _TRIES:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


__all__ = [
    "Source",
    "apply",
    "forget",
    "kept",
    "missing",
    "plan",
    "removal",
    "remove",
    "sources",
    "statements",
]
