"""`crm-ops verify`: its exit code is what a monitor reads, its cells what a person does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from crm_ops.base import database
from tests.cli.conftest import Ended

Call = Callable[..., Ended]
COUNTING = ("run", "--task", "precompute_facets", "--task", "precompute_aggregates")


def bypass(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("UPDATE crm.lead SET status = 'odd' WHERE company_id = 1")


@pytest.fixture
def served(crm_ops: Call, connected: sa.Engine) -> sa.Engine:
    crm_ops("catalog", "apply")
    assert crm_ops(*COUNTING).code == 0
    return connected


def test_exact_figures_are_told_as_such(crm_ops: Call, served: sa.Engine) -> None:
    told, data = crm_ops("verify"), crm_ops("verify", "--json")

    assert (told.code, told.err) == (0, "")
    rows = {line.split()[0]: line.split() for line in told.out.splitlines() if line}
    assert [rows[entity][1] for entity in ("lead", "deal", "account", "contact")] == ["exact"] * 4
    assert (data.code, data.data["drift"]) == (0, False)
    assert all(each["figures"] > 50 and each["values"] >= 13 for each in data.data["entities"])


def test_drift_is_told_cell_by_cell_and_repaired(crm_ops: Call, served: sa.Engine) -> None:
    bypass(served)

    found = crm_ops("verify", "--json", "--entity", "lead")
    repaired = crm_ops("verify", "--repair", "--entity", "lead")

    assert (found.code, found.data["drift"]) == (3, True)
    cells = found.data["entities"][0]["differences"]
    assert {(cell["tenant"], cell["place"]) for cell in cells} == {("1", "table")}
    odd = next(cell for cell in cells if cell["bucket"] == "odd" and cell["name"] == "status")
    assert (odd["served"], odd["counted"].isdigit()) == (None, True)
    assert repaired.code == 3
    assert "lead: counted anew: 1" in repaired.err
    assert crm_ops("verify").code == 0


def test_a_sample_is_a_part_of_the_tenants(crm_ops: Call, served: sa.Engine) -> None:
    found = crm_ops("verify", "--json", "--sample", "25", "--entity", "deal")

    assert (found.code, found.data["entities"][0]["tenants"]) == (0, 3)


def test_nothing_proved_is_no_success(crm_ops: Call, served: sa.Engine) -> None:
    with database.transaction(served) as connection:
        connection.exec_driver_sql("ALTER TABLE crm.lead DISABLE TRIGGER ALL")

    told = crm_ops("verify")

    assert told.code == 3
    assert "lead: not proved: a trigger of ours on crm.lead" in told.err


def test_what_is_declared_as_not_captured_needs_no_proof(
    crm_ops: Call, connected: sa.Engine, catalog: Callable[..., object]
) -> None:
    catalog(("    table: crm.contact\n", "    table: crm.contact\n    capture: none\n"))
    crm_ops("catalog", "apply")
    assert crm_ops(*COUNTING).code == 0

    found = crm_ops("verify", "--json", "--entity", "contact")

    assert found.code == 0
    proof = found.data["entities"][0]
    assert (proof["unproved"], proof["figures"]) == ("the catalog says `capture: none`", 0)
    assert proof["values"] == 13


def test_status_tells_each_tenant(crm_ops: Call, served: sa.Engine) -> None:
    with database.transaction(served) as connection:
        connection.exec_driver_sql("UPDATE crm.lead SET score = score WHERE company_id = 2")

    data = crm_ops("status", "--json").data["tenants"]
    told = crm_ops("status", "--tenant", "2")

    lead = {each["tenant"]: each for each in data if each["entity"] == "lead"}
    assert len(data) == 4 * 13
    assert (lead["1"]["backlog"], lead["2"]["backlog"] > 0) == (0, True)
    assert lead["2"]["oldest_change"] > lead["2"]["as_of"]
    assert [line for line in told.out.splitlines() if line.split()[:2] == ["2", "lead"]]
