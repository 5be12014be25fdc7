"""One incident is one alert, however often and by whomever it is seen, until it is over."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm_ops.alerts.world import Lag
from crm_ops.base import database, sql
from crm_ops.jobs import registry
from tests.alerts.office import FACETS, Office, Post


def test_a_failed_run_is_announced_once_and_then_that_it_is_over(office: Office) -> None:
    post = Post()
    run = office.run("failed", error="PostgreSQL cannot be reached")
    assert office.evaluate(run).opened == ("failed:precompute_facets",)
    assert office.evaluate(run, event="failed", reason="task_failure").opened == ()
    again = office.run("failed", error="PostgreSQL cannot be reached")
    assert office.evaluate(again).opened == ()
    office.deliver(post)
    assert post.titles == ["precompute_facets failed"] * 2

    assert office.evaluate(office.run()).recovered == ("failed:precompute_facets",)
    office.deliver(post)
    assert post.titles[2:] == ["Recovered: precompute_facets failed"] * 2
    assert office.alerts == [("failed:precompute_facets", "recovered")]


def test_the_message_says_what_since_when_what_to_do_and_where(office: Office) -> None:
    post = Post()
    run = office.run("partial", failures={"7": "too many values", "9": "it broke"})
    office.evaluate(run)
    office.deliver(post)
    (_, to, message), _ = post.sent
    assert to == "ann@example.com"
    assert message.title == "precompute_facets: 2 tenants failed"
    for said in (
        "Job: precompute_facets (DAG precompute_search_facets)",
        f"Run: http://airflow/runs/{run}",
        "Since: 2026-05-01 12:00:01 UTC",
        "Tenants: 7 (too many values); 9 (it broke)",
        "What to do: ",
    ):
        assert said in message.text


class TestLate:
    def test_a_run_that_is_not_done_is_announced_until_one_is(self, office: Office) -> None:
        run = office.run(None)
        late = office.evaluate(run, event="late", since=office.now)
        assert late.opened == ("late:precompute_facets",)
        assert office.evaluate(office.run()).recovered == ("late:precompute_facets",)

    def test_a_run_that_never_began_is_late_too(self, office: Office) -> None:
        assert office.evaluate("manual__1", event="late").opened == ("late:precompute_facets",)

    @pytest.mark.parametrize("state", ["success", "partial", "failed"])
    def test_a_run_that_has_ended_is_not(self, office: Office, state: str) -> None:
        run = office.run(state, error="why", failures={"7": "why"} if state == "partial" else {})
        office.evaluate(run, event="late")
        assert not [name for name, _ in office.alerts if name.startswith("late")]


class TestFailed:
    def test_a_run_that_was_killed_is_known_by_the_schedulers_word(self, office: Office) -> None:
        run = office.run(None)
        office.evaluate(run, event="failed", reason="timed_out")
        ((message,),) = office.rows("SELECT message FROM crm_ops.alert")
        assert "did not come to its end: timed_out" in message

    def test_a_dry_run_is_nobodys_alarm_and_nobodys_comfort(self, office: Office) -> None:
        assert office.evaluate(office.run("failed", dry_run=True)).opened == ()
        office.evaluate(office.run("failed"))
        assert office.evaluate(office.run(dry_run=True)).recovered == ()

    def test_one_tenant_done_well_does_not_end_what_concerned_all(self, office: Office) -> None:
        office.evaluate(office.run("failed"))
        assert office.evaluate(office.run(tenants=("7",))).recovered == ()
        assert office.evaluate(office.run(entities=("lead",))).recovered == ()
        assert office.evaluate(office.run()).recovered == ("failed:precompute_facets",)

    def test_another_jobs_failed_try_is_left_to_that_job(self, office: Office) -> None:
        office.run("failed", job="warm_caches")
        assert office.evaluate(office.run()).opened == ()

    def test_when_only_some_tenants_fail_the_job_itself_is_well_again(self, office: Office) -> None:
        office.evaluate(office.run("failed"))
        found = office.evaluate(office.run("partial", failures={"7": "it broke"}))
        assert found.opened == ("tenants:precompute_facets",)
        assert found.recovered == ("failed:precompute_facets",)


FOUND = {
    "differing_figures": 3,
    "differing_figures.lead": 3,
    "differing_figures.deal": 0,
    "repaired_tenants": 1,
}
AGREED = {"differing_figures": 0, "differing_figures.lead": 0, "repaired_tenants": 0}


class TestDrift:
    def test_it_is_announced_by_entity_and_not_as_a_failed_run_too(self, office: Office) -> None:
        run = office.run("failed", job="warm_caches", error="differed", details=FOUND)
        assert office.evaluate(run, job="warm_caches").opened == ("drift:lead",)
        later = office.evaluate(run, job="warm_caches", event="failed", reason="task_failure")
        assert later.opened == ()

    def test_it_is_over_when_a_later_proof_finds_none(self, office: Office) -> None:
        run = office.run("failed", job="warm_caches", error="differed", details=FOUND)
        office.evaluate(run, job="warm_caches")
        unproved = office.run(job="warm_caches", details={"differing_figures": 0})
        assert office.evaluate(unproved, job="warm_caches").recovered == ()
        proved = office.run(job="warm_caches", details=AGREED)
        assert office.evaluate(proved, job="warm_caches").recovered == ("drift:lead",)

    def test_what_else_failed_is_announced_beside_it(self, office: Office) -> None:
        details = {**FOUND, "sharing_triggers_missing": 2}
        run = office.run("failed", job="warm_caches", error="triggers", details=details)
        opened = office.evaluate(run, job="warm_caches").opened
        assert opened == ("drift:lead", "failed:warm_caches")


class TestRepairs:
    def test_a_repair_is_announced_and_over_when_none_is_needed(self, office: Office) -> None:
        run = office.run(details={"repaired_tenants": 2})
        assert office.evaluate(run).opened == ("repairs:precompute_facets",)
        assert office.evaluate(office.run()).recovered == ("repairs:precompute_facets",)


class TestRunway:
    def test_a_short_runway_is_announced_once_whoever_measures_it(self, office: Office) -> None:
        office.runway_days = 12
        run = office.run(
            "failed", job="audit_maintenance", error="only 12", details={"runway_days": 12}
        )
        assert office.evaluate(run, job="audit_maintenance").opened == ("runway:crm.audit_log",)
        assert office.evaluate(office.run()).opened == ()
        office.runway_days = 90
        assert office.evaluate(office.run()).recovered == ("runway:crm.audit_log",)

    def test_what_could_not_be_measured_is_not_over(self, office: Office) -> None:
        office.runway_days = 12
        office.evaluate(office.run())
        office.unmeasured = True
        assert office.evaluate(office.run()).recovered == ()


class TestStale:
    def test_the_age_of_data_counts_not_that_of_runs(self, office: Office) -> None:
        office.lags = {"lead": Lag(None, 0), "deal": Lag(office.now - timedelta(minutes=61), 5)}
        assert office.evaluate(office.run()).opened == ("stale:deal",)
        office.lags["deal"] = Lag(office.now - timedelta(minutes=59), 5)
        assert office.evaluate(office.run()).recovered == ("stale:deal",)

    def test_an_entity_may_ask_for_more(self, office: Office) -> None:
        strict = office.catalog.entities["deal"].model_copy(update={"fresh_within_minutes": 5})
        entities = {**office.catalog.entities, "deal": strict}
        office.catalog = office.catalog.model_copy(update={"entities": entities})
        since = office.now - timedelta(minutes=6)
        office.lags = {"lead": Lag(since, 1), "deal": Lag(since, 1)}
        assert office.evaluate(office.run()).opened == ("stale:deal",)


def test_without_a_channel_an_alert_is_recorded_all_the_same(office: Office) -> None:
    office.channels()
    office.evaluate(office.run("failed"))
    assert office.alerts == [("failed:precompute_facets", "open")]
    assert office.rows("SELECT 1 FROM crm_ops.alert_delivery") == []


def test_many_evaluations_at_once_open_and_close_one_incident(office: Office) -> None:
    def at_once(run: str) -> None:
        threads = [threading.Thread(target=office.evaluate, args=(run,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    at_once(office.run("failed"))
    at_once(office.run())
    assert office.alerts == [("failed:precompute_facets", "recovered")]
    told = office.rows("SELECT phase, count(*) FROM crm_ops.alert_delivery GROUP BY 1 ORDER BY 1")
    assert told == [("opened", 2), ("recovered", 2)]


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(states=st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=8))
def test_whatever_happens_each_incident_has_one_message_and_one_on_recovery(
    office: Office, states: list[tuple[bool, int]]
) -> None:
    """A history of runs that fail or not, each evaluated a few times."""
    with database.transaction(office.engine) as connection:
        sql.run(connection, "TRUNCATE crm_ops.run, crm_ops.alert CASCADE")
    post = Post()
    for failed, evaluations in states:
        run = office.run("failed" if failed else "success")
        for _ in range(evaluations):
            office.evaluate(run)
            office.deliver(post)
    turns = [failed for failed, _ in itertools.groupby(failed for failed, _ in states)]
    if turns and not turns[0]:
        turns = turns[1:]
    expected = ["failed" if failed else "Recovered: failed" for failed in turns]
    mine = [m.title.replace(f"{FACETS} ", "") for kind, _, m in post.sent if kind == "email"]
    assert mine == expected


def test_the_tables_are_read_by_index(office: Office) -> None:
    """A ledger of months is not read through at every evaluation."""
    with database.transaction(office.engine) as connection:
        sql.run(
            connection,
            "INSERT INTO crm_ops.run (job, state, started_by, request, started_at, finished_at)"
            " SELECT (%(jobs)s::text[])[n %% 4 + 1], 'success', 'airflow run ' || n,"
            """ '{"dry_run": false, "entities": [], "tenants": []}', now(), now()"""
            " FROM generate_series(1, 20000) AS n",
            jobs=list(registry.JOBS),
        )
        sql.run(connection, "ANALYZE crm_ops.run")
    run = office.run("failed")
    before = _rows_read(office.engine)
    office.evaluate(run)
    assert _rows_read(office.engine) - before < 200


def _rows_read(engine: sa.Engine) -> int:
    with database.transaction(engine) as connection:
        sql.run(connection, "SELECT pg_stat_force_next_flush()")
    with database.transaction(engine) as connection:
        statement = (
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables"
            " WHERE schemaname = 'crm_ops' AND relname = 'run'"
        )
        return int(sql.run(connection, statement).scalar_one())
