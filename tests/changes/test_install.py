from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from crm_ops.base import database, errors, names, sql
from crm_ops.changes import install, state
from crm_ops.fold import rebuild, refresh
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply, assert_exact, changed, run, settle
from tests.fold.shop import Order

OF_THE_SHOP = """
    SELECT tgname FROM pg_trigger WHERE tgname LIKE 'crm_ops%%'
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'crm_ops'::regnamespace
    UNION ALL SELECT relname FROM pg_class
    WHERE relnamespace = 'crm_ops'::regnamespace AND relname ~ '^(log|link)_'
"""


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    return migrated


@pytest.fixture
def ours(engine: sa.Engine) -> Iterator[sa.Engine]:
    """A role that owns our schema, and may only read the shop's tables and put triggers on them."""
    role = "crm_ops_test_ours"
    with _role(engine, role) as limited:
        for text in (
            "ALTER SCHEMA crm_ops OWNER TO {role}",
            "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'crm_ops'::regnamespace LOOP"
            " EXECUTE format('ALTER TABLE crm_ops.%%I OWNER TO {role}', t); END LOOP; END $$",
            "GRANT USAGE ON SCHEMA shop TO {role}",
            "GRANT SELECT, TRIGGER ON ALL TABLES IN SCHEMA shop TO {role}",
        ):
            run(engine, text.replace("{role}", role))
        yield limited
        run(engine, f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        run(engine, f"DROP OWNED BY {role} CASCADE")


@pytest.fixture
def writer(engine: sa.Engine) -> Iterator[sa.Engine]:
    """A role of the CRM that may write its tables and knows nothing of us."""
    role = "crm_ops_test_writer"
    with _role(engine, role) as limited:
        run(engine, f"GRANT USAGE ON SCHEMA shop TO {role}")
        run(engine, f"GRANT ALL ON ALL TABLES IN SCHEMA shop TO {role}")
        yield limited
        run(engine, f"DROP OWNED BY {role} CASCADE")


def _role(engine: sa.Engine, role: str) -> _Role:
    return _Role(engine, role)


class _Role:
    def __init__(self, engine: sa.Engine, role: str) -> None:
        self.engine, self.role = engine, role

    def __enter__(self) -> sa.Engine:
        run(self.engine, f"DROP ROLE IF EXISTS {self.role}")
        run(self.engine, f"CREATE ROLE {self.role} LOGIN PASSWORD 'x'")
        self.limited = database.engine(
            self.engine.url.set(username=self.role, password="x").render_as_string(
                hide_password=False
            )
        )
        return self.limited

    def __exit__(self, *_: object) -> None:
        self.limited.dispose()
        run(self.engine, f"DROP ROLE {self.role}")


def test_what_is_applied_twice_is_applied_once(engine: sa.Engine) -> None:
    first, second = apply(engine, shop.catalog()), apply(engine, shop.catalog())

    assert [step.title for step in first] == [
        "capture changes of shop.order lines",
        "capture changes of shop.order_tag",
    ]
    assert second == []


def test_removing_leaves_the_tables_as_they_were(engine: sa.Engine) -> None:
    before = _ours(engine)
    apply(engine, shop.catalog())
    assert len(_ours(engine)) == len(before) + 2 * 6

    with database.transaction(engine) as connection:
        steps = install.removal(connection)
    install.apply(engine, steps)
    install.apply(engine, steps)

    assert _ours(engine) == before
    with database.transaction(engine) as connection:
        assert state.read(connection, shop.catalog(), "order").unusable is not None
        assert install.removal(connection) == []


def test_a_facet_that_is_gone_takes_its_log_along(engine: sa.Engine) -> None:
    apply(engine, shop.catalog())

    steps = apply(engine, changed({"tag": None}))

    assert next(step.title for step in steps) == "stop capturing changes of shop.order_tag"
    assert not [name for name in _ours(engine) if "link" in name]


def test_reading_and_triggers_are_all_the_rights_needed(
    ours: sa.Engine, writer: sa.Engine, engine: sa.Engine
) -> None:
    for table in ('shop."order lines"', "shop.order_tag"):
        run(engine, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        run(engine, f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        run(engine, f"CREATE POLICY everybody ON {table} USING (true)")
    apply(ours, shop.catalog())
    settle(ours)
    rows = [Order(1, state="new", tags=("hot",)), Order(2, 2, deleted=True)]
    with database.transaction(writer) as connection:
        shop.put(connection, rows)

    done = settle(ours)

    assert done.drained.changes == 2
    assert_exact(engine, rows)
    with pytest.raises(errors.PermissionMissing):
        run(writer, "SELECT * FROM crm_ops.log_order")
    with database.transaction(ours) as connection:
        steps = install.removal(connection)
    install.apply(ours, steps)
    assert not [name for name in _ours(engine) if name.startswith("crm_ops_")]


def test_without_the_right_to_create_triggers_nothing_is_written(
    ours: sa.Engine, engine: sa.Engine
) -> None:
    run(engine, "REVOKE TRIGGER ON ALL TABLES IN SCHEMA shop FROM crm_ops_test_ours")

    with pytest.raises(errors.CatalogError, match="grant it TRIGGER"):
        apply(ours, shop.catalog())

    assert not [name for name in _ours(engine) if "log_" in name]


def test_a_change_that_cannot_be_logged_is_made_all_the_same(engine: sa.Engine) -> None:
    apply(engine, shop.catalog())
    settle(engine)
    run(engine, "ALTER TABLE crm_ops.log_order ADD CONSTRAINT never CHECK (false)")

    with database.transaction(engine) as connection:
        shop.put(connection, [Order(1, state="new")])

    with database.transaction(engine) as connection:
        spoiled = state.read(connection, shop.catalog(), "order").spoiled
    assert spoiled is not None
    assert "was not logged" in spoiled
    settle(engine)
    assert_exact(engine, [Order(1, state="new")])


def test_a_change_is_made_even_where_not_so_much_as_a_mark_can_be_left(engine: sa.Engine) -> None:
    apply(engine, shop.catalog())
    run(engine, "DROP TABLE crm_ops.log_order, crm_ops.rebuild_marker")

    with database.transaction(engine) as connection:
        shop.put(connection, [Order(1, state="new")])
        found = sql.run(connection, 'SELECT count(*) FROM shop."order lines"').scalar_one()

    assert found == 1


@pytest.mark.parametrize(
    "ddl", ["DROP COLUMN person_id CASCADE", "ALTER COLUMN person_id TYPE text"]
)
def test_a_column_that_changes_under_us_never_stops_the_crm(engine: sa.Engine, ddl: str) -> None:
    apply(engine, shop.catalog())
    settle(engine)
    run(engine, f'ALTER TABLE shop."order lines" {ddl}')

    run(engine, 'INSERT INTO shop."order lines" (id, company_id) VALUES (1, 1)')

    if "DROP" in ddl:
        with pytest.raises(errors.DatabaseRefused, match="has no column person_id"):
            refresh.fold(engine, shop.counted())
    else:
        assert refresh.fold(engine, shop.counted()).unusable is not None
        apply(engine, shop.catalog())
        settle(engine)
        assert shop.stored_facet_counts(engine) == shop.facet_counts([Order(1)])


def test_hostile_names_are_only_names(engine: sa.Engine) -> None:
    odd = 'a"b; DROP TABLE shop.company; --%s %%'
    quoted = sql.Relation("shop", odd)
    run(
        engine,
        f"CREATE TABLE {quoted.quoted} (id bigint, company_id bigint,"
        f" {sql.identifier(chr(39) + '$crm_ops$' + chr(92))} text,"
        f" {sql.identifier('sign')} numeric)",
    )
    table = '"shop"."' + odd.replace('"', '""') + '"'
    entity = {
        "table": table,
        "tenant": "company_id",
        "facets": {"odd": {"column": "'$crm_ops$\\"}, "sign": {"column": "sign"}},
    }
    catalog = shop.catalog(entities={"order": entity}, aggregates={})
    apply(engine, catalog)
    types = {"id": "bigint", "company_id": "bigint", "'$crm_ops$\\": "text", "sign": "numeric"}
    counted = type(shop.counted())(catalog, "order", types)
    settle(engine, counted)
    run(engine, f"INSERT INTO {quoted.quoted} VALUES (1, 1, 'x', 2)")

    done = refresh.fold(engine, counted)

    assert done.drained.changes == 1
    assert shop.stored_facet_counts(engine) == {
        ("1", "", None): 1,
        ("1", "odd", "x"): 1,
        ("1", "sign", "2"): 1,
    }


def test_an_entity_of_a_long_name_has_a_log_too() -> None:
    long = "e" * 63

    assert len(names.bounded("crm_ops", names.bounded("log", long), "truncate")) < 64
    assert names.bounded("log", long) != names.bounded("log", long[:-1] + "f")


def test_a_writer_never_waits_long_for_us(engine: sa.Engine) -> None:
    """A reader that holds the table back holds us back, and nobody else."""
    waits: list[float] = []
    done = threading.Event()

    def write() -> None:
        at = 0
        while not done.is_set():
            started = time.monotonic()
            run(engine, 'INSERT INTO shop."order lines" (id, company_id) VALUES (%(i)s, 1)', i=at)
            waits.append(time.monotonic() - started)
            at += 1

    with engine.connect() as holder:
        holder.exec_driver_sql('LOCK TABLE shop."order lines" IN ROW EXCLUSIVE MODE')
        writer = threading.Thread(target=write)
        writer.start()
        with database.transaction(engine) as connection:
            steps = install.plan(connection, shop.catalog())
        with pytest.raises(errors.DatabaseBusy, match="locked by others"):
            install.apply(engine, steps, budget_s=1.5)
        done.set()
        writer.join()
        holder.rollback()

    assert max(waits) < 0.5
    apply(engine, shop.catalog())


def _ours(engine: sa.Engine) -> list[str]:
    with database.transaction(engine) as connection:
        return sorted(sql.run(connection, OF_THE_SHOP).scalars())


def test_capture_none_means_every_run_counts_anew(engine: sa.Engine) -> None:
    whole = shop.catalog()
    entity = whole.entities["order"].model_copy(update={"capture": "none"})
    catalog = whole.model_copy(update={"entities": {"order": entity}})

    assert apply(engine, catalog) == []
    assert (
        refresh.fold(engine, shop.counted(catalog)).unusable == "the catalog says `capture: none`"
    )
    rebuild.facet_counts(engine, shop.counted(catalog), EVERYBODY)
    assert refresh.uncaptured(engine, shop.counted(catalog), EVERYBODY) == EVERYBODY
