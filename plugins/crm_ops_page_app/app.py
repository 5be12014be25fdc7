"""The page's backend: its routes behind its lock, without what FastAPI adds by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from crm_ops_page_app import answers, lock, routes
from crm_ops_page_app.sight import Eyes


def make() -> FastAPI:
    """The app: every route asks for a login; there is no documentation and no schema."""
    app = FastAPI(dependencies=lock.ENTRY, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.eyes = Eyes()
    app.middleware("http")(_guard)
    app.include_router(routes.router)
    return app


async def _guard(request: Request, ask: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer in our words whatever goes wrong; give every answer the headers."""
    try:
        answer = await ask(request)
    except Exception as error:  # noqa: BLE001  # logged whole, told without its text
        answer = answers.wrong(error)
    answer.headers.update(lock.HEADERS)
    # A proxy keeps nothing, and a new release is seen at once.
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


__all__ = ["make"]
