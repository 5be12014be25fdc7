"""Reads archived months where they lie, as if they were a table; DuckDB is an extra of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from crm_ops.audit.chain import Entry
from crm_ops.audit.storage import Storage
from crm_ops.base import errors, sql
from crm_ops.catalog.audit import Audit

_ROWS = 1_000


def rows(
    storage: Storage,
    policy: Audit,
    entries: Sequence[Entry],
    *,
    tenant: str | None = None,
    where: str | None = None,
) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """The columns, and the rows of `entries` one by one, by time.

    `where` is a condition in DuckDB's SQL; it sees the files and nothing else of this machine.
    Raises AuditError where a file is not the one that was archived.
    """
    duckdb = _duckdb()
    if tenant is not None and policy.tenant is None:
        raise errors.ParameterError("the catalog's audit names no `tenant` column to narrow by")
    for entry in entries:
        if storage.sha256(entry.file) != entry.sha256:
            raise errors.AuditError(
                f"{entry.file} in the archive {storage.url} is not what was written there; see"
                " `crm-ops audit verify-archive`"
            )
    # Nothing of a user's configuration is read, and no extension is fetched.
    connection = duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )
    paths = [_path(connection, storage, entry.file) for entry in entries]
    try:
        connection.execute("SET TimeZone = 'UTC'")
        # A file system whose paths begin with a slash is asked for them with one.
        rooted = [path.replace("://", ":///", 1) for path in paths]
        connection.execute(f"SET allowed_paths = [{_list([*paths, *rooted])}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        given = f"({where})" if where else "true"
        narrowed = (
            f"{sql.identifier(policy.tenant)}::VARCHAR = $tenant" if policy.tenant else "true"
        )
        text = (
            f"SELECT * FROM read_parquet([{_list(paths)}], union_by_name = true)"
            f" WHERE {given} AND {narrowed if tenant is not None else 'true'}"
            f" ORDER BY {sql.identifier(policy.time)}, {sql.identifier(policy.key)}"
        )
        found = connection.sql(text, params={"tenant": tenant} if tenant is not None else {})
        reader = found.to_arrow_reader(_ROWS)
    except duckdb.Error as error:
        connection.close()
        raise errors.ParameterError(f"the query cannot be answered: {error}") from error
    return list(found.columns), _each(connection, reader)


def _each(connection: Any, reader: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    try:
        for batch in reader:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except (pa.ArrowException, OSError) as error:
        raise errors.ParameterError(f"the query cannot be answered: {error}") from error
    finally:
        connection.close()


def _path(connection: Any, storage: Storage, name: str) -> str:
    files, path = storage.location(name)
    protocol = files.protocol if isinstance(files.protocol, str) else files.protocol[0]
    if protocol in ("file", "local"):
        return path
    connection.register_filesystem(files)
    return f"{protocol}://{path.lstrip('/')}"


def _list(paths: Sequence[str]) -> str:
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths)


def _duckdb() -> Any:
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise errors.SettingsError(
            "archives are read by DuckDB, which is not installed; install crm-ops[duckdb]"
        ) from error
    return duckdb


__all__ = ["rows"]
