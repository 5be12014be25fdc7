"""The SQL of aggregates: their figures from scratch, and what a batch of changes changes.

A pure function of the catalog and the column types. One scan serves all aggregates of an entity
that measure the same: each set of dimensions is one grouping set. Sums are numeric; sum and count
are stored, averages are derived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crm_ops.base import errors, sql
from crm_ops.catalog.aggregates import Aggregate
from crm_ops.catalog.facets import ColumnFacet, LinkFacet, SingleValued
from crm_ops.fold import planning, rows, splits

# GROUPING() takes at most 31 arguments.
_MOST_KEYS = 31


@dataclass(frozen=True)
class _Wanted:
    """One measured column ('' for the rows) of one aggregate, read from one grouping set."""

    aggregate: str
    mask: int
    measured: str
    extremes: bool


def of_entity(counted: rows.Counted) -> dict[str, Aggregate]:
    """The aggregates that the catalog declares of an entity."""
    return {
        name: aggregate
        for name, aggregate in counted.catalog.aggregates.items()
        if aggregate.entity == counted.name
    }


def recount(counted: rows.Counted) -> str:
    """One SELECT of figures from scratch, for the tenants bound as `tenants`.

    Columns: aggregate, tenant, dimensions (buckets in the order of the declaration, the currency
    last), measured ('' for the rows), n, total, low, high (NULL where no min or max of the column
    is declared). The aggregate '' has the total of rows.
    """
    return "\nUNION ALL\n".join(
        _scans(counted, rows.stored(counted), of_entity(counted), total=True)
    )


def changes(counted: rows.Counted) -> str:
    """One SELECT of what the drained changes change: differences of n and total, no extremes.

    The part `facet_change` of the statement holds the changes of counts by each facet, and by each
    of `dimensions_counted`: those of aggregates that count rows by one of them.
    """
    counting = _counting(counted)
    others = {name: each for name, each in of_entity(counted).items() if name not in counting}
    parts = list(_scans(counted, rows.changes(counted), others, total=False))
    if counting:
        parts.append(_of_facets(counting))
    return "\nUNION ALL\n".join(parts)


def dimensions_counted(counted: rows.Counted) -> dict[str, SingleValued]:
    """The dimensions, not facets, that some aggregate does nothing but count rows by."""
    known = counted.entity.dimensions
    return {name: known[name] for name in _counting(counted).values() if name in known}


def _counting(counted: rows.Counted) -> dict[str, str]:
    """The aggregates that count rows by one facet or dimension, and by which."""
    return {
        name: each.by[0]
        for name, each in of_entity(counted).items()
        if len(each.by) == 1 and not each.columns() and each.currency is None
        if not isinstance(counted.entity.splits()[each.by[0]], LinkFacet)
    }


def _of_facets(facets: Mapping[str, str]) -> str:
    """The changes of aggregates that count rows by one facet or dimension."""
    pairs = (f"({sql.literal(name)}, {sql.literal(facet)})" for name, facet in facets.items())
    return f"""
  SELECT counts.aggregate, tenant, ARRAY[bucket]::text[] AS dimensions, '' AS measured, n,
         NULL::numeric AS total, NULL::numeric AS low, NULL::numeric AS high
  FROM facet_change JOIN (VALUES {_joined(*pairs)}) AS counts (aggregate, facet) USING (facet)
"""


def _scans(
    counted: rows.Counted,
    source: rows.Source,
    declared: Mapping[str, Aggregate],
    *,
    total: bool,
) -> Iterator[str]:
    """One scan for the aggregates that measure the same: none pays for another's sums."""
    alike: dict[tuple[tuple[str, bool], ...], dict[str, Aggregate]] = {(): {}} if total else {}
    for name, aggregate in declared.items():
        measured = tuple((each, has_extremes(aggregate, each)) for each in aggregate.columns())
        alike.setdefault(measured, {})[name] = aggregate
    for measured, found in alike.items():
        yield _scan(counted, source, found, measured, total=total and not measured)


def _scan(
    counted: rows.Counted,
    source: rows.Source,
    declared: Mapping[str, Aggregate],
    measured: Sequence[tuple[str, bool]],
    *,
    total: bool,
) -> str:
    """The figures of aggregates that measure the same columns, and the total of rows."""
    keys = dimensions(counted, declared)
    masks = {name: _mask(members(aggregate), keys) for name, aggregate in declared.items()}
    if total:
        masks[""] = _mask((), keys)
    wanted = [
        _Wanted(name, mask, column, extremes)
        for name, mask in masks.items()
        for column, extremes in (("", False), *measured)
    ]
    columns = [column for column, _ in measured]
    # Extremes may change where number and sum do not.
    having = ""
    if not any(extremes for _, extremes in measured):
        values = [f"m{at}" for at in range(len(columns))]
        sums = [each(value) for value in values for each in (source.count_of, source.sum_of)]
        having = source.having(*sums)
    return f"""
  SELECT wanted.aggregate, grouped.tenant::text AS tenant,
         {_dimensions(declared, keys)} AS dimensions, wanted.measured,
         {_pick("n", columns, of_rows="grouped.n")} AS n,
         {_pick("total", columns)} AS total,
         CASE WHEN wanted.extremes THEN {_pick("low", columns)} END AS low,
         CASE WHEN wanted.extremes THEN {_pick("high", columns)} END AS high
  FROM (
    SELECT {_joined("tenant", *_columns(keys))}, {_grouping(keys)} AS g,
           {_figures(measured, source)}
    FROM (
      {planning.APART}
      SELECT {_joined(*_source(counted, keys, columns), *source.column())}
      FROM {source.relation} AS r WHERE {source.condition}
    ) AS source
    GROUP BY GROUPING SETS ({_sets(set(masks.values()), keys)}){having}
  ) AS grouped
  JOIN (VALUES {_joined(*(_row(each) for each in wanted))})
    AS wanted (aggregate, g, measured, extremes) ON wanted.g = grouped.g
"""


def dimensions(counted: rows.Counted, declared: Mapping[str, Aggregate]) -> dict[str, splits.Split]:
    """Every dimension that some aggregate uses, once."""
    found: dict[str, splits.Split] = {}
    known = counted.entity.splits()
    for aggregate in declared.values():
        for name in members(aggregate):
            facet = known[name] if name in known else ColumnFacet(column=aggregate.currency or "")
            if name in found or isinstance(facet, LinkFacet):
                continue
            found[name] = splits.make(name, facet, counted.types, counted.catalog.time_zone)
    if len(found) > _MOST_KEYS:
        raise errors.ParameterError(
            f"the aggregates of {counted.name} use {len(found)} dimensions; at most"
            f" {_MOST_KEYS} can be counted together"
        )
    return found


def members(aggregate: Aggregate) -> tuple[str, ...]:
    """The dimensions of an aggregate; the currency's name cannot be a facet's (it has a space)."""
    currency = () if aggregate.currency is None else (f"currency {aggregate.currency}",)
    return (*aggregate.by, *currency)


def _columns(keys: Mapping[str, splits.Split]) -> list[str]:
    return [f"k{at}" for at in range(len(keys))]


def _mask(members: Sequence[str], keys: Mapping[str, splits.Split]) -> int:
    """GROUPING()'s value for a set of dimensions: the first key's bit highest, 0 for a member."""
    mask = 0
    for name in keys:
        mask = mask * 2 + (name not in members)
    return mask


def _sets(masks: set[int], keys: Mapping[str, splits.Split]) -> str:
    highest = len(keys) - 1
    members = (
        [column for at, column in enumerate(_columns(keys)) if not mask >> (highest - at) & 1]
        for mask in sorted(masks)
    )
    return _joined(*(f"({_joined('tenant', *columns)})" for columns in members))


def _grouping(keys: Mapping[str, splits.Split]) -> str:
    return f"GROUPING({_joined(*_columns(keys))})" if keys else "0"


def _source(
    counted: rows.Counted, keys: Mapping[str, splits.Split], measured: Sequence[str]
) -> tuple[str, ...]:
    return (
        f"{rows.tenant_key(counted)} AS tenant",
        *(f"{split.key} AS k{at}" for at, split in enumerate(keys.values())),
        *(f"r.{sql.identifier(column)}::numeric AS m{at}" for at, column in enumerate(measured)),
    )


def _figures(measured: Sequence[tuple[str, bool]], source: rows.Source) -> str:
    # The extremes of what is left when a row goes are not known from the row.
    known = source.sign is None
    figures = [f"{source.count()} AS n"]
    for at, (_, extremes) in enumerate(measured):
        value = f"m{at}"
        low, high = (f"min({value})", f"max({value})") if extremes and known else ("NULL", "NULL")
        figures += [
            f"{source.count_of(value)} AS n{at}",
            f"{source.sum_of(value)} AS total{at}",
            f"{low}::numeric AS low{at}",
            f"{high}::numeric AS high{at}",
        ]
    return _joined(*figures)


def _dimensions(declared: Mapping[str, Aggregate], keys: Mapping[str, splits.Split]) -> str:
    """The buckets' names of a group, as a text array."""
    columns = dict(zip(keys, _columns(keys), strict=True))
    texts = {
        name: _joined(*(keys[each].text(columns[each]) for each in members(aggregate)))
        for name, aggregate in declared.items()
    }
    arms = {sql.literal(name): f"ARRAY[{text}]::text[]" for name, text in texts.items()}
    return sql.choose("wanted.aggregate", arms, "ARRAY[]::text[]")


def _pick(figure: str, measured: Sequence[str], *, of_rows: str = "NULL::numeric") -> str:
    """The figure of the measured column that a row of `wanted` asks for."""
    arms = {sql.literal(column): f"grouped.{figure}{at}" for at, column in enumerate(measured)}
    return sql.choose("wanted.measured", {"''": of_rows, **arms}, "NULL")


def _row(wanted: _Wanted) -> str:
    return (
        f"({sql.literal(wanted.aggregate)}, {wanted.mask}, {sql.literal(wanted.measured)},"
        f" {sql.literal(wanted.extremes)})"
    )


def has_extremes(aggregate: Aggregate, column: str) -> bool:
    """Whether the smallest or the largest value of a measured column is declared."""
    return any(column and column in (each.min, each.max) for each in aggregate.measures.values())


def _joined(*parts: str) -> str:
    return ", ".join(parts)


__all__ = [
    "changes",
    "dimensions",
    "dimensions_counted",
    "has_extremes",
    "members",
    "of_entity",
    "recount",
]
