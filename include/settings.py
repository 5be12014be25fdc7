"""Applies `airflow_settings.yaml` to the Airflow of this environment; twice changes nothing.

    python -m include.settings apply [FILE]

What the file says wins; what it does not say (an empty field, another extra, a password) is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from airflow.models.connection import Connection
from airflow.models.pool import Pool
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy.orm import Session

from crm_ops.base import errors
from include import settings_file
from include.settings_file import Settings

_FILE = Path("airflow_settings.yaml")


@dataclass(frozen=True)
class Change:
    """What became of one entry of the file."""

    kind: Literal["pool", "variable", "connection"]
    name: str
    state: Literal["created", "updated", "unchanged"]


def apply(wanted: Settings, session: Session) -> list[Change]:
    """Bring Airflow's metadata to what is `wanted`, in the session's transaction."""
    return [*_pools(wanted, session), *_variables(wanted, session), *_connections(wanted, session)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Apply a file and say what became of each entry; 1 where it cannot be applied."""
    parser = argparse.ArgumentParser(prog="include.settings", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="apply")
    command = commands.add_parser("apply", help="apply a file of Astro's keys")
    command.add_argument("file", type=Path, nargs="?", default=_FILE)
    given = parser.parse_args(arguments)
    try:
        wanted = settings_file.read(given.file)
        with create_session() as session:
            changes = apply(wanted, session)
    except errors.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except sa.exc.DBAPIError as error:
        # The statement and its values, secrets among them, stay out.
        sys.stderr.write(
            f"Airflow's metadata cannot be written: {error.orig}\n"
            "Does [database] sql_alchemy_conn lead to it, and has `airflow db migrate` been run?\n"
        )
        return 1
    for change in changes:
        sys.stdout.write(f"{change.state:9}  {change.kind} {change.name}\n")
    return 0


def _pools(wanted: Settings, session: Session) -> Iterator[Change]:
    for pool in wanted.pools or ():
        values = {"slots": pool.pool_slot, "description": pool.pool_description}
        found = session.scalar(sa.select(Pool).filter_by(pool=pool.pool_name))
        made = Pool(pool=pool.pool_name, include_deferred=False)
        yield Change("pool", str(pool.pool_name), _put(session, found, made, values))


def _variables(wanted: Settings, session: Session) -> Iterator[Change]:
    for variable in wanted.variables or ():
        found = session.scalar(sa.select(Variable).filter_by(key=variable.variable_name))
        made = Variable(key=variable.variable_name)  # type: ignore[no-untyped-call]
        state = _put(session, found, made, {"val": variable.variable_value})
        yield Change("variable", str(variable.variable_name), state)


def _connections(wanted: Settings, session: Session) -> Iterator[Change]:
    for given in wanted.connections or ():
        found = session.scalar(sa.select(Connection).filter_by(conn_id=given.conn_id))
        made = Connection(conn_id=given.conn_id)
        values = _fields(given)
        kept = found.extra_dejson if found else {}
        extra = {**kept, **values.pop("extra")}
        if extra != kept:
            values["extra"] = json.dumps(extra)
        yield Change("connection", str(given.conn_id), _put(session, found, made, values))


def _fields(given: settings_file.Connection) -> dict[str, Any]:
    """The fields of a connection by Airflow's names; `extra` as a mapping."""
    if given.conn_uri:
        parsed = Connection(conn_id=given.conn_id, uri=given.conn_uri)
        return {**parsed.to_dict(prune_empty=True), "extra": parsed.extra_dejson}
    return {
        "conn_type": given.conn_type,
        "host": given.conn_host,
        "schema": given.conn_schema,
        "login": given.conn_login,
        "password": given.conn_password,
        "port": given.conn_port,
        "extra": given.conn_extra or {},
    }


def _put(
    session: Session, found: Any, made: Any, values: Mapping[str, Any]
) -> Literal["created", "updated", "unchanged"]:
    """Give the row `found`, or `made` where there is none, the values that are not empty."""
    row = made if found is None else found
    changed = {
        name: value
        for name, value in values.items()
        if value not in (None, "", 0) and getattr(row, name) != value
    }
    for name, value in changed.items():
        setattr(row, name, value)
    if found is None:
        session.add(made)
        return "created"
    return "updated" if changed else "unchanged"


__all__ = ["Change", "apply", "main"]

if __name__ == "__main__":
    sys.exit(main())
