"""The audit log as a run finds it: what the catalog says of it, what is to be done, its archive."""

from __future__ import annotations

from pathlib import Path

from crm_ops.audit import claims, layout, rights
from crm_ops.audit import plan as planning
from crm_ops.audit.layout import Layout
from crm_ops.audit.plan import Plan
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors
from crm_ops.catalog.audit import Audit
from crm_ops.jobs.work import Tools


def policy(tools: Tools) -> Audit:
    """What the catalog says of the audit log; raise ParameterError where it says nothing."""
    if tools.catalog.audit is None:
        raise errors.ParameterError("the catalog declares no audit log; declare `audit`")
    return tools.catalog.audit


def storage(tools: Tools) -> Storage:
    """The archive that the environment names by `CRM_OPS_ARCHIVE`, else the catalog."""
    url = tools.archive.url or policy(tools).archive
    folder = Path(tools.loaded.document.file).resolve().parent
    return Storage(url, folder, tools.archive.options(url))


def look(tools: Tools) -> tuple[Layout, Plan]:
    """The audit log as it is, and what is to be done; PermissionMissing where we may not do it."""
    declared = policy(tools)
    found = layout.look(tools.engine, declared)
    with database.transaction(tools.engine) as connection:
        rights.require(connection, found.parent.table)
        claimed = claims.read(connection, found, declared, tools.clock())
    return found, planning.make(found, declared, tools.clock(), claimed=claimed)


__all__ = ["look", "policy", "storage"]
