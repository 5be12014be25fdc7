"""What no CRM should hold, and some do: it is counted as it is, or told by name; none stops all."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from crm_ops.base import database, errors, names, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.fold import rebuild, refresh, verify
from crm_ops.fold.refresh import Refreshed
from crm_ops.fold.rows import Counted
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply, assert_exact, run
from tests.fold.shop import Order

TEXTS = [
    "", " ", "\t\r\n", "\x01\x7f", "%s %(x)s %%", "'; DROP TABLE x; --", '"\\', "NULL", "nan",
    "\u0645\u0631\u062d\u0628\u0627", "\u202eabc\u202c", "\U0001f469\u200d\U0001f467", "e\u0301",
    "\u00e9", "\ufeff", "\uffff", "\U0010ffff", "\u0131 \u0130 \ufb01", "a" * 200, "a" * 201,
    "\u00e9" * 100, "\u00e9" * 101, "x" * 1_000_000, "\U0001f47e" * 250_000,
]  # fmt: skip
FLOATS = ["0", "-0", "1e-308", "1e308", "0.1", "NaN", "Infinity", "-Infinity", None]
MOMENTS = [
    "infinity", "-infinity", "4713-11-24 00:00:00+00 BC", "4713-12-31 23:59:59+00 BC",
    "0044-03-15 12:00:00+00 BC", "0001-01-01 00:00:00+00", "1969-12-31 20:00:00+00",
    "9999-12-31 23:59:59.999999+00", "294276-12-31 23:59:59.999999+00", None,
]  # fmt: skip
DAYS = ["infinity", "-infinity", "4713-11-24 BC", "5874897-12-31", "294277-01-01", "2026-02-28"]


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    return migrated


def settle(engine: sa.Engine, counted: Counted) -> tuple[Refreshed, rebuild.Rebuilt]:
    done = refresh.fold(engine, counted)
    missing = refresh.uncaptured(engine, counted, EVERYBODY)
    return done, rebuild.facet_counts(engine, counted, missing)


def assert_proved(engine: sa.Engine, counted: Counted, tenants: list[str]) -> None:
    found = verify.compare(engine, counted, tenants)
    assert (found.unproved, found.differences, len(found.tenants)) == (None, (), len(tenants))


def test_any_text_is_a_value_like_another(engine: sa.Engine) -> None:
    apply(engine, shop.catalog())
    settle(engine, shop.counted())
    rows = [Order(at, state=text, tags=(text,)) for at, text in enumerate(TEXTS)]
    with database.transaction(engine) as connection:
        shop.put(connection, rows)

    done, _ = settle(engine, shop.counted())

    assert done.drained.changes == 2 * len(rows)
    assert_exact(engine, rows)
    with database.transaction(engine) as connection:
        shop.put(connection, [Order(at, state="plain") for at, _ in enumerate(TEXTS)])
    settle(engine, shop.counted())
    assert_exact(engine, [Order(at, state="plain") for at, _ in enumerate(TEXTS)])


def test_numbers_that_are_none_are_summed_and_ordered_as_postgresql_does(
    engine: sa.Engine,
) -> None:
    counted = _odd(engine, {"kind": "ranges", "column": "ratio", "bounds": [0, 1]})
    for at, number in enumerate(FLOATS):
        _insert(engine, id=at, company_id=1 + at % 2, ratio=number)
    settle(engine, counted)
    assert_proved(engine, counted, shop.TENANTS)
    # What is left when they go is a number again: NaN cannot be subtracted.
    run(engine, "DELETE FROM shop.odd WHERE ratio IN ('NaN', 'Infinity', '-Infinity')")

    done, _ = settle(engine, counted)

    assert done.drained.recounted > 0
    assert_proved(engine, counted, shop.TENANTS)
    found = shop.stored_aggregate_figures(engine)
    assert found["ratios", "1", (), "ratio"][2:] == (Decimal(0), Decimal("0.1"))
    assert found["ratios", "2", (), "ratio"][2:] == (Decimal(0), Decimal("1e308"))


@pytest.mark.parametrize("bucket", ["day", "week", "month", "quarter", "year"])
def test_every_moment_and_day_has_a_bucket(engine: sa.Engine, bucket: str) -> None:
    counted = _odd(
        engine,
        {"kind": "date", "column": "at", "bucket": bucket, "time_zone": "America/St_Johns"},
        {"kind": "date", "column": "day", "bucket": bucket},
        {"kind": "date", "column": "at", "bucket": bucket, "time_zone": "Pacific/Kiritimati"},
    )
    settle(engine, counted)
    for at, moment in enumerate(MOMENTS):
        _insert(engine, id=at, company_id=1, at=moment, day=DAYS[at % len(DAYS)])

    done, _ = settle(engine, counted)

    assert done.drained.changes == len(MOMENTS)
    assert_proved(engine, counted, ["1"])
    found = shop.stored_facet_counts(engine)
    assert found["1", "odd0", "infinity"] == 2
    assert found["1", "odd0", "-infinity"] == 3
    assert found["1", "odd0", None] == 1
    assert any(str(b).endswith(" BC") and n == 1 for (_, f, b), n in found.items() if f == "odd0")


def test_a_change_that_cannot_be_counted_fails_its_tenant_and_no_other(engine: sa.Engine) -> None:
    """JSON as text may hold what no text of PostgreSQL can: a NUL."""
    counted = _odd(engine, {"kind": "json", "column": "info", "path": ["a"]})
    settle(engine, counted)
    _insert(engine, id=1, company_id=1, info='{"a": "\\u0000"}')
    _insert(engine, id=2, company_id=2, info='{"a": "good"}')

    done, found = settle(engine, counted)

    assert "a change cannot be counted: unsupported Unicode escape sequence" in str(done.set_aside)
    assert set(found.failures) == {"1"}
    assert shop.stored_facet_counts(engine)["2", "odd0", "good"] == 1
    _insert(engine, id=3, company_id=2, info='{"a": "good"}')
    done, found = settle(engine, counted)
    assert (done.set_aside, done.drained.changes, set(found.failures)) == (None, 1, {"1"})
    assert_proved(engine, counted, ["2", "3"])
    run(engine, "DELETE FROM shop.odd WHERE id = 1")
    settle(engine, counted)
    assert_proved(engine, counted, shop.TENANTS)


def test_a_facet_of_a_hundred_thousand_values_is_refused_by_name_or_shown_in_part(
    engine: sa.Engine,
) -> None:
    counted = _odd(engine, {"column": "id", "top": 2})
    run(
        engine,
        "INSERT INTO shop.odd (id, company_id)"
        " SELECT i, 1 + i %% 2 FROM generate_series(1, 100000) AS i WHERE i %% 2 = 0 OR i < 9",
    )

    _, found = settle(engine, counted)

    assert found.failures == {
        "1": "odd.odd0 has 50,000 distinct values, more than the 20,000 that"
        " limits.distinct_values_per_facet allows; raise it, or take the facet out"
    }
    assert set(found.tenants) == {"2", "3", shop.NOBODY}
    raised = counted.catalog.model_copy(
        update={
            "limits": counted.catalog.limits.model_copy(
                update={"distinct_values_per_facet": 100_000}
            )
        }
    )
    wide = Counted(raised, "odd", counted.types)
    _, found = settle(engine, wide)
    assert found.failures == {}
    assert_proved(engine, wide, shop.TENANTS)


def test_a_facet_of_a_million_values_is_refused_by_name(engine: sa.Engine) -> None:
    counted = _odd(engine, {"column": "id"})
    run(
        engine,
        "INSERT INTO shop.odd (id, company_id)"
        " SELECT i, 1 + (i > 1000000)::int FROM generate_series(1, 1000009) AS i",
    )
    refresh.fold(engine, counted, anew="so many changes cost more than counting anew")

    found = rebuild.facet_counts(engine, counted, shop.TENANTS)

    assert set(found.failures) == {"1"}
    assert "odd.odd0 has 1,000,000 distinct values, more than the 20,000" in found.failures["1"]
    assert_proved(engine, counted, ["2", "3"])


@pytest.mark.parametrize(
    "ddl", ["DROP COLUMN ratio", "ALTER ratio TYPE text", "RENAME ratio TO proportion"]
)
def test_a_column_changed_under_us_is_told_by_name_and_mended_by_applying(
    engine: sa.Engine, ddl: str
) -> None:
    counted = _odd(engine, {"column": "ratio"})
    _insert(engine, id=1, company_id=1, ratio=1)
    settle(engine, counted)
    run(engine, f"ALTER TABLE shop.odd {ddl}")
    run(engine, "INSERT INTO shop.odd (id, company_id) VALUES (2, 1)")

    if "TYPE" in ddl:
        assert "changes are not applied" in str(refresh.fold(engine, counted).unusable)
        retyped = Counted(counted.catalog, "odd", {**counted.types, "ratio": "text"})
        apply(engine, counted.catalog)
        settle(engine, retyped)
        assert shop.stored_facet_counts(engine)["1", "odd0", None] == 1
        assert_proved(engine, retyped, shop.TENANTS)
    else:
        with pytest.raises(errors.DatabaseRefused, match=r"shop\.odd has no column ratio"):
            refresh.fold(engine, counted)


NAMES = [
    'a"b',
    "a%b",
    "%(tenant)s",
    "%s",
    "line\nbreak",
    "$$;--",
    "é" * 31,
    "x" * 63,
    "select",
    "👾",
]


def test_hostile_names_of_tables_and_columns_are_only_names(engine: sa.Engine) -> None:
    for name in NAMES:
        table = sql.Relation("shop", name)
        run(
            engine,
            f"CREATE TABLE {table.quoted} (id bigint, company_id bigint,"
            f" {sql.identifier(name)} text, {sql.identifier(name[:-1] + 'z')} numeric)",
        )
    entities = {
        f"odd{at}": {
            "table": 'shop."' + name.replace('"', '""') + '"',
            "tenant": "company_id",
            "where": {name: {"not": name}},
            "facets": {
                "text": {"column": name},
                "range": {"kind": "ranges", "column": name[:-1] + "z", "bounds": [0]},
            },
        }
        for at, name in enumerate(NAMES)
    }
    catalog = shop.catalog(entities=entities, aggregates={})
    apply(engine, catalog)
    for at, name in enumerate(NAMES):
        types = {"id": "bigint", "company_id": "bigint", name: "text", name[:-1] + "z": "numeric"}
        counted = Counted(catalog, f"odd{at}", types)
        settle(engine, counted)
        insert = f"INSERT INTO {sql.Relation('shop', name).quoted} VALUES (1, 1, %(v)s, 2)"
        run(engine, insert, v=name + "!")
        run(engine, insert, v=name)

        done, _ = settle(engine, counted)

        assert done.drained.changes == 1
        assert shop.stored_facet_counts(engine)["1", "text", name + "!"] == 1
        assert_proved(engine, counted, shop.TENANTS)


def test_long_names_that_begin_alike_have_logs_of_their_own(engine: sa.Engine) -> None:
    long = "e" * 62
    run(engine, "CREATE TABLE shop.a (id bigint, company_id bigint)")
    run(engine, "CREATE TABLE shop.b (id bigint, company_id bigint)")
    tag = {"kind": "link", "table": "shop.order_tag", "parent": "order_id", "column": "tag"}
    entities = {
        name: {"table": f"shop.{table}", "tenant": "company_id", "facets": {facet: tag}}
        for name, table, facet in (
            (long + "1", "a", "t"), (long + "2", "b", "t"), ("p_q", "a", "r"), ("p", "b", "q_r"),
        )
    }  # fmt: skip

    steps = apply(engine, shop.catalog(entities=entities, aggregates={}))

    assert len({step.relation for step in steps}) == len(steps) == 8
    assert all(sql.usable(step.relation.name) for step in steps)
    assert apply(engine, shop.catalog(entities=entities, aggregates={})) == []
    assert names.bounded("log", long + "1") != names.bounded("log", long + "2")


def _odd(engine: sa.Engine, *facets: dict[str, object]) -> Counted:
    """A table of odd columns, counted by `facets`, its changes captured."""
    types = {
        "id": "bigint",
        "company_id": "bigint",
        "ratio": "double precision",
        "at": "timestamp with time zone",
        "day": "date",
        "info": "json",
    }
    columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
    run(engine, f"CREATE TABLE shop.odd ({columns})")
    declared = {f"odd{at}": facet for at, facet in enumerate(facets)}
    entity = {"table": "shop.odd", "tenant": "company_id", "facets": declared}
    functions = ("sum", "avg", "min", "max")
    measures = {each: {each: "ratio"} for each in functions}
    catalog: Catalog = shop.catalog(
        entities={"odd": entity}, aggregates={"ratios": {"entity": "odd", "measures": measures}}
    )
    apply(engine, catalog)
    return Counted(catalog, "odd", types)


def _insert(engine: sa.Engine, **values: object) -> None:
    places = ", ".join(f"%({name})s" for name in values)
    run(engine, f"INSERT INTO shop.odd ({', '.join(values)}) VALUES ({places})", **values)
