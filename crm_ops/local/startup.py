"""Airflow comes up: what takes longest starts first, what nobody waits for last."""

from __future__ import annotations

from collections.abc import Mapping

from crm_ops.base import database, rest, sql, statements
from crm_ops.local import airflow, connections, databases, services
from crm_ops.local.layout import Layout
from crm_ops.local.processes import Program
from crm_ops.local.services import Note, Services

_METADATA = "airflow"
# A machine with other work takes minutes for what takes seconds.
_PATIENCE_S = 300


def airflow_up(
    layout: Layout,
    base: Services,
    client: rest.Airflow,
    *,
    inherited: Mapping[str, str],
    port: int,
    note: Note,
) -> None:
    """Start Airflow on `port` and return when it is up; `client` speaks to that port.

    The metadata are migrated and the settings applied where that was not done before. Raises
    LocalError where a process dies or does not come up.
    """
    processes = base.processes
    databases.ensure(base.postgres, _METADATA)
    programs = _programs(layout, base, inherited=inherited, port=port)
    seen = airflow.fingerprint(layout)
    fresh = databases.noted(base.postgres, _METADATA) != seen
    if fresh:
        note("Airflow", "migrating")
        processes.start(programs["migrate"])
        processes.finish("airflow-migrate", timeout_s=_PATIENCE_S)
    _forget_the_dead(base)
    note("Airflow", "starting")
    for name in ("api-server", "scheduler", "dag-processor"):
        processes.start(programs[name])
    processes.until(client.answers, what="Airflow", timeout_s=_PATIENCE_S, every_s=0.1)
    for name in ("settings", "triggerer") if fresh else ("triggerer",):
        processes.start(programs[name])
    client.warm()
    if fresh:
        processes.finish("airflow-settings", timeout_s=_PATIENCE_S)
        databases.note(base.postgres, _METADATA, seen)
    note("Airflow", "up")


def _forget_the_dead(base: Services) -> None:
    """Tell the metadata that what ran here before does not run any more.

    Else the scheduler takes one that was killed for alive, and its tasks for running, for minutes.
    """
    engine = database.engine(base.postgres.url(_METADATA))
    try:
        with database.transaction(engine) as connection:
            sql.run(connection, statements.load("crm_ops.local")["forget_jobs"])
    finally:
        engine.dispose()


def _programs(
    layout: Layout, base: Services, *, inherited: Mapping[str, str], port: int
) -> dict[str, Program]:
    airflow.write_logins(layout, base.credentials)
    environment = airflow.environment(
        layout,
        base.credentials,
        inherited=inherited,
        database_url=base.postgres.url(_METADATA),
        connections=connections.variables(base.postgres, services.DATABASE, base.redis),
        port=port,
    )
    return airflow.programs(layout, environment)


__all__ = ["airflow_up"]
