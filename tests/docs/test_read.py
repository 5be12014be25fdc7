"""The code in docs/read.md runs, on a CRM of the demo's shape."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

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
    assert refused.status_code == 400
    assert "cursor" in refused.json()["detail"]


class _Query(dict[str, list[str]]):
    """The part of Django's QueryDict that the view uses."""

    def getlist(self, name: str) -> list[str]:
        return self.get(name) or []  # type: ignore[return-value]

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name, default)


def test_the_django_view_answers(docs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    django, http = ModuleType("django"), ModuleType("django.http")
    http.HttpRequest = object  # type: ignore[attr-defined]
    http.JsonResponse = lambda data, status=200: (status, json.dumps(data, default=str))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "django", django)
    monkeypatch.setitem(sys.modules, "django.http", http)
    exec(next(code for kind, code in BLOCKS if kind == "django"), docs)

    status, body = docs["leads"](SimpleNamespace(tenant_id=1, GET=_Query(status=["new"])))
    assert (status, json.loads(body)["total"]) == (200, 1)
    assert ["new", None, 1] in json.loads(body)["facets"]["status"]

    status, body = docs["leads"](SimpleNamespace(tenant_id=1, GET=_Query(after="nonsense")))
    assert (status, "cursor" in json.loads(body)["error"]) == (400, True)


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'sqlalchemy', 'redis', 'pydantic'}"
    code = f"import crm_ops, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
    assert done.stdout == b"[]\n"
