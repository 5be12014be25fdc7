"""PostgreSQL and Redis, up on loopback ports for as long as the context lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from crm_ops.base import settings
from crm_ops.local import credentials, databases, interrupts, lock, ports, postgres, redis
from crm_ops.local.layout import Layout
from crm_ops.local.processes import Processes

# Told what happens to what: ("PostgreSQL", "starting").
Note = Callable[[str, str], None]

DATABASE = "crm"


@dataclass(frozen=True)
class Services:
    """The two servers, the stack's secrets, and what else runs beside them."""

    postgres: postgres.Server
    redis: redis.Server
    credentials: credentials.Credentials
    processes: Processes

    @property
    def database_url(self) -> str:
        """The URL of the CRM's database; it holds the password."""
        return self.postgres.url(DATABASE)

    @property
    def redis_url(self) -> str:
        """The URL of Redis; it holds the password."""
        return self.redis.url

    def exports(self) -> dict[str, str]:
        """The environment variables that lead every command here; they hold secrets."""
        return {
            settings.DATABASE_URL: self.database_url,
            settings.REDIS_URL: self.redis_url,
            settings.SIGNING_KEY: self.credentials.signing_key,
        }

    def stay(self) -> None:
        """Wait for a Ctrl-C, SIGTERM or SIGHUP. Raises LocalError when a program dies meanwhile."""
        self.processes.stay()


@contextmanager
def up(
    layout: Layout, *, note: Note, server: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Services]:
    """Start both servers, with an empty database where there is none; stop them at the end.

    `server` are settings of PostgreSQL that are to be others than a small stack's.

    Raises LocalError where another process runs this stack or a server does not come up.
    """
    with (
        lock.held(layout.lock),
        interrupts.as_interrupt(),
        Processes(layout.processes) as processes,
    ):
        secrets = credentials.load(layout.credentials)
        note("PostgreSQL", "starting")
        database = postgres.start(
            processes,
            layout.postgres,
            log=layout.logs / "postgresql.log",
            port=ports.kept(layout.ports, "postgresql"),
            password=secrets.postgres,
            settings=server,
        )
        databases.ensure(database, DATABASE)
        note("PostgreSQL", f"up on port {database.port}")
        note("Redis", "starting")
        store = redis.start(
            processes,
            layout.redis,
            log=layout.logs / "redis.log",
            port=ports.kept(layout.ports, "redis"),
            password=secrets.redis,
        )
        note("Redis", f"up on port {store.port}")
        yield Services(database, store, secrets, processes)


__all__ = ["DATABASE", "Note", "Services", "up"]
