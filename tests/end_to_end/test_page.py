"""The page in Airflow, in a real browser on the running stack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Route, expect

from crm_ops.base import database, sql
from crm_ops.jobs import incidents, ledger, registry
from crm_ops.local import airflow, connections, layout, ports, services, up
from tests.end_to_end import browser as browsers
from tests.end_to_end.browser import Person, facts, lines

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

FACETS = "precompute_facets"
ROUTES = ["", "static/page.js", "static/card.js", "data/overview", "data/tenants"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.started() as running:
        yield running


@pytest.fixture(scope="module")
def ran(stack: up.Stack, inherited: dict[str, str]) -> up.Stack:
    """The stack, changes captured, every job run once."""
    crm_ops(stack, inherited, "catalog", "apply")
    stack.run({name: job.dag_id for name, job in registry.JOBS.items()})
    return stack


@pytest.fixture(scope="module")
def admin(browser: Browser, ran: up.Stack) -> Iterator[Person]:
    with browsers.person(browser, ran, "admin") as somebody:
        yield somebody


@pytest.fixture(autouse=True)
def no_complaints(request: pytest.FixtureRequest) -> Iterator[None]:
    """No script of the page may break, whatever a test does."""
    yield
    if "admin" in request.fixturenames:
        assert request.getfixturevalue("admin").complaints == []


def crm_ops(stack: up.Stack, environment: dict[str, str], *words: str) -> str:
    """What a command prints about the stack."""
    return subprocess.run(
        [sys.executable, "-m", "crm_ops", *words],
        env={**environment, **stack.services.exports()},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def card(frame: FrameLocator, job: str) -> Locator:
    return frame.locator(f"article#{job}")


def test_a_person_logs_in_and_reads_the_figures_of_crm_ops_status(
    admin: Person, ran: up.Stack, inherited: dict[str, str]
) -> None:
    admin.page.goto(admin.url)
    admin.page.get_by_role("link", name="CRM Ops").first.click()
    frame = admin.shown()
    told = json.loads(crm_ops(ran, inherited, "status", "--json"))
    for job, last in told["jobs"].items():
        shown = facts(card(frame, job))
        assert card(frame, job).locator(".head .badge").inner_text() == last["state"]
        assert moment(shown["Last run"]) == moment(last["started_at"])
        assert moment(shown["Last success"]) == moment(last["last_success_at"])
        assert shown["Seen"] == f"{last['rows_seen']:,}"
        assert shown["Written"] == f"{last['figures_written']:,}"
        assert shown["Tenants"] == f"{last['tenants']:,}"
    rows = {(row["Figures"], row["Entity"]): row for row in lines(frame.locator("#freshness"))}
    assert len(rows) == len(told["freshness"]) > 0
    for each in told["freshness"]:
        row = rows[each["kind"], each["entity"]]
        assert moment(row["Exact as of"]) == moment(each["as_of"])
        assert row["Rows"] == f"{each['counted']:,}"
    log = facts(frame.locator("#audit"))
    assert log["Runway"].startswith(f"{told['audit']['runway_days']} day")
    assert log["Partitions"] == str(told["audit"]["partitions"])
    filled = ledger.last_runs(ran.engine)["warm_caches"].details
    assert f"{filled['facets_present']:,} of {filled['facets_wanted']:,}" in (
        frame.locator("#caches").inner_text()
    )
    expect(frame.locator("#verdict")).to_have_text(verdict(ran))
    admin.picture("page-light")


def verdict(stack: up.Stack) -> str:
    """What is to be said where every job is well: on a slow machine a run may have been late."""
    with database.transaction(stack.engine) as connection:
        told = [each for each in incidents.read(connection) if each.recovered_at is None]
    return "1 thing needs attention" if told else "All is well"


def test_the_card_on_airflows_home_says_the_same(admin: Person, ran: up.Stack) -> None:
    admin.page.goto(admin.url)
    health = admin.page.get_by_role("region", name="CRM Ops health")
    wanted = "All is well" if verdict(ran) == "All is well" else "Needs attention"
    expect(health).to_contain_text(wanted)
    expect(health).to_contain_text("4 of 4 well")
    admin.picture("page-home")
    health.get_by_role("link", name="Open CRM Ops").click()
    admin.shown()


def run_by_form(frame: FrameLocator, job: str, button: str, *entities: str) -> None:
    card(frame, job).get_by_role("button", name="Run…").click()
    form = frame.get_by_role("dialog")
    for entity in entities:
        form.get_by_label(entity, exact=True).check()
    form.get_by_role("button", name=button).click()
    expect(form).to_have_count(0)


def test_a_dry_run_with_the_forms_parameters_is_started_watched_and_opened(
    admin: Person, ran: up.Stack
) -> None:
    frame = admin.open()
    card(frame, FACETS).get_by_role("button", name="Run…").click()
    expect(frame.get_by_role("dialog").get_by_label("account", exact=True)).to_be_visible()
    admin.picture("page-run")
    frame.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    run_by_form(frame, FACETS, "Dry run", "lead", "deal")
    expect(frame.locator("#notice")).to_contain_text("has succeeded", timeout=90_000)
    last = ledger.last_runs(ran.engine)[FACETS]
    with database.transaction(ran.engine) as connection:
        asked = sql.run(connection, f"SELECT request FROM crm_ops.run WHERE id = {last.id}")
        assert asked.scalar_one() == {
            "entities": ["lead", "deal"],
            "tenants": [],
            "dry_run": True,
            "mode": "auto",
        }
    expect(card(frame, FACETS).locator("time").first).to_have_attribute(
        "datetime", last.started_at.isoformat().replace("+00:00", "Z")
    )
    card(frame, FACETS).get_by_role("link", name="Open the run").click()
    run_id = last.started_by.removeprefix("airflow ")
    admin.page.wait_for_url(lambda url: "/runs/manual__" in url)
    assert registry.JOBS[FACETS].dag_id in admin.page.url
    assert run_id.partition("T")[0] in admin.page.url


def test_verify_finds_a_wrong_figure_and_the_page_says_whose(admin: Person, ran: up.Stack) -> None:
    wrong = "UPDATE crm_ops.facet_count SET n = n {} 1 WHERE {}"
    one = "entity = 'lead' AND tenant = '2' AND facet = ''"
    with database.transaction(ran.engine) as connection:
        sql.run(connection, wrong.format("+", one))
    frame = admin.open()
    run_by_form(frame, FACETS, "Verify", "lead")
    expect(frame.locator("#notice")).to_contain_text("has failed", timeout=120_000)
    expect(card(frame, FACETS)).to_contain_text("1 tenant failed")
    card(frame, FACETS).locator("summary").click()
    expect(card(frame, FACETS).locator("li")).to_contain_text("2 1 figure(s) differ")
    expect(frame.locator("#attention")).to_contain_text("Facet counts: 1 tenant failed")
    admin.picture("page-failed")
    with database.transaction(ran.engine) as connection:
        sql.run(connection, wrong.format("-", one))
    run_by_form(frame, FACETS, "Run now")
    expect(frame.locator("#notice")).to_contain_text("has succeeded", timeout=120_000)
    expect(frame.locator("#attention")).not_to_contain_text("Facet counts")


def test_a_viewer_sees_everything_and_runs_nothing(browser: Browser, ran: up.Stack) -> None:
    with browsers.person(browser, ran, "viewer") as viewer:
        frame = viewer.open()
        expect(card(frame, FACETS)).to_contain_text("Seen")
        expect(frame.get_by_role("button", name="Run…")).to_have_count(0)
        refused = viewer.page.evaluate(
            """async path => (await fetch(path, {method: "POST", body: '{"logical_date": null}',
                headers: {"Content-Type": "application/json"}})).status""",
            f"{ran.url}/api/v2/dags/{registry.JOBS[FACETS].dag_id}/dagRuns",
        )
        assert refused == 403
        assert viewer.complaints == []


def test_nobody_gets_anything_without_a_login(ran: up.Stack) -> None:
    with httpx.Client(base_url=ran.url, trust_env=False) as nobody:
        for route in ROUTES:
            assert nobody.get(f"/crm-ops/{route}").status_code == 401, route
        for route in ("docs", "redoc", "openapi.json"):
            assert nobody.get(f"/crm-ops/{route}").status_code == 404, route
        path = f"/api/v2/dags/{registry.JOBS[FACETS].dag_id}/dagRuns"
        assert nobody.post(path, json={"logical_date": None}).status_code == 401


def test_it_is_light_and_dark_as_airflow_is(admin: Person) -> None:
    colours = {}
    for theme in ("dark", "light"):
        admin.page.goto(f"{admin.url}/plugin/crm-ops")
        admin.theme(theme)
        frame = admin.shown()
        expect(frame.locator("html")).to_have_attribute("data-theme", theme)
        colours[theme] = frame.locator("body").evaluate(
            "body => [getComputedStyle(body).color, getComputedStyle(body).backgroundColor,"
            " parent.getComputedStyle(parent.document.body).backgroundColor,"
            " parent.getComputedStyle(parent.document.documentElement).backgroundColor]"
        )
        admin.picture(f"page-{theme}")
        frame.get_by_role("link", name="Audit log", exact=True).click()
        admin.picture(f"page-audit-{theme}")
    assert colours["dark"][0] != colours["light"][0]
    for own in colours.values():
        assert own[1] in own[2:], "the ground is Airflow's"


def test_the_database_goes_and_comes_back(admin: Person, ran: up.Stack) -> None:
    frame = admin.open()
    name = services.DATABASE
    server = database.engine(ran.services.postgres.url("postgres"))
    try:
        with database.autocommit(server) as connection:
            sql.run(connection, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            sql.run(
                connection,
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            )
        frame.get_by_role("button", name="Read again").click()
        expect(frame.get_by_role("alert").first).to_contain_text("database does not answer")
        expect(card(frame, FACETS)).to_contain_text("Seen")
        admin.picture("page-database-down")
        fresh = admin.open()
        expect(fresh.get_by_role("alert").first).to_contain_text("database does not answer")
        expect(fresh.locator("#moment")).to_have_text("Nothing could be read yet")
    finally:
        with database.autocommit(server) as connection:
            sql.run(connection, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        server.dispose()
    expect(card(fresh, FACETS)).to_contain_text("Seen")
    expect(fresh.locator("#trouble")).to_be_hidden()


@pytest.fixture
def many(ran: up.Stack) -> Iterator[None]:
    """Ten thousand tenants more."""
    with database.transaction(ran.engine) as connection:
        sql.run(
            connection,
            "INSERT INTO crm_ops.refresh (kind, entity, tenant, version, as_of, counted)"
            " SELECT kind, entity, 'many-' || n, 1, now() - n * interval '1 s', n"
            " FROM unnest(ARRAY['facets', 'aggregates']) AS kind,"
            " unnest(ARRAY['lead', 'deal', 'account', 'contact']) AS entity,"
            " generate_series(1, 10000) AS n",
        )
    yield
    with database.transaction(ran.engine) as connection:
        sql.run(connection, "DELETE FROM crm_ops.refresh WHERE tenant LIKE 'many-%%'")


def test_ten_thousand_tenants_are_searched_sorted_and_paged(admin: Person, many: None) -> None:
    frame = admin.open()
    tenants = frame.locator("#tenants")
    expect(tenants).to_contain_text("1 to 20 of 10,0")
    assert lines(tenants)[0]["Tenant"] == "many-10000"
    tenants.get_by_role("button", name="Next").click()
    expect(tenants).to_contain_text("21 to 40 of 10,0")
    expect(tenants.get_by_role("button", name="Next")).to_be_focused()
    tenants.get_by_role("searchbox").fill("many-777")
    expect(tenants).to_contain_text("1 to 11 of 11 tenants")
    tenants.get_by_role("combobox").select_option("Most rows first")
    expect(tenants.locator("tbody tr").first).to_contain_text("many-7779")
    tenants.locator("summary").first.click()
    expect(tenants.locator("li").first).to_contain_text("account facets: exact")
    admin.picture("page-tenants")
    tenants.get_by_role("searchbox").fill("nobody")
    expect(tenants).to_contain_text("No tenant's key holds “nobody”.")


def test_a_narrow_window_overflows_nowhere(admin: Person) -> None:
    page = admin.page
    try:
        for width in (360, 700):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(f"{admin.url}/crm-ops/")
            page.locator("#main[aria-busy=false]").wait_for()
            over = page.evaluate(
                "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert over <= 0
            admin.picture(f"page-narrow-{width}")
            page.get_by_role("button", name="Run…").first.click()
            page.get_by_role("button", name="Run now").wait_for()
            box = page.get_by_role("dialog").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
    finally:
        page.set_viewport_size({"width": browsers.WIDE[0], "height": browsers.WIDE[1]})


def test_it_is_used_by_keyboard_alone(admin: Person) -> None:
    admin.page.goto(f"{admin.url}/crm-ops/")
    page = admin.page
    page.locator("#main[aria-busy=false]").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(card_of(page, FACETS).get_by_role("link")).to_be_focused()
    page.keyboard.press("Tab")
    opener = card_of(page, FACETS).get_by_role("button", name="Run…")
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    assert page.evaluate("() => document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def card_of(page: Any, job: str) -> Locator:
    found: Locator = page.locator(f"article#{job}")
    return found


def test_a_screen_reader_is_told_everything(admin: Person) -> None:
    frame = admin.open()
    for name in ("Jobs", "Freshness and proof", "Tenants", "Audit log", "Sharing and caches"):
        expect(frame.get_by_role("region", name=name, exact=True)).to_have_count(1)
    expect(frame.get_by_role("heading", level=1)).to_have_text("CRM Ops")
    unnamed = frame.locator("body").evaluate(
        """body => [...body.querySelectorAll(
                "button, a, input, select, svg[role=img], [role=region]")]
            .filter(each => !(each.ariaLabel || each.labels?.length || each.textContent.trim()))
            .map(each => each.outerHTML)"""
    )
    assert unnamed == []
    expect(frame.locator("main")).to_have_attribute("aria-busy", "false")
    assert frame.get_by_role("columnheader").count() > 10


def changed(admin: Person, change: Callable[[Any], None]) -> None:
    """Let the page read another overview than there is."""

    def answer(route: Route) -> None:
        told = route.fetch().json()
        change(told["overview"])
        route.fulfill(json=told)

    admin.context.route("**/data/overview", answer)


def test_before_anything_has_run_it_says_so(admin: Person) -> None:
    def empty(overview: Any) -> None:
        overview["status"]["jobs"] = dict.fromkeys(overview["status"]["jobs"])
        overview["status"]["freshness"] = []
        overview["trend"] = {name: [] for name in overview["trend"]}
        overview["caches"].update(warmed_at=None, filled=[], runs=0, epochs_kept=False)
        overview["timeline"] = overview["incidents"] = []

    changed(admin, empty)
    try:
        frame = admin.open()
        expect(card(frame, FACETS)).to_contain_text("It has not run yet.")
        expect(frame.locator("#freshness")).to_contain_text("Nothing has been counted yet")
        expect(frame.locator("#caches")).to_contain_text("have not been warmed yet")
        expect(frame.locator("#alerts")).to_contain_text("Nobody had to be told of anything.")
        expect(frame.locator("#verdict")).to_have_text("4 things need attention")
        admin.picture("page-empty")
    finally:
        admin.context.unroute("**/data/overview")


def test_while_it_reads_it_says_so(admin: Person) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    admin.context.route("**/data/overview", hold)
    try:
        admin.page.goto(f"{admin.url}/plugin/crm-ops")
        frame = admin.page.frame_locator("iframe")
        expect(frame.locator("main")).to_have_attribute("aria-busy", "true")
        expect(frame.locator("#moment")).to_have_text("Reading…")
        admin.picture("page-loading")
        while not held:
            admin.page.wait_for_timeout(20)
        held[0].continue_()
        expect(card(frame, FACETS)).to_contain_text("Seen")
    finally:
        admin.context.unroute("**/data/overview")


HOSTILE = '<img src=x onerror="parent.hacked=1"><script>hacked=1</script>'


def test_a_hostile_text_is_shown_as_it_is(admin: Person, ran: up.Stack) -> None:
    with database.transaction(ran.engine) as connection:
        sql.run(
            connection,
            "INSERT INTO crm_ops.alert (incident, kind, subject, message, opened_at)"
            " VALUES ('test:1', 'drift', 'lead', %(message)s, now())",
            message=HOSTILE,
        )
    try:
        frame = admin.open()
        expect(frame.locator("#alerts .message").first).to_have_text(HOSTILE)
        expect(frame.locator("#attention")).to_contain_text("open")
        assert frame.locator("main img, main script").count() == 0
        assert admin.page.evaluate("() => window.hacked === undefined")
    finally:
        with database.transaction(ran.engine) as connection:
            sql.run(connection, "DELETE FROM crm_ops.alert WHERE incident = 'test:1'")


@pytest.fixture(scope="module")
def behind(ran: up.Stack, where: layout.Layout, inherited: dict[str, str]) -> Iterator[str]:
    """The address of a second API server of the stack, which is mounted at a base path."""
    with ports.claimed(ports.any_free()) as port:
        url = f"http://{ports.LOOPBACK}:{port}/behind/airflow"
        environment = {
            **airflow.environment(
                where,
                ran.services.credentials,
                inherited=inherited,
                database_url=ran.services.postgres.url("airflow"),
                connections=connections.variables(
                    ran.services.postgres, services.DATABASE, ran.services.redis
                ),
                port=port,
            ),
            "AIRFLOW__API__BASE_URL": url,
        }
        program = airflow.programs(where, environment)["api-server"]
        processes = ran.services.processes
        processes.start(
            replace(program, name="airflow-behind", log=where.logs / "airflow-behind.log")
        )

        def answers() -> bool:
            try:
                return httpx.get(f"{url}/api/v2/version", trust_env=False).is_success
            except httpx.TransportError:
                return False

        processes.until(answers, what="Airflow behind a path", timeout_s=300, every_s=0.2)
        yield url


def test_behind_a_base_path_everything_is_found(
    browser: Browser, ran: up.Stack, behind: str
) -> None:
    with browsers.person(browser, ran, "admin", url=behind) as somebody:
        expect(somebody.page.get_by_role("region", name="CRM Ops health")).to_contain_text(
            "4 of 4 well"
        )
        frame = somebody.open()
        expect(card(frame, FACETS)).to_contain_text("Next run")
        run_by_form(frame, FACETS, "Dry run", "contact")
        expect(frame.locator("#notice")).to_contain_text("has succeeded", timeout=90_000)
        card(frame, FACETS).get_by_role("link", name="Open the run").click()
        somebody.page.wait_for_url(f"{behind}/dags/*/runs/*")
        assert somebody.complaints == []
