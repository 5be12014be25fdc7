"""The page's backend in this process: Airflow's own login and roles, a demo CRM, no browser."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from tests.dags.airflow_home import metadata

Ask = Callable[..., httpx.Response]

SITE = "http://airflow.test"

__all__ = ["metadata"]


@pytest.fixture(scope="session")
def manager(metadata: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's simple auth manager with its own users and roles."""
    with warnings.catch_warnings():
        # Airflow imports Starlette's test client, which has a wish of its own.
        warnings.simplefilter("ignore")
        from airflow.api_fastapi import app as airflow  # noqa: PLC0415
        from airflow.api_fastapi.core_api import security  # noqa: F401, PLC0415

    passwords = tmp_path_factory.mktemp("logins") / "logins.json"
    passwords.write_text(json.dumps({"admin": "a", "viewer": "v"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "for-tests-only" * 8)
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin,viewer:viewer")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        yield airflow.init_auth_manager()


@pytest.fixture
def connect(demo: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives Airflow its connection to the demo CRM, with what a test changes of it."""

    def give(**changed: object) -> None:
        url = demo.url
        fields = {
            "conn_type": "postgres",
            "host": url.host,
            "port": url.port,
            "login": url.username,
            "password": url.password,
            "schema": url.database,
        }
        monkeypatch.setenv("AIRFLOW_CONN_CRM_POSTGRES", json.dumps({**fields, **changed}))

    give()
    return give


@pytest.fixture
def door(manager: Any) -> Iterator[Any]:
    """The page as the plugin registers it, not opened yet."""
    from crm_ops_page_app.door import Door  # noqa: PLC0415

    made = Door()
    yield made
    if isinstance(made._app, FastAPI):
        made._app.state.eyes.close()


@pytest.fixture
def ask(door: Any, manager: Any, connect: Callable[..., None]) -> Ask:
    """Asks the page as a user of a role, or as nobody."""
    from airflow.api_fastapi.auth.managers.simple.user import (  # noqa: PLC0415
        SimpleAuthManagerUser,
    )

    def send(
        path: str, role: str | None = "admin", *, method: str = "GET", **headers: str
    ) -> httpx.Response:
        if role is not None:
            user = SimpleAuthManagerUser(username=role, role=None if role == "none" else role)
            headers["Cookie"] = f"_token={manager.generate_jwt(user)}"

        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(app=door)
            async with httpx.AsyncClient(transport=transport, base_url=SITE) as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(answer())

    return send
