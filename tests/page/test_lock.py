"""The page is locked: login, role, own site, nothing open beside, nothing told that is a secret."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.base.database import transaction
from crm_ops.local import ports
from tests.page.conftest import SITE, Ask

STATIC = Path(__file__).parents[2] / "plugins" / "crm_ops_page_app" / "static"
FILES = sorted(file.name for file in STATIC.iterdir() if file.suffix != ".html")
DATA = ["/data/overview", "/data/tenants"]


def routes() -> list[Any]:
    from crm_ops_page_app import app  # noqa: PLC0415

    return list(app.make().routes)


def test_there_is_a_document_its_files_and_two_questions_and_nothing_else(manager: Any) -> None:
    """FastAPI's own routes (docs, schema) and mounts would escape the login."""
    found = {(route.path, *sorted(route.methods)) for route in routes()}
    assert found == {
        ("/", "GET"),
        ("/static/{name}", "GET"),
        ("/data/overview", "GET"),
        ("/data/tenants", "GET"),
    }


def test_every_route_needs_a_login(ask: Ask) -> None:
    for route in routes():
        for path in {route.path, route.path.replace("{name}", "page.js")}:
            answer = ask(path, None)
            assert answer.status_code == 401, path
            assert "company" not in answer.text


def test_a_token_that_airflow_did_not_give_is_refused(ask: Ask) -> None:
    assert ask("/", None, Cookie="_token=made.up.token").status_code in (401, 403)


def test_nothing_else_is_there(ask: Ask) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/static/", "/data", "/x"):
        assert ask(path).status_code == 404, path


def test_only_its_own_files_are_served(ask: Ask) -> None:
    for name in ("..%2Fapp.py", "%2e%2e/app.py", "page.html", "app.py", "%00"):
        assert ask(f"/static/{name}").status_code == 404, name


def test_who_is_logged_in_gets_the_document_and_its_files(ask: Ask) -> None:
    kinds = {"": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for role in ("admin", "viewer", "none"):
        for path in ("/", *(f"/static/{name}" for name in FILES)):
            answer = ask(path, role)
            assert answer.status_code == 200, path
            assert answer.headers["content-type"].startswith(kinds[Path(path).suffix])


def test_figures_and_tenants_are_for_those_who_may_see_the_dags(ask: Ask) -> None:
    for path in DATA:
        assert ask(path, "viewer").status_code == 200
        assert ask(path, "none").status_code == 403


def test_it_says_who_may_run_what(ask: Ask) -> None:
    def may(role: str) -> set[bool]:
        return {job["may_run"] for job in ask("/data/overview", role).json()["jobs"].values()}

    assert (may("viewer"), may("user"), may("admin")) == ({False}, {True}, {True})


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_what_another_site_asks_is_refused(ask: Ask, headers: dict[str, str]) -> None:
    for path in ("/", "/static/page.js", *DATA):
        assert ask(path, **headers).status_code == 403


def test_what_its_own_site_asks_is_answered(ask: Ask) -> None:
    for headers in (
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": SITE},
    ):
        assert ask("/data/tenants", **headers).status_code == 200


def test_nothing_can_be_written(ask: Ask) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("/", *DATA):
            assert ask(path, method=method).status_code == 405


def test_every_answer_carries_the_headers(ask: Ask) -> None:
    asked = [("/", "admin"), ("/data/overview", "admin"), ("/", None), ("/docs", "admin")]
    for path, role in asked:
        headers = ask(path, role).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_the_document_holds_no_script_or_style_of_its_own_and_nothing_from_elsewhere() -> None:
    document = (STATIC / "page.html").read_text()
    assert "<style" not in document
    assert "style=" not in document
    assert document.count("<script") == 1
    assert '<script type="module" src="static/page.js"></script>' in document
    for file in STATIC.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, file.name
        assert "https://" not in text, file.name
        assert "innerHTML" not in text, file.name


def test_a_database_that_is_away_is_told_in_plain_words(
    ask: Ask, connect: Callable[..., None]
) -> None:
    connect(port=ports.any_free(), password="s3cret-word")
    for path in DATA:
        answer = ask(path)
        assert (answer.status_code, answer.json()["error"]) == (503, "database_down")
        assert answer.json()["message"].startswith("The CRM's database does not answer.")
        assert "content-security-policy" in answer.headers
        for secret in ("s3cret", "127.0.0.1", "Traceback", "psycopg", "SELECT"):
            assert secret not in answer.text


def test_no_statement_and_no_stack_is_told(ask: Ask, demo: sa.Engine) -> None:
    with transaction(demo) as connection:
        sql.run(connection, "ALTER TABLE crm_ops.refresh RENAME COLUMN proved_at TO elsewhere")
    for path in DATA:
        answer = ask(path)
        assert (answer.status_code, answer.json()["error"]) == (500, "database_refused")
        for secret in ("proved_at", "SELECT", "Traceback", "File "):
            assert secret not in answer.text


def test_a_defect_of_ours_is_not_told_either(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from crm_ops.jobs import overview  # noqa: PLC0415

    def broken(_sight: object) -> None:
        raise RuntimeError("postgresql://ann:s3cret@db")

    monkeypatch.setattr(overview, "read", broken)
    answer = ask("/data/overview")
    assert (answer.status_code, answer.json()["error"]) == (500, "unknown")
    assert "s3cret" not in answer.text


def test_a_wrong_question_is_refused_in_words(ask: Ask) -> None:
    for asked in ("sort=as_of;DROP", "limit=0", "limit=9999", "offset=-1"):
        answer = ask(f"/data/tenants?{asked}")
        assert (answer.status_code, answer.json()["error"]) == (400, "wrong_parameter")


@pytest.mark.parametrize("gone", ["airflow.api_fastapi.core_api.security", "fastapi"])
def test_without_what_protects_it_everything_is_denied(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("crm_ops_page_app.")]:
        if name != "crm_ops_page_app.door":
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.delattr(f"crm_ops_page_app.{name.rpartition('.')[2]}", raising=False)
    monkeypatch.setitem(sys.modules, gone, None)
    for path in ("/", "/static/page.js", *DATA, "/docs"):
        answer = ask(path, "admin")
        assert (answer.status_code, answer.json()["error"]) == (403, "shut")
