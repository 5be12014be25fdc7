"""The code in docs/read.md runs, on a CRM of the demo's shape."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import django
import httpx
import pytest
import sqlalchemy as sa
from django import conf
from django.test import Client, override_settings
from django.urls import path
from fastapi import FastAPI

import crm_ops
from crm_ops.base import database, sql, statements

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "read.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS: list[tuple[str, str]] = BLOCK.findall(TEXT)


@pytest.fixture
def docs(
    migrated: sa.Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """The names that the page's code has after its first block."""
    monkeypatch.chdir(ROOT)
    tables = statements.load("crm_ops.demo", "sql/tables.sql")
    with database.transaction(migrated) as connection:
        sql.run(connection, "CREATE SCHEMA crm")
        for name in ("company", "app_user", "lead", "deal"):
            sql.run(connection, tables[name])
        sql.run(connection, "INSERT INTO crm.company (id, name) VALUES (1, 'One'), (2, 'Two')")
        for id_, company, name, status in (
            (1, 1, "Acme works", "new"),
            (2, 1, "Bolt", "working"),
            (3, 2, "Acme of another", "new"),
        ):
            sql.run(
                connection,
                "INSERT INTO crm.lead (id, company_id, name, status, score)"
                " VALUES (%(id)s, %(company)s, %(name)s, %(status)s, 70)",
                id=id_,
                company=company,
                name=name,
                status=status,
            )
        sql.run(
            connection,
            "INSERT INTO crm.deal (company_id, name, amount, currency, close_date)"
            " VALUES (1, 'one', 12.50, 'EUR', '2025-02-03'), (1, 'two', 7, 'EUR', '2025-03-31')",
        )
    held: dict[str, Any] = {
        "__name__": "views",
        "database_url": migrated.url.render_as_string(hide_password=False),
        "redis_url": redis_url,
        "signing_key": b"k" * 32,
        "session_tenant": lambda: "1",
    }
    exec(BLOCKS[0][1], held)
    yield held
    held["reader"]._engine.dispose()
    held["reader"]._published._client.close()


def test_the_searches_and_reports_run(docs: dict[str, Any]) -> None:
    for kind, code in BLOCKS[1:]:
        if not kind:
            exec(code, docs)
    assert [row["name"] for row in docs["answer"].rows] == ["Acme works"]
    assert docs["answer"].as_of < datetime.now(UTC)
    assert [str(g.figures["revenue"]) for g in docs["report"].groups] == ["19.50"]
    assert docs["group"].dimensions == {"close_month:quarter": "2025-Q1", "currency": "EUR"}


def test_the_fastapi_route_answers(docs: dict[str, Any]) -> None:
    exec(next(code for kind, code in BLOCKS if kind == "fastapi"), docs)
    app = FastAPI()
    app.include_router(docs["router"])

    async def ask(**params: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://crm") as client:
            return await client.get("/leads", params=params)

    found = asyncio.run(ask(status="new")).json()
    refused = asyncio.run(ask(after="nonsense"))
    assert (found["total"], [row["name"] for row in found["rows"]]) == (1, ["Acme works"])
    assert found["rows"][0]["score"] == "70.00"
    assert {"facets", "as_of", "source", "next"} < set(found)
    assert "steps" not in found
    assert refused.status_code == 400
    assert "cursor" in refused.json()["detail"]


class _Session:
    """The middleware of a CRM: whose session it is."""

    def __init__(self, respond: Callable[[Any], Any]) -> None:
        self._respond = respond

    def __call__(self, request: Any) -> Any:
        request.tenant_id = 1
        return self._respond(request)


@pytest.fixture
def django_client(docs: dict[str, Any]) -> Iterator[Client]:
    """A Django of the page's view and nothing else, called as a browser would."""
    exec(next(code for kind, code in BLOCKS if kind == "django"), docs)
    urls = ModuleType("urls")
    urls.urlpatterns = [path("leads", docs["leads"])]  # type: ignore[attr-defined]
    if not conf.settings.configured:
        conf.settings.configure(
            ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[f"{__name__}._Session"], USE_TZ=True
        )
        django.setup()
    with override_settings(ROOT_URLCONF=urls):
        yield Client()


def test_the_django_view_answers(django_client: Client) -> None:
    found = django_client.get("/leads", {"status": ["new", "working"]})
    refused = django_client.get("/leads", {"after": "nonsense"})

    assert found.status_code == 200
    assert found["Content-Type"] == "application/json"
    assert (found.json()["total"], found.json()["next"]) == (2, None)
    assert {row["name"]: row["score"] for row in found.json()["rows"]} == {
        "Acme works": "70.00",
        "Bolt": "70.00",
    }
    assert ["new", None, 1] in found.json()["facets"]["status"]
    assert datetime.fromisoformat(found.json()["as_of"]).tzinfo is not None
    assert (refused.status_code, "cursor" in refused.json()["error"]) == (400, True)


@pytest.mark.parametrize("page", ["the package", "all of its names"])
def test_importing_is_light(page: str) -> None:
    """The package alone loads nothing installed; its names nothing that only jobs or tools need."""
    names = "" if page == "the package" else "; from crm_ops import *"
    code = (
        f"import sys; before = set(sys.modules); import crm_ops{names};"
        " print(' '.join({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT, text=True
    )
    loaded = set(done.stdout.split()) - sys.stdlib_module_names - {"crm_ops"}
    if not names:
        assert loaded == set()
    heavy = {"airflow", "typer", "rich", "pyarrow", "adbc_driver_postgresql", "duckdb", "pandas"}
    assert not loaded & (heavy | {"include", "plugins"})


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert resources.files(crm_ops).joinpath("py.typed").is_file()
    assert set(crm_ops.__all__) <= set(dir(crm_ops)) | set(crm_ops._HOMES)
    assert all(getattr(crm_ops, name) is not None for name in crm_ops.__all__)
