"""Plans the two counting jobs: which entities, whether to fold or to count anew, in which batches.

All changes of an entity are one batch. What is counted anew is cut by tenants: many up to a number
of rows, or one large one: few tasks, none of them long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa

from crm_ops.base import database, errors, sql, statements, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.changes import state as changes
from crm_ops.changes.state import State
from crm_ops.fold import refresh
from crm_ops.fold.definition import Kind
from crm_ops.fold.rows import Counted
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.sources import catalog_needs, check, needs, tables, tenants

_log = logging.getLogger(__name__)

# Log rows, two for a change, to each row counted. At a million leads a refresh after 10 % and 25 %
# of them changed took 0.7 s and 1.5 s, counting anew 3.0 s: they meet at half of the rows, and
# beyond where bitmaps are made anew as well.
_BREAK_EVEN = 1.0
_SMALL = 20_000


def entities(request: Request, catalog: Catalog, able: Iterable[str]) -> list[str]:
    """The entities asked for, of those `able` to be counted, in the catalog's order."""
    known = list(catalog.entities)
    unknown = [name for name in request.entities if name not in known]
    if unknown:
        raise errors.ParameterError(
            f"no entity is called {', '.join(unknown)}; there are {', '.join(known)}"
        )
    possible = set(able)
    return [name for name in known if name in (request.entities or known) and name in possible]


def plan(request: Request, tools: Tools, kind: Kind, able: Iterable[str]) -> list[Work]:
    """Batches of (entity, tenants); a catalog that does not fit is refused before any write.

    PostgreSQL and Redis must both answer: figures that cannot be published are not counted.
    """
    store.check(tools.redis)
    with database.transaction(tools.engine) as connection:
        check.check(connection, tools.loaded)
        chosen = tenants.chosen(connection, tools.catalog, request.tenants)
        require(chosen)
        asked = entities(request, tools.catalog, able)
        require_visible(connection, tools.catalog, asked)
    return [work for name in asked for work in _of_entity(request, tools, kind, name, chosen)]


def _of_entity(
    request: Request, tools: Tools, kind: Kind, name: str, chosen: list[str]
) -> Iterator[Work]:
    """The changes as one batch where they can be folded, and whom must be counted anew."""
    with database.transaction(tools.engine) as connection:
        state = changes.read(connection, tools.catalog, name)
        known = _counted_before(connection, kind, name)
        anew = None if state.unusable else _past_break_even(connection, state, known)
    reason = state.unusable or state.spoiled or (anew if request.mode == "auto" else None)
    counted = entity(tools, name)
    if request.mode == "incremental" and reason is None and _missing(tools, counted, chosen):
        reason = "some tenants were not counted before"
    if request.mode == "incremental" and reason is not None:
        raise errors.ParameterError(
            f"{name} cannot be refreshed incrementally: {reason}; run it with the mode auto"
        )
    if reason is not None:
        # Once is as it should be; at each run, unless the catalog wants it, somebody has to mend.
        ever = state.unusable is not None and tools.catalog.entities[name].capture != "none"
        _log.log(
            logging.WARNING if ever else logging.INFO,
            "%s is counted anew%s: %s",
            name,
            " at each run" if ever else "",
            reason,
            extra={"action": "count_anew", "entity": name},
        )
    if reason is not None and state.unusable is None and not request.dry_run:
        refresh.fold(tools.engine, counted, anew=reason)
    if state.unusable or request.mode == "full" or (reason and request.dry_run):
        missing = chosen
    else:
        missing = _missing(tools, counted, chosen)
        # Whom the changes cannot serve has a batch of its own: no tenant is in two.
        apart = set(missing)
        leavers = [] if request.tenants else sorted(set(known) - set(chosen))
        yield Work(
            label=f"{name}: changes",
            arguments={
                "entity": name,
                "tenants": [tenant for tenant in chosen if tenant not in apart],
                "fold": True,
                "leavers": leavers,
            },
        )
    with database.transaction(tools.engine) as connection:
        sizes = _sizes(connection, tools.catalog, kind, name, missing) if missing else {}
    for group in _groups(missing, sizes, tools.catalog.limits.rows_per_batch):
        yield Work(
            label=_label(name, group, len(chosen)), arguments={"entity": name, "tenants": group}
        )


def _missing(tools: Tools, counted: Counted, chosen: Sequence[str]) -> list[str]:
    return refresh.uncaptured(tools.engine, counted, chosen)


def _past_break_even(
    connection: sa.Connection, state: State, known: Mapping[str, int]
) -> str | None:
    """Why counting anew is cheaper than folding, where it is."""
    backlog = changes.backlog(connection, state).rows
    if backlog < _SMALL or backlog < _BREAK_EVEN * sum(known.values()):
        return None
    return f"{backlog:,} changes wait, which costs more than counting anew"


def require(chosen: Sequence[str]) -> None:
    """Raise where there is no tenant to work for."""
    if not chosen:
        raise errors.NothingSeen(
            "there is no active tenant; see `tenancy` in the catalog, and whether our role can"
            " read its table"
        )


def never_counted(tools: Tools, kind: Kind, name: str, chosen: Sequence[str]) -> list[str]:
    """The tenants of which an entity's figures were never made."""
    with database.transaction(tools.engine) as connection:
        before = _counted_before(connection, kind, name)
    return [tenant for tenant in chosen if tenant not in before]


def entity(tools: Tools, name: str) -> Counted:
    """An entity with the types of its table's columns.

    A run may last: what it was planned for is looked at again, so that a table that was changed
    meanwhile fails the batch in words.
    """
    declared = tools.catalog.entities[name]
    relation = sql.Relation.parse(declared.table)
    with database.transaction(tools.engine) as connection:
        found = tables.inspect(connection, [relation])
    columns = found[relation].columns if relation in found else {}
    lacking = [
        need.name
        for need in catalog_needs.of(tools.catalog)
        if isinstance(need, needs.Column) and need.relation == relation and need.name not in columns
    ]
    if lacking:
        raise errors.DatabaseRefused(
            f"{relation} has no column {', '.join(dict.fromkeys(lacking))}; see whether the tables"
            " are still as the catalog says with `crm-ops catalog validate`"
        )
    return Counted(tools.catalog, name, columns)


def require_visible(connection: sa.Connection, catalog: Catalog, names: Iterable[str]) -> None:
    """Raise where tables that hold rows show our role none of them, before zeros are served.

    Row-level security, or a wrong tenant setting, shows our role an empty table without an error.
    """
    blind = [catalog.entities[name].table for name in names if _hidden(connection, catalog, name)]
    if blind:
        role = sql.run(connection, "SELECT current_user").scalar_one()
        raise errors.NothingSeen(
            f"no row can be seen of {', '.join(blind)}, which hold(s) rows: our role {role!r} is"
            " kept from them by row-level security; grant it BYPASSRLS, or declare in"
            " tenancy.setting what the policies read"
        )


def _sizes(
    connection: sa.Connection, catalog: Catalog, kind: Kind, name: str, chosen: Sequence[str]
) -> Mapping[str, int]:
    """Rows by tenant: as counted last time where every tenant was, else counted now."""
    found = _counted_before(connection, kind, name)
    return found if set(chosen) <= set(found) else tenants.sizes(connection, catalog, name)


def _counted_before(connection: sa.Connection, kind: Kind, name: str) -> dict[str, int]:
    statement = statements.load("crm_ops.jobs")["counted_before"]
    return {
        row.tenant: row.counted for row in sql.run(connection, statement, kind=kind, entity=name)
    }


def _groups(chosen: Sequence[str], sizes: Mapping[str, int], most_rows: int) -> list[list[str]]:
    """Tenants in their order, put together while their rows stay within `most_rows`."""
    if not chosen:
        return []
    groups: list[list[str]] = [[]]
    held = 0
    for tenant in chosen:
        size = sizes.get(tenant, 0)
        if groups[-1] and held + size > most_rows:
            groups.append([])
            held = 0
        groups[-1].append(tenant)
        held += size
    return groups


def _label(name: str, group: Sequence[str], all_tenants: int) -> str:
    if len(group) == all_tenants:
        return f"{name}: all {all_tenants} tenants" if all_tenants > 1 else f"{name}: {group[0]}"
    first = f"{name}: tenant {group[0]}"
    return first if len(group) == 1 else f"{first} and {len(group) - 1} more"


def _hidden(connection: sa.Connection, catalog: Catalog, name: str) -> bool:
    """Whether policies keep our role from every row of a table that holds some."""
    relation = sql.Relation.parse(catalog.entities[name].table)
    found = tables.inspect(connection, [relation])[relation]
    if not found.row_security or found.estimated_rows == 0:
        return False
    tenancy = catalog.tenancy
    setting = tenancy.setting if isinstance(tenancy, ColumnTenancy) else None
    for tenant in tenants.active(connection, catalog) if setting else [""]:
        if setting is not None:
            sql.run(
                connection,
                "SELECT set_config(%(setting)s, %(tenant)s, true)",
                setting=setting,
                tenant=tenant,
            )
        if sql.run(connection, f"SELECT 1 FROM {relation.quoted} LIMIT 1").first():
            return False
    return True


__all__ = ["entities", "entity", "never_counted", "plan", "require", "require_visible"]
