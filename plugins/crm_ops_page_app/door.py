"""The door of the page: every process of Airflow imports it, the API server alone opens it.

Where the page cannot be made, because Airflow's security functions are not where they were, the
door stays shut: it denies every request instead of showing anything unprotected.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SHUT = (
    "The page is shut: this Airflow lacks what protects it. The log of the API server says what is"
    " missing."
)


class Door:
    """An ASGI app that makes the page at the first request and hands every request to it."""

    def __init__(self) -> None:
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the page."""
        if self._app is None:
            self._app = _made()
        await self._app(scope, receive, send)


def _made() -> App:
    try:
        # FastAPI and Airflow's API are heavy; the scheduler has no use for them.
        from crm_ops_page_app import app  # noqa: PLC0415
    except ImportError:
        _log.exception("the page CRM Ops stays shut", extra={"action": "page_shut"})
        return _deny
    return app.make()


async def _deny(_scope: Scope, _receive: Receive, send: Send) -> None:
    body = json.dumps({"error": "shut", "message": _SHUT}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


__all__ = ["Door"]
