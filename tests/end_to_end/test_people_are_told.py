"""Late, failed, drifted, short of partitions: what a real scheduler and triggerer make of it.

The mail server and the web server are real; each incident reaches both once, and its end once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from crm_ops.base import database, sql
from crm_ops.base.rest import Run
from crm_ops.catalog import load
from crm_ops.changes import install
from crm_ops.jobs import registry
from crm_ops.local import up
from tests import sinks
from tests.end_to_end.conftest import ROOT, WEBHOOK_KEY, client

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

DAGS = {name: job.dag_id for name, job in registry.JOBS.items()}
CATALOG = load.load(ROOT / "include" / "crm_ops.yaml").catalog


def execute(stack: up.Stack, *statements: str) -> list[tuple[Any, ...]]:
    """What the last of some statements answers."""
    with database.transaction(stack.engine) as connection:
        done = [sql.run(connection, statement) for statement in statements]
        return [tuple(row) for row in done[-1]] if done[-1].returns_rows else []


def until(what: str, ready: Callable[[], object]) -> None:
    by = time.monotonic() + 180
    while not ready():
        assert time.monotonic() < by, f"{what} did not come about"
        time.sleep(0.3)


def ended(stack: up.Stack, job: str, **conf: Any) -> Run:
    """A run of a job, when it has ended."""
    run = stack.airflow.trigger(DAGS[job], f"test__{time.time_ns()}", conf)
    until(f"the end of {job}", lambda: stack.airflow.run(run).ended)
    return stack.airflow.run(run)


def pause(stack: up.Stack, job: str, *, paused: bool) -> None:
    with client(stack) as airflow:
        answer: httpx.Response = airflow.patch(f"/dags/{DAGS[job]}", json={"is_paused": paused})
        assert answer.is_success, answer.text


def open_now(stack: up.Stack) -> set[str]:
    found = execute(stack, "SELECT incident FROM crm_ops.alert WHERE state = 'open'")
    return {incident for (incident,) in found}


@pytest.fixture(scope="module")
def quiet(stack: up.Stack) -> up.Stack:
    """The stack when all jobs have run, changes are captured, and nothing is wrong."""
    stack.run({name: dag_id for name, dag_id in DAGS.items() if name != "warm_caches"})
    pause(stack, "warm_caches", paused=False)
    with database.transaction(stack.engine) as connection:
        steps = install.plan(connection, CATALOG)
    install.apply(stack.engine, steps)
    for job in ("precompute_facets", "precompute_aggregates", "warm_caches", "audit_maintenance"):
        assert ended(stack, job).state == "success", job
    until("the end of what was wrong before", lambda: not open_now(stack))
    return stack


@pytest.fixture(scope="module")
def told(quiet: up.Stack, mail: sinks.Mail, web: sinks.Web) -> Counter[str]:
    """How often each subject was mailed since everything was well, after all of it happened."""
    stack = quiet
    until("the last of the messages", lambda: not waiting(stack))
    mail.taken.clear()
    web.got.clear()

    # A run that nobody lets begin is late after a minute.
    pause(stack, "audit_maintenance", paused=True)
    late = stack.airflow.trigger(DAGS["audit_maintenance"], f"late__{time.time_ns()}", {})
    # A run that dies before the ledger knows of it, twice.
    assert ended(stack, "precompute_facets", dryrun=True).state == "failed"
    assert ended(stack, "precompute_facets", dryrun=True).state == "failed"
    until("a word of the failed run", lambda: "failed:precompute_facets" in open_now(stack))
    # A row that is changed past the triggers, of the tenant whose proof is due.
    ((due,),) = execute(stack, DUE)
    execute(
        stack,
        "SET LOCAL session_replication_role = replica",
        f"UPDATE crm.lead SET status = 'changed past us' WHERE company_id = '{due}'",
    )
    assert ended(stack, "warm_caches").state == "failed"
    # The partitions ahead go; whichever job runs next notices.
    for (partition,) in execute(stack, AHEAD):
        execute(stack, f"DROP TABLE {partition}")
    assert ended(stack, "precompute_facets").state == "success"
    until("the late run's alert", lambda: "late:audit_maintenance" in open_now(stack))
    assert open_now(stack) == {
        "late:audit_maintenance",
        "drift:lead",
        "runway:crm.audit_log",
    }
    # All is well again.
    assert ended(stack, "warm_caches").state == "success"
    pause(stack, "audit_maintenance", paused=False)
    until("the late run's end", lambda: stack.airflow.run(late).ended)
    until("the end of all incidents", lambda: not open_now(stack))
    until("the last of the messages", lambda: not waiting(stack))
    return Counter(subject.removeprefix("[CRM Ops] ") for subject in mail.subjects)


DUE = """
SELECT tenant FROM crm_ops.refresh WHERE entity = 'lead' AND captured
GROUP BY tenant ORDER BY min(coalesce(proved_at, '-infinity')), tenant LIMIT 1
"""
AHEAD = """
SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'crm.audit_log'::regclass
  AND pg_get_expr(relpartbound, pg_class.oid) > 'FOR VALUES FROM ('''
      || to_char(now() + interval '1 month', 'YYYY-MM')
"""


def waiting(stack: up.Stack) -> list[tuple[Any, ...]]:
    return execute(stack, "SELECT 1 FROM crm_ops.alert_delivery WHERE state = 'pending'")


@pytest.mark.parametrize(
    "beginning",
    [
        "audit_maintenance is late",
        "precompute_facets failed",
        "lead: ",
        "crm.audit_log: partitions reach only ",
    ],
)
def test_each_incident_is_mailed_once_and_then_that_it_is_over(
    told: Counter[str], beginning: str
) -> None:
    mine = {subject: n for subject, n in told.items() if beginning in subject}
    opened = [n for subject, n in mine.items() if subject.startswith(beginning)]
    over = [n for subject, n in mine.items() if subject.startswith(f"Recovered: {beginning}")]
    assert (opened, over) == ([1], [1]), mine


def test_nothing_else_is_mailed(told: Counter[str]) -> None:
    assert told.total() == 8, told


def test_the_webhook_gets_the_same_each_signed_and_once(told: Counter[str], web: sinks.Web) -> None:
    posted: Counter[str] = Counter()
    for request in web.got:
        signed = request.headers["X-CRM-Ops-Timestamp"].encode() + b"." + request.body
        expected = hmac.new(WEBHOOK_KEY.encode(), signed, hashlib.sha256).hexdigest()
        assert request.headers["X-CRM-Ops-Signature"] == f"sha256={expected}"
        posted[json.loads(request.body)["title"]] += 1
    assert posted == told
    assert len({request.headers["Idempotency-Key"] for request in web.got}) == len(web.got)


def test_a_message_leads_to_the_run(told: Counter[str], web: sinks.Web, stack: up.Stack) -> None:
    late = [
        body["text"]
        for body in (json.loads(request.body) for request in web.got)
        if body["incident"] == "late:audit_maintenance" and body["phase"] == "opened"
    ]
    assert f"Run: {stack.url}/dags/audit_log_maintenance/runs/late__" in late[0]


def test_who_was_told_is_recorded(told: Counter[str], stack: up.Stack) -> None:
    recorded = execute(
        stack,
        "SELECT channel, recipient, phase, bool_and(state = 'delivered') FROM ("
        "  SELECT * FROM crm_ops.alert_delivery ORDER BY id DESC LIMIT 16) AS last"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    )
    assert recorded == [
        ("email:smtp_default", "ann@example.com", "opened", True),
        ("email:smtp_default", "ann@example.com", "recovered", True),
        ("webhook:crm_ops_webhook", "crm_ops_webhook", "opened", True),
        ("webhook:crm_ops_webhook", "crm_ops_webhook", "recovered", True),
    ]
