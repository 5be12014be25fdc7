"""The demo's rows are as uneven, as incomplete and as long-winded as those of a real CRM."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.demo import build, sizes

AS_OF = date(2026, 1, 20)
RECORDS = ("account", "contact", "lead", "deal")

# Each row `r` and what it refers to, `o`: both are of one company.
REFERENCES = (
    *(f"crm.{table} AS r JOIN crm.app_user AS o ON o.id = r.owner_id" for table in RECORDS),
    "crm.contact AS r JOIN crm.account AS o ON o.id = r.account_id",
    "crm.deal AS r JOIN crm.account AS o ON o.id = r.account_id",
    "crm.app_user AS r JOIN crm.role AS o ON o.id = r.role_id",
    "crm.role AS r JOIN crm.role AS o ON o.id = r.parent_id",
    "crm.team_member JOIN crm.team AS r ON r.id = team_id JOIN crm.app_user AS o ON o.id = user_id",
    "crm.lead_tag JOIN crm.lead AS r ON r.id = lead_id JOIN crm.tag AS o ON o.id = tag_id",
    "crm.record_share AS r JOIN crm.app_user AS o ON o.id = r.user_id",
    "crm.audit_log AS r JOIN crm.app_user AS o ON o.id = r.user_id",
    *(
        f"crm.{log} AS r LEFT JOIN crm.{table} AS o ON o.id = r.record_id WHERE entity = '{table}'"
        for log in ("record_share", "audit_log")
        for table in RECORDS
    ),
    *(
        f"crm.sharing_rule AS r LEFT JOIN crm.{table} AS o ON o.id = grantee_id"
        f" WHERE grantee_type IN {grantees}"
        for table, grantees in (
            ("team", "('team')"),
            ("app_user", "('user')"),
            ("role", "('role', 'role_and_subordinates')"),
        )
    ),
)

# The columns that facets and aggregates split by and add up, where they may be empty.
NULLABLE = {
    "account": "owner_id type status priority industry annual_revenue currency updated_at",
    "contact": "owner_id account_id role department status priority updated_at",
    "lead": "owner_id status priority source industry score attributes updated_at",
    "deal": "owner_id account_id status priority stage probability amount currency close_date"
    " updated_at",
}


@pytest.fixture
def crm(database: sa.Engine) -> sa.Engine:
    build.create(database, size=sizes.SMALL, as_of=AS_OF)
    return database


def rows(crm: sa.Engine, text: str) -> list[Any]:
    with crm.begin() as connection:
        return list(sql.run(connection, text).all())


def column(crm: sa.Engine, text: str) -> list[Any]:
    return [row[0] for row in rows(crm, text)]


def test_companies_differ_in_size_as_tenants_do(crm: sa.Engine) -> None:
    for table in RECORDS:
        shares = column(
            crm,
            "SELECT count(t.id)::float8 / sum(count(t.id)) OVER () FROM crm.company AS c"
            f" LEFT JOIN crm.{table} AS t ON t.company_id = c.id GROUP BY c.id ORDER BY c.id",
        )
        assert len(shares) == 40
        assert 0.17 < shares[0] < 0.27
        assert 0.4 < shares[1] / shares[0] < 0.6
        assert 0 < min(shares) < shares[0] / 20


def test_a_few_companies_are_inactive(crm: sa.Engine) -> None:
    assert column(crm, "SELECT id FROM crm.company WHERE NOT is_active ORDER BY id") == [13, 26, 39]


def test_values_are_skewed_and_sometimes_missing(crm: sa.Engine) -> None:
    for table, facets in NULLABLE.items():
        for facet in facets.split():
            counts = dict(rows(crm, f"SELECT {facet}::text, count(*) FROM crm.{table} GROUP BY 1"))
            missing = counts.pop(None)
            assert 0.01 < missing / (missing + sum(counts.values())) < 0.3, (table, facet)
            assert len(counts) >= 3, (table, facet)
        priorities = column(crm, f"SELECT count(*) FROM crm.{table} GROUP BY priority")
        assert max(priorities) > 4 * min(priorities), table


def test_scores_lie_on_within_and_outside_their_usual_bounds(crm: sa.Engine) -> None:
    scores = column(crm, "SELECT score FROM crm.lead WHERE score IS NOT NULL")
    assert {Decimal(bound) for bound in ("0", "25", "25.5", "50", "75", "100")} <= set(scores)
    assert 0 < sum(score < 0 for score in scores) < len(scores) / 50
    assert 0 < sum(score > 100 for score in scores) < len(scores) / 50


def test_amounts_and_revenues_lie_on_the_bounds_of_their_ranges(crm: sa.Engine) -> None:
    amounts = column(crm, "SELECT DISTINCT amount FROM crm.deal WHERE amount IS NOT NULL")
    assert {Decimal(bound) for bound in (0, 10_000, 50_000, 100_000)} <= set(amounts)
    assert any(amount % 1 for amount in amounts)
    revenues = column(crm, "SELECT annual_revenue FROM crm.account WHERE annual_revenue > 0")
    for low, high in [(0, 100_000), (100_000, 1_000_000), (1_000_000, 10_000_000)]:
        assert any(low <= revenue < high for revenue in revenues)
    assert max(revenues) > 10_000_000


def test_records_span_three_years_in_the_order_of_their_dates(crm: sa.Engine) -> None:
    for table in RECORDS:
        [(first, last, disordered, deleted)] = rows(
            crm,
            "SELECT min(created_at), max(greatest(created_at, updated_at, deleted_at)),"
            " count(*) FILTER (WHERE updated_at < created_at"
            "   OR deleted_at < coalesce(updated_at, created_at)),"
            f" count(deleted_at)::float8 / count(*) FROM crm.{table}",
        )
        assert datetime(2023, 1, 20, tzinfo=UTC) <= first < datetime(2023, 3, 1, tzinfo=UTC)
        assert datetime(2026, 1, 1, tzinfo=UTC) < last < datetime(2026, 1, 20, tzinfo=UTC)
        assert disordered == 0
        assert 0.01 < deleted < 0.08


def test_nothing_refers_to_another_company(crm: sa.Engine) -> None:
    for reference in REFERENCES:
        [(referring, foreign)] = rows(
            crm,
            "SELECT count(*), count(*) FILTER (WHERE o.company_id IS DISTINCT FROM r.company_id)"
            f" FROM {reference}",
        )
        assert referring > 0, reference
        assert foreign == 0, reference


def test_roles_form_one_tree_per_company_three_or_four_deep(crm: sa.Engine) -> None:
    depths = rows(
        crm,
        "WITH RECURSIVE tree AS ("
        " SELECT id, company_id, 1 AS depth FROM crm.role WHERE parent_id IS NULL"
        " UNION ALL SELECT role.id, role.company_id, depth + 1"
        " FROM tree JOIN crm.role ON role.parent_id = tree.id)"
        " SELECT company_id, max(depth), count(*) FILTER (WHERE depth = 1), count(*)"
        " FROM tree GROUP BY 1",
    )
    assert {depth for _, depth, _, _ in depths} == {3, 4}
    assert {roots for _, _, roots, _ in depths} == {1}
    assert [sum(roles for *_, roles in depths)] == column(crm, "SELECT count(*) FROM crm.role")


def test_audit_rows_fill_more_than_14_months_and_the_default_partition(crm: sa.Engine) -> None:
    by_partition = dict(
        rows(crm, "SELECT tableoid::regclass::text, count(*) FROM crm.audit_log GROUP BY 1")
    )
    strays = by_partition.pop("crm.audit_log_default")
    assert len(by_partition) == 17
    assert 0 < strays < min(100, sum(by_partition.values()) / 50)
    assert column(
        crm, "SELECT DISTINCT to_char(created_at, 'YYYY-MM') FROM crm.audit_log_default"
    ) == ["2026-02"]


def test_some_audit_rows_belong_to_no_company(crm: sa.Engine) -> None:
    [(without, total)] = rows(
        crm, "SELECT count(*) - count(company_id), count(*) FROM crm.audit_log"
    )
    assert 0 < without < total / 20


def test_audited_records_were_there_at_the_time(crm: sa.Engine) -> None:
    for table in RECORDS:
        assert column(
            crm,
            f"SELECT count(*) FROM crm.audit_log AS a JOIN crm.{table} AS r ON r.id = a.record_id"
            f" WHERE a.entity = '{table}' AND a.created_at < r.created_at",
        ) == [0]


def test_sharing_rules_use_all_that_rules_may_say(crm: sa.Engine) -> None:
    operators = column(
        crm,
        "SELECT DISTINCT jsonb_object_keys(part) FROM crm.sharing_rule,"
        """ jsonb_path_query(predicate, 'strict $.** ? (@.type() == "object")') AS part""",
    )
    assert " ".join(sorted(operators)) == "and contains eq ge gt in is_null le lt ne not or"
    for what, said in {
        "grantee_type": {"everyone", "role", "role_and_subordinates", "team", "user"},
        "level": {"read_only", "read_write"},
        "is_active": {True, False},
        "entity": set(RECORDS),
    }.items():
        assert set(column(crm, f"SELECT DISTINCT {what} FROM crm.sharing_rule")) == said


def test_names_are_written_in_many_scripts(crm: sa.Engine) -> None:
    names = " ".join(column(crm, "SELECT name FROM crm.lead"))
    assert {"Zoë", "Łukasz", "Мария", "美咲", "محمد", "O'Brien"} <= set(names.split())
