"""Redis as the rooms use it: bounded waits, and an error that names the connection, no secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis

from crm_ops.base import errors

Client = redis.Redis


def client(url: str, *, timeout_s: float = 5.0) -> Client:
    """A client for a `redis://`, `rediss://` or `unix://` URL; it connects at its first command."""
    try:
        made = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=min(timeout_s, 2.0),
            health_check_interval=30,
            client_name="crm-ops",
        )
        pool = made.connection_pool
        # An option that there is not shows here, not at the first command.
        pool.connection_class(**pool.connection_kwargs)
        if "path" not in pool.connection_kwargs:
            # The driver takes the database 0 for a path that is no number.
            int(urlsplit(url).path.strip("/") or 0)
    except (ValueError, TypeError):
        # The cause is not kept: it may quote a part of the password.
        raise errors.SettingsError(
            "the Redis URL cannot be read; write redis://:password@host:port/0, with @, / and % in"
            " a password as %40, %2F and %25"
        ) from None
    return made


def address(made: Client) -> str:
    """Where a client leads, without its password: for messages."""
    given = made.connection_pool.connection_kwargs
    if "path" in given:
        return str(given["path"])
    return f"{given.get('host', 'localhost')}:{given.get('port', 6379)}/{given.get('db') or 0}"


@contextmanager
def translated(made: Client) -> Iterator[None]:
    """Turn what the driver raises into `RedisUnavailable`."""
    try:
        yield
    except redis.RedisError as error:
        raise errors.RedisUnavailable(
            f"Redis at {address(made)} (CRM_OPS_REDIS_URL, in Airflow the connection crm_redis)"
            f" cannot be used: {str(error) or type(error).__name__}"
        ) from error


def check(made: Client) -> None:
    """Raise `RedisUnavailable` unless Redis answers."""
    with translated(made):
        made.ping()


__all__ = ["Client", "address", "check", "client", "translated"]
