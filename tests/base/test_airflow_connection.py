"""One variable leads the command line to the same servers as Airflow itself."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
import redis as driver
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.base import airflow_connection, errors

secrets = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def postgresql(text: str) -> sa.URL:
    return sa.make_url(airflow_connection.postgresql("AIRFLOW_CONN_CRM_POSTGRES", text))


def redis(text: str) -> dict[str, object]:
    """What the driver makes of the URL."""
    url = airflow_connection.redis("AIRFLOW_CONN_CRM_REDIS", text)
    pool = driver.ConnectionPool.from_url(url)
    kept = ("host", "port", "username", "password", "db")
    given = {name: pool.connection_kwargs[name] for name in kept if name in pool.connection_kwargs}
    return given | {"encrypted": pool.connection_class is driver.SSLConnection}


class TestPostgresql:
    def test_a_uri(self) -> None:
        assert postgresql("postgres://ann:p%40ss@db.example:5433/crm") == sa.make_url(
            "postgresql://ann:p%40ss@db.example:5433/crm"
        )

    def test_json(self) -> None:
        text = """{"conn_type": "postgres", "host": "db.example", "port": 5433, "schema": "crm",
            "login": "ann", "password": "p@ss", "description": "the CRM"}"""
        assert postgresql(text) == sa.make_url("postgresql://ann:p%40ss@db.example:5433/crm")

    @given(login=secrets, password=secrets, database=secrets)
    def test_any_login_password_and_database_arrive_whole_by_either_way(
        self, login: str, password: str, database: str
    ) -> None:
        parts = {"login": login, "password": password, "schema": database}
        by_json = postgresql(json.dumps({"conn_type": "postgres", "host": "h", **parts}))
        a, b, c = (quote(part, safe="") for part in parts.values())
        by_uri = postgresql(f"postgres://{a}:{b}@h/{c}")
        for url in (by_json, by_uri):
            assert (url.username, url.password, url.database) == (login, password, database)

    @pytest.mark.parametrize(
        "text",
        [
            '{"host": "h", "extra": {"sslmode": "verify-full", "iam": false}}',
            '{"host": "h", "extra": "{\\"sslmode\\": \\"verify-full\\", \\"iam\\": false}"}',
            "postgres://h/?sslmode=verify-full&iam=false",
            "postgres://h/?__extra__=" + quote('{"sslmode": "verify-full", "iam": false}'),
        ],
        ids=["JSON", "JSON in JSON", "URI", "Airflow's own URI"],
    )
    def test_encryption_that_is_asked_for_is_not_lost(self, text: str) -> None:
        assert postgresql(text).query == {"sslmode": "verify-full"}

    @pytest.mark.parametrize(
        "text",
        [
            '{"host": "/var/Run/pg", "port": 5433, "login": "ann", "schema": "crm"}',
            "postgres://ann@%2Fvar%2FRun%2Fpg:5433/crm",
            "postgres://ann@/crm?host=/var/Run/pg&port=5433",
        ],
        ids=["JSON", "URI", "libpq's URI"],
    )
    def test_a_socket_s_folder_as_the_host(self, text: str) -> None:
        url = postgresql(text)
        arguments = sa.create_engine(url.set(drivername="postgresql+psycopg")).dialect
        _, given = arguments.create_connect_args(url)
        found = {name: given[name] for name in ("host", "port", "user", "dbname")}
        assert found == {"host": "/var/Run/pg", "port": "5433", "user": "ann", "dbname": "crm"}

    def test_an_address_of_ipv6(self) -> None:
        for text in ('{"host": "::1", "port": "5433"}', "postgres://[::1]:5433/"):
            assert (postgresql(text).host, postgresql(text).port) == ("::1", 5433)

    def test_without_a_host_it_is_this_machine(self) -> None:
        assert postgresql('{"conn_type": "postgres"}').host == "localhost"


class TestRedis:
    def test_a_uri_and_json(self) -> None:
        wanted = {"host": "r", "port": 6380, "password": "p@:/", "db": 2, "encrypted": False}
        given = {"host": "r", "port": 6380, "password": "p@:/", "extra": {"db": 2}}
        assert redis("redis://:p%40%3A%2F@r:6380/2") == wanted
        assert redis("redis://:p%40%3A%2F@r:6380/?db=2") == wanted
        assert redis(json.dumps({"conn_type": "redis", **given})) == wanted

    @given(login=secrets, password=secrets)
    def test_any_login_and_password_arrive_whole(self, login: str, password: str) -> None:
        found = redis(json.dumps({"host": "r", "login": login, "password": password}))
        assert (found["username"], found["password"]) == (login, password)

    def test_encryption_that_is_asked_for_is_not_lost(self) -> None:
        text = '{"host": "r", "extra": {"ssl": true, "ssl_cert_reqs": "none"}}'
        assert redis(text)["encrypted"] is True
        assert redis("rediss://r:6380/0")["encrypted"] is True

    def test_encryption_as_a_text_is_refused_for_false_would_be_true(self) -> None:
        with pytest.raises(errors.SettingsError, match="write the connection as JSON"):
            redis("redis://r/?ssl=false")

    def test_a_database_that_is_no_number_is_refused(self) -> None:
        with pytest.raises(errors.SettingsError, match="no number; write the extra `db`"):
            redis('{"host": "r", "extra": {"db": "crm"}}')


@pytest.mark.parametrize(
    "text",
    [
        "s3cret",
        "{s3cret",
        '{"password": "s3cret", "port": "s3cret"}',
        '{"host": ["s3cret"]}',
        '{"host": "h", "extra": "s3cret"}',
        '{"host": "h", "extra": ["s3cret"]}',
        "postgres://ann:x@h:s3cret/",
        "postgres://h/?__extra__=s3cret",
    ],
)
def test_what_cannot_be_read_is_refused_without_being_shown(text: str) -> None:
    for read in (airflow_connection.postgresql, airflow_connection.redis):
        with pytest.raises(errors.SettingsError, match="THE_VARIABLE cannot be read") as caught:
            read("THE_VARIABLE", text)
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_connection_of_another_kind_is_refused() -> None:
    with pytest.raises(errors.SettingsError, match="'mysql'; 'postgres' is needed"):
        airflow_connection.postgresql("X", '{"conn_type": "mysql", "host": "h"}')
    with pytest.raises(errors.SettingsError, match="'postgres'; 'redis' is needed"):
        airflow_connection.redis("X", "postgres://h/crm")
