"""What the page's backend answers: data as JSON, and what went wrong in plain words.

No statement, no stack trace, no address with a password: those are in the API server's log.
"""

from __future__ import annotations

import logging

import msgspec
import sqlalchemy as sa
from fastapi import Response

from crm_ops.base import errors

_log = logging.getLogger(__name__)

# What PostgreSQL or a driver said may hold parts of a statement or an address: our words instead.
_OURS: dict[type[Exception], tuple[int, str, str]] = {
    errors.DatabaseUnavailable: (
        503,
        "database_down",
        "The CRM's database does not answer. The page tries again by itself; see the connection"
        " crm_postgres under Admin > Connections.",
    ),
    errors.DatabaseBusy: (
        503,
        "database_busy",
        "The CRM's database is too busy to answer in time. The page tries again by itself.",
    ),
    sa.exc.TimeoutError: (
        503,
        "database_busy",
        "Too many people look at once. The page tries again by itself.",
    ),
    errors.DatabaseRefused: (
        500,
        "database_refused",
        "The CRM's database refused to answer: its tables are not as the catalog says. See"
        " `crm-ops catalog validate`.",
    ),
    errors.PermissionMissing: (
        500,
        "permission_missing",
        "The role of the connection crm_postgres lacks a right; see docs/permissions.md.",
    ),
}
# These texts are ours to the letter: they name a setting, a file with its line, a remedy.
_TOLD: dict[type[Exception], tuple[int, str]] = {
    errors.ParameterError: (400, "wrong_parameter"),
    errors.SettingsError: (500, "wrong_setting"),
    errors.CatalogError: (500, "wrong_catalog"),
    errors.AuditError: (500, "wrong_audit_log"),
}


def data(value: object) -> Response:
    """A value of dataclasses as JSON."""
    return Response(msgspec.json.encode(value), media_type="application/json")


def wrong(error: Exception) -> Response:
    """What the person is told of an error; the whole of it goes to the log."""
    _log.warning("the page could not answer", exc_info=error, extra={"action": "page_error"})
    for kind, (status, name, message) in _OURS.items():
        if isinstance(error, kind):
            return _told(status, name, message)
    for told, (status, name) in _TOLD.items():
        if isinstance(error, told):
            return _told(status, name, str(error))
    return _told(500, "unknown", "Something went wrong; the log of the API server says what.")


def _told(status: int, name: str, message: str) -> Response:
    body = msgspec.json.encode({"error": name, "message": message})
    return Response(body, status_code=status, media_type="application/json")


__all__ = ["data", "wrong"]
