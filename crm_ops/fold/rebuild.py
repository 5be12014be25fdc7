"""Makes the stored figures of some tenants equal a count of the rows: exact, and safe to repeat.

One transaction for each group of tenants: the entity's advisory lock first, then one statement
whose snapshot is the moment `as_of`. Two rebuilds of one entity queue behind each other; readers
and writers of the CRM wait for neither.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.fold import aggregates, facets, rows

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rebuilt:
    """What was counted: rows seen, figures that had to be written, and tenants that failed, why."""

    rows_seen: int
    figures_written: int
    tenants: tuple[str, ...]
    failures: Mapping[str, str] = field(default_factory=dict)


def facet_counts(
    engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str], *, dry_run: bool = False
) -> Rebuilt:
    """Rebuild an entity's facet counts."""
    return _each_group(engine, counted, tenants, facets.rebuild(counted), {}, dry_run=dry_run)


def aggregate_figures(
    engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str], *, dry_run: bool = False
) -> Rebuilt:
    """Rebuild the figures of all aggregates of an entity."""
    names = {"aggregates": list(aggregates.of_entity(counted))}
    return _each_group(
        engine, counted, tenants, aggregates.rebuild(counted), names, dry_run=dry_run
    )


def _each_group(
    engine: sa.Engine,
    counted: rows.Counted,
    tenants: Sequence[str],
    statement: str,
    values: Mapping[str, object],
    *,
    dry_run: bool,
) -> Rebuilt:
    """Count all tenants at once; where the data of one is wrong, find it and count the others.

    Under row-level security by tenant each is counted by itself: the setting names one at a time.
    """
    tenancy = counted.catalog.tenancy
    alone = isinstance(tenancy, ColumnTenancy) and tenancy.setting is not None
    groups = [[tenant] for tenant in tenants] if alone else [list(tenants)]
    seen = written = 0
    finished: list[str] = []
    failures: dict[str, str] = {}
    while groups:
        group = groups.pop()
        try:
            rows_seen, figures = _count(engine, counted, group, statement, values, dry_run=dry_run)
        except _TooMany as error:
            failures.update(error.failures)
            groups.append([tenant for tenant in group if tenant not in error.failures])
            continue
        except errors.DataError as error:
            if len(group) > 1:
                middle = len(group) // 2
                groups += [group[:middle], group[middle:]]
            else:
                failures[group[0]] = str(error)
                _log.warning("tenant %s: %s", group[0], error, extra={"action": "tenant_failed"})
            continue
        seen, written = seen + rows_seen, written + figures
        finished += group
    return Rebuilt(seen, written, tuple(finished), failures)


class _TooMany(Exception):
    def __init__(self, failures: Mapping[str, str]) -> None:
        self.failures = failures
        super().__init__()


def _count(
    engine: sa.Engine,
    counted: rows.Counted,
    tenants: Sequence[str],
    statement: str,
    values: Mapping[str, object],
    *,
    dry_run: bool,
) -> tuple[int, int]:
    if not tenants:
        return 0, 0
    limit = counted.catalog.limits.distinct_values_per_facet
    with database.transaction(engine, keep=not dry_run) as connection:
        database.lock(connection, f"fold:{counted.name}")
        _prepare(connection, counted, tenants)
        row = sql.run(
            connection,
            statement,
            values,
            entity=counted.name,
            tenants=list(tenants),
            limit=limit,
        ).one()
        if row.over:
            raise _TooMany(_reasons(row.over, counted.name, limit))
        return int(row.seen), int(row.written)


def _prepare(connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str]) -> None:
    """Set how this transaction plans, and the tenant that row-level security asks for.

    The planner takes computed keys for unique and would sort, which takes twice as long as hashing.
    """
    sql.run(
        connection,
        "SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true),"
        " set_config('work_mem', '256MB', true),"
        " set_config('statement_timeout', %(timeout)s, true)",
        timeout=f"{counted.catalog.limits.statement_timeout_seconds}s",
    )
    tenancy = counted.catalog.tenancy
    if isinstance(tenancy, ColumnTenancy) and tenancy.setting is not None:
        sql.run(
            connection,
            "SELECT set_config(%(setting)s, %(tenant)s, true)",
            setting=tenancy.setting,
            tenant=tenants[0],
        )


def _reasons(over: Sequence[tuple[str, str, int]], entity: str, limit: int) -> dict[str, str]:
    return {
        tenant: (
            f"{entity}.{name} has {buckets:,} distinct values, more than the {limit:,} that"
            " limits.distinct_values_per_facet allows; raise it, or take the facet out"
        )
        for tenant, name, buckets in over
    }


__all__ = ["Rebuilt", "aggregate_figures", "facet_counts"]
