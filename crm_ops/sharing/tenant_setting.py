"""Makes the setting that row-level security reads, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.base.statements import load


@contextmanager
def made(connection: sa.Connection, setting: str | None, tenant: str) -> Iterator[None]:
    """Read as `tenant` within; without a setting nothing is done.

    After an error nothing is put back: the rollback does it.
    """
    if setting is None:
        yield
        return
    fixed = load("crm_ops.sharing")
    before = sql.run(connection, fixed["setting"], setting=setting).scalar_one()
    sql.run(connection, fixed["set"], setting=setting, tenant=tenant)
    yield
    sql.run(connection, fixed["set"], setting=setting, tenant=before)


__all__ = ["made"]
