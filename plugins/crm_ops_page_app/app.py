"""The page's backend: one document, its files, and two questions. It writes nothing.

Runs are started by Airflow's own REST API, which asks the person's role itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse

from crm_ops.base import database
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import overview, registry, tenants
from crm_ops.schema import migrate
from crm_ops_page_app import answers, lock
from crm_ops_page_app.sight import Eyes

_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Only what was there at the start is ever served: no path is made of what is asked.
_FILES = {file.name: file for file in _STATIC.iterdir() if file.suffix in _TYPES}


def make() -> FastAPI:
    """The app, without the routes that FastAPI adds by itself."""
    app = FastAPI(dependencies=lock.ENTRY, openapi_url=None, docs_url=None, redoc_url=None)
    eyes = app.state.eyes = Eyes()

    @app.middleware("http")
    async def guard(request: Request, ask: Callable[[Request], Awaitable[Response]]) -> Response:
        """Whatever goes wrong is answered in our words; every answer carries the headers."""
        try:
            answer = await ask(request)
        except Exception as error:  # noqa: BLE001  # logged, and told without its text
            answer = answers.wrong(error)
        answer.headers.update(lock.HEADERS)
        # A proxy keeps nothing, and a new release is seen at once.
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    @app.get("/")
    def document() -> Response:
        """The page itself."""
        return FileResponse(_STATIC / "page.html", media_type="text/html; charset=utf-8")

    @app.get("/static/{name}")
    def file(name: str) -> Response:
        """A script, a style or an icon of the page."""
        if name not in _FILES:
            raise HTTPException(404, "There is no such file.")
        return FileResponse(_FILES[name], media_type=_TYPES[_FILES[name].suffix])

    @app.get("/data/overview", dependencies=lock.SIGHT)
    def at_a_glance(may_run: Annotated[list[JobName], Depends(lock.may_run)]) -> Response:
        """How everything stands, and which jobs this person may run."""
        return answers.data(
            {
                "overview": overview.read(eyes.open()),
                "jobs": {
                    name: {"dag_id": job.dag_id, "summary": job.summary, "may_run": name in may_run}
                    for name, job in registry.JOBS.items()
                },
            }
        )

    @app.get("/data/tenants", dependencies=lock.SIGHT)
    def of_tenants(
        search: str = "", sort: str = "as_of", offset: int = 0, limit: int = 25
    ) -> Response:
        """The freshness and the proofs of some tenants."""
        sight = eyes.open()
        with database.transaction(sight.engine) as connection:
            migrate.require(connection)
            page = tenants.read(
                connection,
                now=sight.clock(),
                search=search,
                sort=cast("tenants.Sort", sort),
                offset=offset,
                limit=limit,
            )
        return answers.data(page)

    return app


__all__ = ["make"]
