"""A real sales pipeline, dirt included: what is served equals its files, counted by the csv module.

8,800 deals and 85 accounts that nobody here wrote: https://mavenanalytics.io, public domain.
"""

from __future__ import annotations

import csv
import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import names, sql
from crm_ops.base import store as stores
from crm_ops.catalog import load
from crm_ops.jobs import run
from crm_ops.jobs.work import Request, Tools
from crm_ops.publish import codec

HERE = Path(__file__)
DATA = next(
    (
        folder / "shared" / "data" / "maven"
        for folder in HERE.parents
        if (folder / "shared" / "data" / "maven").is_dir()
    ),
    None,
)
pytestmark = pytest.mark.skipif(
    DATA is None, reason="the files of the sales pipeline are not beside this checkout"
)

# The files' own columns in their order; no key but the rows' own, nothing converted or cleaned.
TABLES = {
    "accounts": "account text PRIMARY KEY, sector text, year_established integer, revenue numeric,"
    " employees integer, office_location text, subsidiary_of text",
    "products": "product text PRIMARY KEY, series text, sales_price numeric",
    "sales_teams": "sales_agent text PRIMARY KEY, manager text, regional_office text",
    "sales_pipeline": "opportunity_id text PRIMARY KEY, sales_agent text, product text,"
    " account text, deal_stage text, engage_date date, close_date date, close_value numeric",
}
BOUNDS = {
    "value": ([0, 1, 100, 1000, 5000, 10000], "close_value"),
    "employees": ([100, 1000, 10000], "employees"),
}

Row = Mapping[str, str | None]
Figures = dict[tuple[str | None, ...], tuple[int, int, Decimal | None]]


def read(table: str) -> list[Row]:
    """A file's rows; what is empty is None."""
    assert DATA is not None
    with (DATA / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return [{name: text or None for name, text in row.items()} for row in csv.DictReader(file)]


def by(column: str) -> Callable[[Row], str | None]:
    return lambda row: row[column]


def month(row: Row) -> str | None:
    moment = _date(row["close_date"])
    return None if moment is None else f"{moment:%Y-%m}"


def quarter(row: Row) -> str | None:
    moment = _date(row["close_date"])
    return None if moment is None else f"{moment:%Y}-Q{(moment.month + 2) // 3}"


def between(facet: str) -> Callable[[Row], str | None]:
    bounds, column = BOUNDS[facet]
    edges = [f"..{bounds[0]}", *(f"{a}..{b}" for a, b in itertools.pairwise(bounds))]
    labels = [*edges, f"{bounds[-1]}.."]

    def label(row: Row) -> str | None:
        value = row[column]
        return None if value is None else labels[bisect_right(bounds, Decimal(value))]

    return label


FACETS: dict[str, dict[str, Callable[[Row], str | None]]] = {
    "deal": {
        "stage": by("deal_stage"),
        "agent": by("sales_agent"),
        "product": by("product"),
        "account": by("account"),
        "close_month": month,
        "value": between("value"),
    },
    "account": {
        "sector": by("sector"),
        "office": by("office_location"),
        "employees": between("employees"),
    },
}
AGGREGATES: dict[str, tuple[str, tuple[Callable[[Row], str | None], ...]]] = {
    "deals_by_stage": ("close_value", (by("deal_stage"),)),
    "deals_by_agent": ("close_value", (by("sales_agent"),)),
    "deals_by_product_and_stage": ("close_value", (by("product"), by("deal_stage"))),
    "revenue_by_close_month": ("close_value", (month,)),
    "revenue_by_close_quarter": ("close_value", (quarter,)),
    "all_deals": ("close_value", ()),
    "accounts_by_sector": ("revenue", (by("sector"),)),
}
FILES = {"deal": "sales_pipeline", "account": "accounts"}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    return {entity: read(file) for entity, file in FILES.items()}


@pytest.fixture
def tools(migrated: sa.Engine, store: stores.Client) -> Tools:
    """The files as they are, in tables of their own shape."""
    assert DATA is not None
    with databases.transaction(migrated) as connection:
        sql.run(connection, "CREATE SCHEMA maven")
        sql.run(connection, "SET LOCAL datestyle = 'ISO, MDY'")
        raw = connection.connection.driver_connection
        assert raw is not None
        for table, columns in TABLES.items():
            sql.run(connection, f"CREATE TABLE maven.{table} ({columns})")
            copy = f"COPY maven.{table} FROM STDIN (FORMAT csv, HEADER match)"
            with raw.cursor() as cursor, cursor.copy(copy) as target:
                target.write((DATA / f"{table}.csv").read_bytes())
    return Tools(
        loaded=load.load(HERE.with_name("maven.yaml")),
        engine=migrated,
        redis=store,
        clock=lambda: datetime.now(UTC),
    )


def go(job: str, tools: Tools) -> None:
    done = run.run(job, Request(), tools, started_by="a test")
    assert (done.state, done.error, done.tenants) == ("success", None, 1)
    assert done.rows_seen == 8_885


def test_the_dirt_is_in_there(rows: dict[str, list[Row]]) -> None:
    deals = rows["deal"]
    known = {row["product"] for row in read("products")}
    assert (len(deals), len(rows["account"])) == (8_800, 85)
    assert sum(row["account"] is None for row in deals) == 1_425
    assert sum(row["close_value"] is None for row in deals) == 2_089
    assert sum(row["product"] not in known for row in deals) == 1_480


def test_every_facet_count_equals_the_files(tools: Tools, rows: dict[str, list[Row]]) -> None:
    go("precompute_facets", tools)

    for entity, facets in FACETS.items():
        served = codec.facet_counts(
            tools.redis.get(names.facets_key(entity, "maven")), entity, "maven"
        )
        assert served is not None
        assert served.total == len(rows[entity])
        assert set(served.facets) == set(facets)
        for facet, bucket in facets.items():
            counted = Counter(bucket(row) for row in rows[entity])
            assert _stored_counts(tools.engine, entity, facet) == counted, facet
            shown = served.facets[facet]
            found = {each.value: each.n for each in shown.buckets}
            assert found.items() <= counted.items(), facet
            assert sum(found.values()) + shown.other == len(rows[entity]), facet


def test_buckets_are_shown_in_order_with_labels_where_there_are_some(
    tools: Tools, rows: dict[str, list[Row]]
) -> None:
    go("precompute_facets", tools)
    served = codec.facet_counts(tools.redis.get(names.facets_key("deal", "maven")), "deal", "maven")
    assert served is not None

    managers = {row["sales_agent"]: row["manager"] for row in read("sales_teams")}
    agents = served.facets["agent"].buckets
    assert {each.value: each.label for each in agents} == {
        name: managers[name] for name in {row["sales_agent"] for row in rows["deal"]}
    }
    assert [each.n for each in agents] == sorted((each.n for each in agents), reverse=True)
    series = {row["product"]: row["series"] for row in read("products")}
    products = served.facets["product"].buckets
    assert len(products) == 5
    assert {each.value: each.label for each in products} == {
        each.value: series.get(each.value) for each in products
    }
    assert ("GTXPro", None) in {(each.value, each.label) for each in products}
    months = [each.value for each in served.facets["close_month"].buckets]
    assert months == [*sorted({month(row) for row in rows["deal"]} - {None}), None]
    ranges = [each.value for each in served.facets["value"].buckets]
    assert ranges == ["0..1", "1..100", "100..1000", "1000..5000", "5000..10000", "10000..", None]


def test_every_report_figure_equals_the_files(tools: Tools, rows: dict[str, list[Row]]) -> None:
    go("precompute_aggregates", tools)

    for name, (measured, dimensions) in AGGREGATES.items():
        entity = tools.catalog.aggregates[name].entity
        wanted = _summed(rows[entity], measured, dimensions)
        assert _stored_figures(tools.engine, name, measured) == wanted, name
        served = codec.aggregate_figures(
            tools.redis.get(names.aggregates_key(name, "maven")), name, "maven"
        )
        assert served is not None
        assert (
            _paired(
                (tuple(each.dimensions), each.measured, each.n, each.total)
                for each in served.figures
            )
            == wanted
        ), name


def test_smallest_and_largest_deals_equal_the_files(
    tools: Tools, rows: dict[str, list[Row]]
) -> None:
    go("precompute_aggregates", tools)

    values = defaultdict(list)
    for row in rows["deal"]:
        if row["close_value"] is not None:
            values[row["deal_stage"]].append(Decimal(row["close_value"]))
    served = codec.aggregate_figures(
        tools.redis.get(names.aggregates_key("deals_by_stage", "maven")), "deals_by_stage", "maven"
    )
    assert served is not None
    assert {
        each.dimensions[0]: (each.low, each.high) for each in served.figures if each.low is not None
    } == {stage: (min(each), max(each)) for stage, each in values.items()}
    assert set(values) == {"Won", "Lost"}, "open deals have no value yet"


def test_warming_alone_serves_the_same(tools: Tools) -> None:
    done = run.run("warm_caches", Request(), tools, started_by="a test")
    assert (done.state, done.error) == ("success", None)
    warmed = _served(tools)
    tools.redis.flushall()
    go("precompute_facets", tools)
    go("precompute_aggregates", tools)

    assert _served(tools) == warmed
    assert len(warmed) == len(FACETS) + len(AGGREGATES)


def _date(text: str | None) -> datetime | None:
    return None if text is None else datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC)


def _summed(
    rows: Iterable[Row], measured: str, dimensions: Iterable[Callable[[Row], str | None]]
) -> Figures:
    """By group: its rows, how many have a value, the values' sum."""
    groups: dict[tuple[str | None, ...], list[str | None]] = defaultdict(list)
    buckets = list(dimensions)
    for row in rows:
        groups[tuple(bucket(row) for bucket in buckets)].append(row[measured])
    found: Figures = {}
    for group, values in groups.items():
        numbers = [Decimal(value) for value in values if value is not None]
        found[group] = (len(values), len(numbers), sum(numbers) if numbers else None)
    return found


def _paired(
    figures: Iterable[tuple[tuple[str | None, ...], str, int, Decimal | None]],
) -> Figures:
    """The figures of the rows and of the measured column, together by group."""
    counted: dict[tuple[str | None, ...], int] = {}
    measured: dict[tuple[str | None, ...], tuple[int, Decimal | None]] = {}
    for dimensions, column, n, total in figures:
        if column:
            measured[dimensions] = (n, total)
        else:
            counted[dimensions] = n
    return {group: (n, *measured[group]) for group, n in counted.items()}


def _stored_counts(engine: sa.Engine, entity: str, facet: str) -> dict[str | None, int]:
    with databases.transaction(engine) as connection:
        found = sql.run(
            connection,
            "SELECT bucket, n FROM crm_ops.facet_count"
            " WHERE tenant = 'maven' AND entity = %(entity)s AND facet = %(facet)s",
            entity=entity,
            facet=facet,
        )
        return {row.bucket: row.n for row in found}


def _stored_figures(engine: sa.Engine, aggregate: str, measured: str) -> Figures:
    with databases.transaction(engine) as connection:
        found = sql.run(
            connection,
            "SELECT dimensions, measured, n, total FROM crm_ops.aggregate"
            " WHERE tenant = 'maven' AND aggregate = %(aggregate)s"
            " AND measured IN ('', %(measured)s)",
            aggregate=aggregate,
            measured=measured,
        ).all()
    return _paired((tuple(row.dimensions), row.measured, row.n, row.total) for row in found)


def _served(tools: Tools) -> dict[str, object]:
    """What Redis serves, without when."""
    found: dict[str, object] = {}
    for entity in FACETS:
        key = names.facets_key(entity, "maven")
        counts = codec.facet_counts(tools.redis.get(key), entity, "maven")
        found[key] = counts and (counts.total, counts.facets)
    for name in AGGREGATES:
        key = names.aggregates_key(name, "maven")
        figures = codec.aggregate_figures(tools.redis.get(key), name, "maven")
        found[key] = figures and figures.figures
    assert None not in found.values()
    return found
