from __future__ import annotations

from pathlib import Path

from crm_ops.base import settings
from crm_ops.local import connections, postgres, redis


def test_they_lead_to_the_same_servers_as_the_urls() -> None:
    database, store = postgres.Server(5433, Path(), "p&ss"), redis.Server(6380, "p&ss")
    read = settings.read(connections.variables(database, "crm", store))
    assert read.database_url == database.url("crm").replace("p&ss", "p%26ss")
    assert read.redis_url == store.url.replace("p&ss", "p%26ss")
