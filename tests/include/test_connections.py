"""PostgreSQL and Redis as Airflow's connections name them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_ops.base import database, errors, sql, store
from crm_ops.local import ports
from include import connections

Connect = Callable[[str, dict[str, object]], None]
LIMITS = database.Limits(lock_timeout_ms=1_500, statement_timeout_ms=7_000)


def show(setting: str) -> str:
    engine = connections.engine(LIMITS)
    try:
        with database.transaction(engine) as connection:
            return str(sql.run(connection, f"SHOW {sql.identifier(setting)}").scalar_one())
    finally:
        engine.dispose()


def test_postgres_is_reached_with_bounded_waits(connected: None) -> None:
    assert show("lock_timeout") == "1500ms"
    assert show("statement_timeout") == "7s"
    assert show("TimeZone") == "UTC"
    assert show("application_name") == "crm-ops"


def test_the_extras_of_the_postgres_connection_count(
    connect: Connect, postgres_connection: dict[str, object]
) -> None:
    extras = {"application_name": "crm of the north", "options": "-c geqo=off"}
    connect("crm_postgres", {**postgres_connection, "extra": extras})
    assert show("application_name") == "crm of the north"
    assert show("geqo") == "off"


def test_a_list_is_bound_as_an_array(connected: None) -> None:
    """Airflow's hook teaches its connections to write JSON; lists have to stay arrays."""
    engine = connections.engine(LIMITS)
    with database.transaction(engine) as connection:
        found = sql.run(connection, "SELECT 'b' = ANY (%(names)s)", names=["a", "b"]).scalar_one()
    engine.dispose()
    assert found is True


def test_a_postgres_that_is_away_is_named_without_its_password(
    connect: Connect, postgres_connection: dict[str, object]
) -> None:
    away = {**postgres_connection, "port": ports.any_free(), "password": "its-secret"}
    connect("crm_postgres", away)
    with pytest.raises(errors.DatabaseUnavailable, match="crm_postgres") as caught:
        show("TimeZone")
    assert "its-secret" not in str(caught.value)


def test_another_driver_is_refused(
    connect: Connect, postgres_connection: dict[str, object]
) -> None:
    extras = {"sqlalchemy_scheme": "postgresql+psycopg2"}
    connect("crm_postgres", {**postgres_connection, "extra": extras})
    with pytest.raises(errors.SettingsError, match="psycopg 3 is needed"):
        connections.engine(LIMITS)


def test_redis_is_reached_in_its_database(
    connect: Connect, redis_connection: dict[str, object], store: store.Client
) -> None:
    connect("crm_redis", {**redis_connection, "extra": {"db": 3}})
    with connections.redis() as client:
        client.set("seen", "in 3")
    assert store.get("seen") is None
    store.select(3)
    assert store.get("seen") == b"in 3"


def test_a_redis_that_is_away_is_named_without_its_password(
    connect: Connect, redis_connection: dict[str, object]
) -> None:
    away = {**redis_connection, "port": ports.any_free(), "password": "its-secret"}
    connect("crm_redis", away)
    with (
        connections.redis() as client,
        pytest.raises(errors.RedisUnavailable, match="crm_redis") as caught,
    ):
        store.check(client)
    assert "its-secret" not in str(caught.value)


def test_waiting_for_redis_is_bounded(
    connect: Connect, redis_connection: dict[str, object]
) -> None:
    connect("crm_redis", redis_connection)
    with connections.redis() as client:
        given = client.connection_pool.connection_kwargs
    assert 0 < given["socket_timeout"] <= 5
    assert 0 < given["socket_connect_timeout"] <= 5


def test_tls_settings_of_redis_are_kept(
    connect: Connect, redis_connection: dict[str, object]
) -> None:
    extras = {"ssl": True, "ssl_cert_reqs": "none", "ssl_ca_certs": "/etc/ca.pem"}
    connect("crm_redis", {**redis_connection, "extra": extras})
    with connections.redis() as client:
        pool = client.connection_pool
    assert pool.connection_class.__name__ == "SSLConnection"
    assert pool.connection_kwargs["ssl_cert_reqs"] == "none"
    assert pool.connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"


@pytest.mark.parametrize(
    ("extras", "message"),
    [({"ssl": "false"}, "not true or false"), ({"cluster": True}, "Redis cluster")],
    ids=["ssl as text", "cluster"],
)
def test_a_redis_connection_that_would_mislead_is_refused(
    connect: Connect,
    redis_connection: dict[str, object],
    extras: dict[str, object],
    message: str,
) -> None:
    connect("crm_redis", {**redis_connection, "extra": extras})
    with pytest.raises(errors.SettingsError, match=message):
        connections.redis()


@pytest.mark.parametrize(
    ("opened", "name"),
    [(lambda: connections.engine(LIMITS), "crm_postgres"), (connections.redis, "crm_redis")],
    ids=["crm_postgres", "crm_redis"],
)
@pytest.mark.parametrize("given", [None, "{no JSON: its-secret"], ids=["none", "unreadable"])
def test_a_missing_connection_is_named_with_the_remedy(
    metadata: None,
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[[], object],
    name: str,
    given: str | None,
) -> None:
    variable = f"AIRFLOW_CONN_{name.upper()}"
    monkeypatch.delenv(variable, raising=False)
    if given:
        monkeypatch.setenv(variable, given)
    with pytest.raises(errors.SettingsError, match=f"no connection {name}") as caught:
        opened()
    assert variable in str(caught.value)
    assert "crm-ops settings apply" in str(caught.value)
    assert "its-secret" not in str(caught.value)
