from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database, errors, sql
from crm_ops.fold import rebuild, recount
from tests.fold import orders, shop
from tests.fold.shop import Order

EVERYBODY = [*shop.TENANTS, shop.NOBODY]

histories = st.lists(st.lists(orders.orders, max_size=25), min_size=1, max_size=3)


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    return migrated


def test_a_facet_counts_each_row_once(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1, state="new"), Order(2, state="new"), Order(3), Order(4, 2)])

    done = rebuild.facet_counts(engine, shop.counted(), EVERYBODY)

    assert (done.rows_seen, done.tenants) == (4, tuple(EVERYBODY))
    found = shop.stored_facet_counts(engine)
    assert found["1", "state", "new"] == 2
    assert found["1", "state", None] == 1
    assert found["1", "", None] == 3
    assert found["2", "", None] == 1


def test_ranges_are_half_open_and_lose_no_value(engine: sa.Engine) -> None:
    sizes = ["-0.01", "0", "24.99", "25", "25.5", "62.5", "100", "1e9", "NaN", "Infinity"]
    shop.fill(engine, [Order(at, size=Decimal(size)) for at, size in enumerate(sizes)])

    rebuild.facet_counts(engine, shop.counted(), ["1"])

    found = shop.stored_facet_counts(engine)
    assert {bucket: found["1", "size", bucket] for bucket in shop.LABELS} == {
        "..0": 1,
        "0..25": 2,
        "25..62.5": 2,
        "62.5..100": 1,
        "100..": 4,
    }


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories)
def test_after_any_history_stored_figures_equal_counting_from_scratch(
    engine: sa.Engine, history: list[list[Order]]
) -> None:
    for state in history:
        rows = [shop.moved(order, id=number) for number, order in enumerate(state)]
        shop.fill(engine, rows)
        rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
        rebuild.aggregate_figures(engine, shop.counted(), EVERYBODY)

        assert shop.stored_facet_counts(engine) == shop.facet_counts(rows)
        assert shop.printable(shop.stored_aggregate_figures(engine)) == shop.printable(
            shop.aggregate_figures(rows)
        )


def test_a_second_run_writes_nothing(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1, state="new", size=Decimal("NaN")), Order(2, state="won")])
    for make in (rebuild.facet_counts, rebuild.aggregate_figures):
        assert make(engine, shop.counted(), EVERYBODY).figures_written > 0
        assert make(engine, shop.counted(), EVERYBODY).figures_written == 0


def test_a_dry_run_tells_what_it_would_write_and_writes_nothing(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1, state="new")])

    done = rebuild.facet_counts(engine, shop.counted(), EVERYBODY, dry_run=True)

    assert done.figures_written == 7  # the total and six facets; the order has no tag
    assert shop.stored_facet_counts(engine) == {}


def test_what_many_new_figures_are_like_is_known_when_the_next_are_asked_for(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "_WORTH_ANALYZING", 1)
    shop.fill(engine, [Order(1, state="new"), Order(2, 2)])

    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)

    with database.transaction(engine) as connection:
        known = sql.run(
            connection,
            "SELECT tablename::text FROM pg_stats WHERE schemaname = 'crm_ops'",
        )
        assert {"refresh", "facet_count"} <= set(known.scalars())


def test_only_the_tenants_asked_for_are_touched(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1, 1), Order(2, 2)])
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
    shop.fill(engine, [])

    rebuild.facet_counts(engine, shop.counted(), ["1"])

    assert {tenant for tenant, _, _ in shop.stored_facet_counts(engine)} == {"2"}


def test_a_tenant_with_too_many_values_fails_alone(engine: sa.Engine) -> None:
    limited = shop.catalog(limits={"distinct_values_per_facet": 3})
    shop.fill(
        engine, [Order(at, 1, state=f"s{at}") for at in range(4)] + [Order(9, 2, state="new")]
    )

    done = rebuild.facet_counts(engine, shop.counted(limited), EVERYBODY)

    assert set(done.failures) == {"1"}
    assert "order.state has 4 distinct values" in done.failures["1"]
    assert "2" in done.tenants
    assert {tenant for tenant, _, _ in shop.stored_facet_counts(engine)} == {"2"}


def test_a_tenant_whose_data_cannot_be_counted_fails_alone(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, 'ALTER TABLE shop."order lines" ALTER COLUMN size TYPE text')
    with database.transaction(engine) as connection:
        for id_, company, size in ((1, 1, "12"), (2, 2, "a dozen"), (3, 3, "13")):
            sql.run(
                connection,
                'INSERT INTO shop."order lines" (id, company_id, size)'
                " VALUES (%(a)s, %(b)s, %(c)s)",
                a=id_,
                b=company,
                c=size,
            )

    done = rebuild.aggregate_figures(engine, shop.counted(), EVERYBODY)

    assert set(done.failures) == {"2"}
    assert "a dozen" in done.failures["2"]
    assert set(done.tenants) == {"1", "3", shop.NOBODY}


def test_a_dropped_column_is_an_error_not_a_failed_tenant(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, 'ALTER TABLE shop."order lines" DROP COLUMN person_id')

    with pytest.raises(errors.DatabaseRefused, match="catalog validate"):
        rebuild.facet_counts(engine, shop.counted(), EVERYBODY)


def test_rebuilds_beside_writers_and_each_other_are_exact_in_the_end(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(at, 1 + at % 3, state=f"s{at % 5}") for at in range(200)])
    stop = threading.Event()
    failures: list[errors.CrmOpsError] = []

    def write() -> None:
        at = 1000
        while not stop.is_set():
            with database.transaction(engine) as connection:
                sql.run(
                    connection,
                    'INSERT INTO shop."order lines" (id, company_id, "state %%")'
                    " VALUES (%(i)s, 1, %(s)s)",
                    i=at,
                    s=f"s{at % 5}",
                )
            at += 1

    def count() -> None:
        try:
            for _ in range(5):
                rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
        except errors.CrmOpsError as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    counters = [threading.Thread(target=count) for _ in range(3)]
    for thread in (writer, *counters):
        thread.start()
    for thread in counters:
        thread.join()
    stop.set()
    writer.join()

    assert failures == []
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
    with database.transaction(engine) as connection:
        total = sql.run(connection, 'SELECT count(*) FROM shop."order lines"').scalar_one()
    found = shop.stored_facet_counts(engine)
    assert sum(n for (_, facet, _), n in found.items() if facet == "") == total
    assert sum(n for (_, facet, _), n in found.items() if facet == "state") == total


def test_versions_grow_and_the_moment_is_not_before_the_rows_it_saw(engine: sa.Engine) -> None:
    def noted() -> tuple[int, datetime]:
        with database.transaction(engine) as connection:
            row = sql.run(
                connection, "SELECT version, as_of FROM crm_ops.refresh WHERE tenant = '1'"
            ).one()
            return row.version, row.as_of

    before = datetime.now(UTC)
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
    first = noted()
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)

    assert noted() > first
    assert abs(first[1] - before) < timedelta(seconds=60)


def test_a_table_that_is_emptied_and_filled_again_meanwhile_is_never_counted_as_empty(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a TRUNCATE an older snapshot would see none of the rows there ever were."""
    shop.fill(engine, [Order(1), Order(2)])
    writer = threading.Thread(target=_reload, args=(engine,))
    prepare = recount.prepare

    def and_then_somebody_reloads(*given_: object) -> datetime:
        moment = prepare(*given_)  # type: ignore[arg-type]
        writer.start()
        writer.join(0.3)
        return moment

    monkeypatch.setattr(recount, "prepare", and_then_somebody_reloads)
    rebuild.facet_counts(engine, shop.counted(), ["1"])
    writer.join()

    assert shop.stored_facet_counts(engine)["1", "", None] == 2


def _reload(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, 'TRUNCATE shop."order lines"')
        shop.put(connection, [Order(1), Order(2), Order(3)])
