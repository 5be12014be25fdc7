"""The stack's PostgreSQL and Redis as Airflow connections: environment variables in JSON."""

from __future__ import annotations

import json

from crm_ops.base import settings
from crm_ops.local import cluster, ports, postgres, redis


def variables(database: postgres.Server, name: str, store: redis.Server) -> dict[str, str]:
    """`AIRFLOW_CONN_*` for the database `name` and the Redis; the values hold passwords."""
    return {
        settings.AIRFLOW_POSTGRES: json.dumps(
            {
                "conn_type": "postgres",
                "host": ports.LOOPBACK,
                "port": database.port,
                "login": cluster.USER,
                "password": database.password,
                "schema": name,
            }
        ),
        settings.AIRFLOW_REDIS: json.dumps(
            {
                "conn_type": "redis",
                "host": ports.LOOPBACK,
                "port": store.port,
                "password": store.password,
                "extra": {"db": 0},
            }
        ),
    }


__all__ = ["variables"]
