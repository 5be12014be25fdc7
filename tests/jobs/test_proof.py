"""What differs is told cell by cell and mended alone; what cannot be proved is no success."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import sqlalchemy as sa

from crm_ops.base import database, names
from crm_ops.base.store import Client
from crm_ops.catalog.document import Document
from crm_ops.catalog.load import Loaded
from crm_ops.fold import verify
from crm_ops.jobs import proof, run, warm
from crm_ops.jobs.work import Request, Tools
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply
from tests.fold.capturing import run as execute
from tests.fold.shop import Order

ROWS = [Order(1, 1, state="new", size=shop.Decimal(4)), Order(2, 2, state="won"), Order(3, 3)]


@pytest.fixture
def tools(migrated: sa.Engine, store: Client) -> Tools:
    shop.build(migrated)
    loaded = Loaded(shop.catalog(), Document("shop.yaml", {}, {}))
    made = Tools(loaded, migrated, store, lambda: datetime.now(UTC))
    apply(migrated, shop.catalog())
    with database.transaction(migrated) as connection:
        shop.put(connection, ROWS)
    refresh(made)
    return made


def refresh(tools: Tools) -> None:
    for job in ("precompute_facets", "precompute_aggregates"):
        assert run.run(job, Request(), tools, started_by="a test").state == "success"


def differing(tools: Tools, *, repair: bool = False) -> list[tuple[object, ...]]:
    found = proof.prove(Request(), tools, repair=repair)[0]
    assert found.unproved is None
    return [(c.tenant, c.place, c.name, c.bucket, c.served, c.counted) for c in found.differences]


def versions(tools: Tools) -> dict[tuple[str, str], int]:
    with database.transaction(tools.engine) as connection:
        rows = connection.exec_driver_sql("SELECT kind, tenant, version FROM crm_ops.refresh")
        return {(row.kind, row.tenant): row.version for row in rows}


def test_a_change_past_the_triggers_is_told_cell_by_cell_and_mended(tools: Tools) -> None:
    with database.transaction(tools.engine) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(
            """UPDATE shop."order lines" SET "state %%" = 'old' WHERE id = 2"""
        )

    found = differing(tools, repair=True)

    assert [each for each in found if each[1:3] == ("table", "state")] == [
        ("2", "table", "state", "old", None, "1"),
        ("2", "table", "state", "won", "1", None),
    ]
    assert {each[2] for each in found} == {"state", "by_state", "by_day_and_state"}
    assert {each[1] for each in found} == {"table", "bitmaps"}
    assert differing(tools) == []
    assert shop.stored_facet_counts(tools.engine)["2", "state", "old"] == 1


def test_only_what_differs_is_counted_anew(tools: Tools) -> None:
    """A second wrong figure that nobody was told of stays until the next proof finds it."""
    execute(tools.engine, "UPDATE crm_ops.facet_count SET n = 5 WHERE facet = 'color'")
    cells = [
        verify.Difference("order", "1", "table", "facets", "color", None, "5", "1"),
    ]
    before = versions(tools)
    proof._repair(shop.counted(), cells, ["1"], tools)

    found = shop.stored_facet_counts(tools.engine)
    assert (found["1", "color", None], found["2", "color", None]) == (1, 5)
    after = versions(tools)
    assert {key for key, version in after.items() if version != before[key]} == {("facets", "1")}


@pytest.mark.parametrize("wrong", ["total", "newer", "gone", "damaged"])
def test_what_redis_serves_wrongly_is_given_anew(tools: Tools, wrong: str) -> None:
    key = names.facets_key("order", "1")
    value = cast("bytes", tools.redis.get(key))
    later = b"%020d " % (int(value[:20]) + 3_600_000_000)
    spoiled: dict[str, bytes | None] = {
        "total": value.replace(b'"total":1', b'"total":8'),
        "newer": later + value[21:].replace(b'"version":', b'"version":1'),
        "gone": None,
        "damaged": value[:40],
    }
    new = spoiled[wrong]
    tools.redis.delete(key) if new is None else tools.redis.set(key, new)

    found = proof.prove(Request(), tools, repair=True)[0]
    refresh(tools)

    assert bool(found.differences) == (wrong in ("total", "newer"))
    assert found.behind == (wrong in ("gone", "damaged"))
    again = proof.prove(Request(), tools)[0]
    assert again.differences == ()
    assert again.behind == (wrong in ("gone", "damaged"))


def test_a_refresh_at_the_same_time_is_no_drift(tools: Tools) -> None:
    """A value that is published while it is compared is newer than what was read before."""
    ids = iter(range(100, 200))

    class Busy:
        def mget(self, keys: object) -> object:
            self._change()
            found = tools.redis.mget(keys)  # type: ignore[arg-type]
            self._change()
            return found

        def _change(self) -> None:
            with database.transaction(tools.engine) as connection:
                shop.put(connection, [Order(next(ids), 1)])
            refresh(tools)

        def __getattr__(self, name: str) -> Any:
            return getattr(tools.redis, name)

    busy = replace(tools, redis=cast("Client", Busy()))

    found = proof.of_entity(shop.counted(), ["1"], busy, repair=False)

    assert (found.differences, found.behind) == ((), 4)


def test_each_tenant_has_its_turn(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_FEWEST_PROVED", 1)
    proved = []
    for _ in EVERYBODY:
        done = warm._proved(tools, shop.counted(), EVERYBODY)
        assert done.details["proved_tenants"] == 1
        with database.transaction(tools.engine) as connection:
            rows = connection.exec_driver_sql(
                "SELECT tenant FROM crm_ops.refresh WHERE proved_at IS NOT NULL"
                " ORDER BY proved_at DESC LIMIT 1"
            )
            proved.append(rows.scalar_one())

    assert sorted(proved) == sorted(EVERYBODY)
    assert verify.oldest(tools.engine, shop.counted(), EVERYBODY, 1) == [proved[0]]
    assert verify.oldest(tools.engine, shop.counted(), proved[2:], 9) == proved[2:]


def test_the_nightly_proof_is_in_the_ledger_and_fails_where_a_figure_drifted(
    tools: Tools,
) -> None:
    first = run.run("warm_caches", Request(), tools, started_by="a test")
    with database.transaction(tools.engine) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql('DELETE FROM shop."order lines" WHERE id = 2')
    later = [run.run("warm_caches", Request(), tools, started_by="a test") for _ in range(2)]

    assert (first.state, first.details["proved_tenants"]) == ("success", 3)
    failed = [each for each in later if each.state == "failed"]
    assert len(failed) == 1
    assert "served figures differed from a count of the rows" in str(failed[0].error)
    assert failed[0].details["repaired_tenants"] == 1
    assert differing(tools) == []


@pytest.mark.parametrize("spoil", ["DISABLE TRIGGER ALL", "OWNER TO CURRENT_USER"])
def test_what_cannot_be_proved_is_said(tools: Tools, spoil: str) -> None:
    execute(tools.engine, f'ALTER TABLE shop."order lines" {spoil}')

    found = proof.prove(Request(), tools)[0]

    if "DISABLE" in spoil:
        assert "missing or switched off" in str(found.unproved)
        assert (found.tenants, found.figures) == (0, 0)
        assert found.values > 0
    else:
        assert (found.unproved, found.tenants) == (None, len(EVERYBODY))


@pytest.mark.parametrize(
    "change",
    [
        lambda engine: execute(engine, 'TRUNCATE shop."order lines"'),
        lambda engine: execute(engine, "UPDATE crm_ops.capture SET definition = ''"),
    ],
)
def test_where_nothing_can_be_folded_a_repair_counts_the_tenant_as_a_whole(
    tools: Tools, change: Callable[[sa.Engine], None]
) -> None:
    value = cast("bytes", tools.redis.get(names.facets_key("order", "1")))
    tools.redis.set(names.facets_key("order", "1"), value.replace(b'"total":1', b'"total":8'))
    change(tools.engine)

    found = proof.prove(Request(), tools, repair=True)[0]

    assert found.unproved is not None
    assert found.repaired == ("1",)
    again = proof.prove(Request(), tools)[0]
    assert again.differences == ()
