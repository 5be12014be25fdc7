"""`crm-ops run`: the four jobs by hand; data on stdout, messages on stderr, an exit code."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import sql
from tests.cli.conftest import Ended

JOBS = ["precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches"]
FIELDS = ["job", "state", "tenants", "rows_seen", "figures_written", "took_ms", "error"]
Call = Callable[..., Ended]


def rows(engine: sa.Engine, text: str) -> list[tuple[object, ...]]:
    with databases.transaction(engine) as connection:
        result = sql.run(connection, text)
        return [tuple(row) for row in result] if result.returns_rows else []


def test_all_four_jobs_as_data(crm_ops: Call, connected: sa.Engine) -> None:
    ended = crm_ops("run", "--json")

    assert (ended.code, ended.err) == (0, "")
    assert list(ended.data) == ["jobs"]
    assert [list(job) for job in ended.data["jobs"]] == [FIELDS] * 4
    assert [job["job"] for job in ended.data["jobs"]] == JOBS
    assert {job["state"] for job in ended.data["jobs"]} == {"success"}
    assert {job["error"] for job in ended.data["jobs"]} == {None}
    facets = ended.data["jobs"][0]
    assert facets["tenants"] == 13
    assert facets["rows_seen"] > 1_000
    assert facets["figures_written"] > 1_000
    assert facets["took_ms"] > 0

    again = crm_ops("run", "--json").data["jobs"]
    assert [job["figures_written"] for job in again[:3]] == [0, 0, 0]
    assert again[0]["rows_seen"] == facets["rows_seen"]


def test_as_a_table_for_a_person(crm_ops: Call, connected: sa.Engine) -> None:
    ended = crm_ops("run", "--task", "precompute_facets", "--tenant", "1")

    assert (ended.code, ended.err) == (0, "")
    heading, line = ended.out.rstrip().splitlines()
    assert " ".join(heading.split()) == "job state tenants rows seen figures written took ms"
    assert line.split()[:3] == ["precompute_facets", "success", "1"]


def test_only_the_jobs_entities_and_tenants_that_are_named(
    crm_ops: Call, connected: sa.Engine
) -> None:
    ended = crm_ops(
        *("run", "--json", "--task", "warm_caches", "--task", "precompute_facets"),
        *("--entity", "lead", "--entity", "deal", "--tenant", "1", "--tenant", "2"),
    )

    assert ended.code == 0
    assert [(job["job"], job["tenants"]) for job in ended.data["jobs"]] == [
        ("warm_caches", 2),
        ("precompute_facets", 2),
    ]
    counted = "SELECT DISTINCT entity, tenant FROM crm_ops.facet_count ORDER BY 1, 2"
    assert rows(connected, counted) == [("deal", "1"), ("deal", "2"), ("lead", "1"), ("lead", "2")]


def test_the_ledger_knows_who_started_it(
    crm_ops: Call, connected: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    crm_ops("run", "--task", "precompute_facets", "--dry-run")
    assert rows(connected, "SELECT started_by, request->'dry_run' FROM crm_ops.run") == [
        ("crm-ops run (ann)", True)
    ]


def test_a_user_without_a_name_can_run_it(
    crm_ops: Call, connected: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs as a number of its own."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert crm_ops("run", "--task", "precompute_facets", "--dry-run").code == 0
    ((started_by,),) = rows(connected, "SELECT started_by FROM crm_ops.run")
    assert str(started_by).startswith("crm-ops run (user ")


def test_a_dry_run_writes_no_figure(crm_ops: Call, connected: sa.Engine) -> None:
    ended = crm_ops("run", "--json", "--dry-run")

    assert ended.code == 0
    assert [job["figures_written"] > 0 for job in ended.data["jobs"]] == [True, True, True, False]
    for table in ("facet_count", "aggregate", "refresh", "audit_partition"):
        assert rows(connected, f"SELECT count(*) FROM crm_ops.{table}") == [(0,)]


class TestFailures:
    def test_some_tenants_failed(
        self, crm_ops: Call, connected: sa.Engine, catalog: Callable[..., Path]
    ) -> None:
        rows(
            connected,
            "INSERT INTO crm.lead (company_id, name, status)"
            " SELECT 2, 'x', 'status ' || n FROM generate_series(1, 501) AS n",
        )
        limited = catalog(("distinct_values_per_facet: 20000", "distinct_values_per_facet: 500"))

        asked = ("run", "--task", "precompute_facets", "--catalog", limited)
        ended, shown = crm_ops(*asked, "--json"), crm_ops(*asked)

        assert (ended.code, ended.err) == (4, "")
        (job,) = ended.data["jobs"]
        assert (job["state"], job["tenants"]) == ("partial", 13)
        assert job["error"].startswith("1 tenant(s) failed: 2: lead.status has 5")
        assert shown.code == 4
        assert "partial" in shown.out
        assert shown.err.startswith("precompute_facets: 1 tenant(s) failed: 2: lead.status")

    def test_redis_is_away_and_the_audit_log_is_kept_all_the_same(
        self, crm_ops: Call, connected: sa.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CRM_OPS_REDIS_URL", "redis://:s3cret@127.0.0.1:1/0")

        ended = crm_ops("run", "--json")

        assert ended.code == 1
        states = {job["job"]: job["state"] for job in ended.data["jobs"]}
        assert states == {**dict.fromkeys(JOBS, "failed"), "audit_maintenance": "success"}
        assert "Redis at 127.0.0.1:1/0 (CRM_OPS_REDIS_URL" in ended.data["jobs"][0]["error"]
        assert "s3cret" not in ended.out + ended.err

    def test_postgresql_is_away(self, crm_ops: Call, redis_url: str) -> None:
        asked = (
            *("run", "--redis-url", redis_url),
            *("--database-url", "postgresql://ann:s3cret@127.0.0.1:1/crm"),
        )
        ended, shown = crm_ops(*asked, "--json"), crm_ops(*asked)

        assert ended.code == shown.code == 1
        assert [job["state"] for job in ended.data["jobs"]] == ["failed"] * 4
        assert "ann@127.0.0.1:1/crm (CRM_OPS_DATABASE_URL" in ended.data["jobs"][0]["error"]
        assert shown.err.startswith(f"{', '.join(JOBS)}: PostgreSQL at ann@127.0.0.1:1/crm")
        assert shown.err.count("cannot be reached") == 1
        assert "s3cret" not in ended.out + ended.err + shown.out + shown.err

    def test_a_broken_catalog_is_refused_with_every_line_before_anything_is_written(
        self, crm_ops: Call, connected: sa.Engine, catalog: Callable[..., Path]
    ) -> None:
        broken = catalog(
            ("bounds: [0, 10000,", "bounds: [10000, 0,"),
            ("months_ahead: 3", "months_ahed: 3"),
        )

        ended = crm_ops("run", "--json", "--catalog", broken)

        assert ended.code == 1
        assert [job["job"] for job in ended.data["jobs"]] == JOBS
        error = ended.data["jobs"][0]["error"]
        assert error.startswith("the catalog has 2 problems, nothing was written:\n")
        assert f"{broken}:" in error
        assert "entities.deal.facets.amount" in error
        assert "audit.months_ahed" in error
        assert "months_ahead" in error
        assert rows(connected, "SELECT count(*) FROM crm_ops.run") == [(0,)]

    def test_a_catalog_that_does_not_fit_the_database(
        self, crm_ops: Call, connected: sa.Engine, catalog: Callable[..., Path]
    ) -> None:
        ended = crm_ops(
            *("run", "--json", "--task", "precompute_facets"),
            *("--catalog", catalog(("{column: source}", "{column: sauce}"))),
        )
        assert ended.code == 1
        assert "crm.lead has no column sauce" in ended.data["jobs"][0]["error"]

    def test_what_the_first_jobs_did_is_told_when_a_later_one_cannot_begin(
        self, crm_ops: Call, connected: sa.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CRM_OPS_SIGNING_KEY")

        ended = crm_ops("run", "--json")

        assert ended.code == 1
        states = [job["state"] for job in ended.data["jobs"]]
        assert states == ["success", "success", "success", "failed"]
        assert "CRM_OPS_SIGNING_KEY" in ended.data["jobs"][3]["error"]


class TestWrongCalls:
    """Exit code 2, one message on stderr that says what to do, and nothing on stdout."""

    def wrong(self, ended: Ended, *told: str) -> None:
        assert (ended.code, ended.out) == (2, "")
        assert all(each in ended.err for each in told), ended.err

    def test_an_unknown_job_entity_or_tenant(self, crm_ops: Call, connected: sa.Engine) -> None:
        self.wrong(crm_ops("run", "--task", "facets", "--json"), "'facets' is no job", *JOBS)
        self.wrong(crm_ops("run", "--entity", "leed"), "no entity is called leed; there are lead")
        self.wrong(crm_ops("run", "--tenant", "x"), "no active tenant is called x; there are 1, 2")
        self.wrong(crm_ops("run", "--tenant", "", "--json"), "no active tenant is called ")

    def test_nothing_says_where_things_are(self, crm_ops: Call, redis_url: str) -> None:
        self.wrong(crm_ops("run", "--json"), "no database is named; give --database-url, or set")
        self.wrong(
            crm_ops("run", "--database-url", "postgresql://h/crm"), "no Redis is named; give"
        )

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--database-url", "s3cret"),
            ("--database-url", "mysql://ann:s3cret@h/crm"),
            ("--database-url", "postgresql://ann:x@h:s3cret/crm"),
            ("--redis-url", "redis://:x@h:s3cret/0"),
            ("--redis-url", "s3cret"),
        ],
    )
    def test_a_url_that_cannot_be_read(
        self, crm_ops: Call, connected: sa.Engine, option: str, value: str
    ) -> None:
        ended = crm_ops("run", option, value)
        self.wrong(ended, "URL")
        assert "s3cret" not in ended.err

    def test_an_airflow_connection_that_cannot_be_read(
        self, crm_ops: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_CRM_POSTGRES", '{"extra": "s3cret"}')
        ended = crm_ops("run")
        self.wrong(ended, "AIRFLOW_CONN_CRM_POSTGRES cannot be read")
        assert "s3cret" not in ended.err

    def test_a_database_without_our_schema(
        self,
        crm_ops: Call,
        connected: sa.Engine,
        database: sa.Engine,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(
            "CRM_OPS_DATABASE_URL", database.url.render_as_string(hide_password=False)
        )
        self.wrong(crm_ops("run", "--json"), "our schema crm_ops is at nothing", "crm-ops migrate")

    def test_an_option_that_there_is_not(self, crm_ops: Call) -> None:
        self.wrong(crm_ops("run", "--everything"), "No such option", "--everything")
        self.wrong(crm_ops("run", "--task"), "--task", "requires an argument")

    def test_bytes_that_are_no_text(self, crm_ops: Call, connected: sa.Engine) -> None:
        self.wrong(crm_ops("run", "--tenant", "\udcff"), "is not UTF-8")


def test_both_connections_of_airflow_lead_to_the_same_servers(
    crm_ops: Call, demo: sa.Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_CRM_POSTGRES",
        demo.url.set(drivername="postgres").render_as_string(hide_password=False),
    )
    monkeypatch.setenv("AIRFLOW_CONN_CRM_REDIS", redis_url)
    ended = crm_ops("run", "--json", "--task", "precompute_facets", "--tenant", "1")
    assert (ended.code, ended.data["jobs"][0]["state"]) == (0, "success")
