"""Legal holds: rows of a tenant, an object or a time that must stay, with who, why, until when.

A hold stops the drop of any table that holds such a row, in the statement that drops.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import errors, sql, statements
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit


@dataclass(frozen=True)
class Hold:
    """One hold; what is None does not narrow it. `object` joins its columns' values by a colon."""

    id: int
    tenant: str | None
    object: str | None
    lower: datetime | None
    upper: datetime | None
    reason: str
    placed_by: str
    placed_at: datetime
    until: datetime | None
    lifted_by: str | None
    lifted_at: datetime | None


def add(
    connection: sa.Connection,
    policy: Audit,
    *,
    tenant: str | None,
    object_: str | None,
    lower: datetime | None,
    upper: datetime | None,
    reason: str,
    placed_by: str,
    until: datetime | None,
    now: datetime,
) -> int:
    """Place a hold and return its number; once committed, nothing that it names is dropped."""
    if tenant is not None and policy.tenant is None:
        raise errors.ParameterError("the catalog's audit names no `tenant` column to hold by")
    if object_ is not None and not policy.object:
        raise errors.ParameterError("the catalog's audit names no `object` columns to hold by")
    if object_ is not None and object_.count(":") < len(policy.object) - 1:
        raise errors.ParameterError(
            f"{object_!r} names no object: it is {' and '.join(policy.object)}, joined by colons"
        )
    if not reason.strip():
        raise errors.ParameterError("a hold needs a reason")
    if lower is not None and upper is not None and lower >= upper:
        raise errors.ParameterError("the hold's range ends before it begins")
    if until is not None and until <= now:
        raise errors.ParameterError(
            f"{until:%Y-%m-%d %H:%M} UTC has passed; such a hold holds nothing"
        )
    log = Relation.parse(policy.table)
    return int(
        sql.run(
            connection,
            _sql("add_hold"),
            schema=log.schema,
            name=log.name,
            tenant=tenant,
            object=object_,
            lower=lower,
            upper=upper,
            reason=reason,
            placed_by=placed_by,
            until=until,
        ).scalar_one()
    )


def lift(connection: sa.Connection, policy: Audit, number: int, *, lifted_by: str) -> None:
    """Lift a hold; raise ParameterError where no such hold is in force."""
    log = Relation.parse(policy.table)
    lifted = sql.run(
        connection,
        _sql("lift_hold"),
        id=number,
        schema=log.schema,
        name=log.name,
        lifted_by=lifted_by,
    )
    if not lifted.rowcount:
        raise errors.ParameterError(
            f"no hold {number} on {log} is there to be lifted; see `crm-ops audit hold list --all`"
        )


def read(connection: sa.Connection, policy: Audit, *, ended: bool = False) -> tuple[Hold, ...]:
    """The holds in force, with `ended` also the others, the oldest first."""
    log = Relation.parse(policy.table)
    rows = sql.run(
        connection,
        _sql("all_holds" if ended else "active_holds"),
        schema=log.schema,
        name=log.name,
    )
    return tuple(Hold(**row) for row in rows.mappings())


def lock(connection: sa.Connection) -> None:
    """No hold comes or goes until the transaction ends."""
    sql.run(connection, _sql("lock_holds"))


def on(connection: sa.Connection, policy: Audit, table: Relation) -> tuple[int, ...]:
    """The numbers of the holds in force that concern a row of `table`."""
    found = sql.run(connection, f"SELECT hold.id {held_by(policy, table)} ORDER BY hold.id")
    return tuple(found.scalars())


def held_by(policy: Audit, table: Relation) -> str:
    """`FROM ... WHERE ...` as SQL: the holds in force that concern a row of `table`."""
    log = Relation.parse(policy.table)
    time = f"audit.{sql.identifier(policy.time)}::timestamptz"
    about = [
        f"(hold.lower IS NULL OR {time} >= hold.lower)",
        f"(hold.upper IS NULL OR {time} < hold.upper)",
    ]
    if policy.tenant is not None:
        tenant = f"audit.{sql.identifier(policy.tenant)}::text"
        about.append(f"(hold.tenant IS NULL OR {tenant} = hold.tenant)")
    if policy.object:
        parts = ", ".join(f"audit.{sql.identifier(name)}::text" for name in policy.object)
        about.append(f"(hold.object IS NULL OR concat_ws(':', {parts}) = hold.object)")
    return (
        "FROM crm_ops.audit_hold AS hold"
        f" WHERE hold.parent = format('%%I.%%I', {sql.literal(log.schema)}::text,"
        f" {sql.literal(log.name)}::text)"
        " AND hold.lifted_at IS NULL AND (hold.until IS NULL OR hold.until > clock_timestamp())"
        f" AND EXISTS (SELECT FROM {table.quoted} AS audit WHERE {' AND '.join(about)})"
    )


def _sql(name: str) -> str:
    return statements.load("crm_ops.audit")[name]


__all__ = ["Hold", "add", "held_by", "lift", "lock", "on", "read"]
