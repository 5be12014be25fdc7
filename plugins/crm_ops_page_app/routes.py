"""The four routes of the page: its document, its files, and two questions. None writes anything.

Runs are started by Airflow's own REST API, which asks the person's role itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse

from crm_ops.base import database
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import overview, registry, tenants
from crm_ops.schema import migrate
from crm_ops_page_app import answers, lock
from crm_ops_page_app.sight import Sight

_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Only what was there at the start is ever served: no path is made of what is asked.
_FILES = {file.name: file for file in _STATIC.iterdir() if file.suffix in _TYPES}

router = APIRouter()


def _sight(request: Request) -> Sight:
    sight: Sight = request.app.state.eyes.open()
    return sight


@router.get("/")
def document() -> Response:
    """The page itself."""
    return FileResponse(_STATIC / "page.html", media_type="text/html; charset=utf-8")


@router.get("/static/{name}")
def file(name: str) -> Response:
    """A script, a style or an icon of the page."""
    if name not in _FILES:
        raise HTTPException(404, "There is no such file.")
    return FileResponse(_FILES[name], media_type=_TYPES[_FILES[name].suffix])


@router.get("/data/overview", dependencies=lock.SIGHT)
def at_a_glance(
    sight: Annotated[Sight, Depends(_sight)],
    may_run: Annotated[list[JobName], Depends(lock.may_run)],
) -> Response:
    """How everything stands, and which jobs this person may run."""
    jobs = {
        name: {"dag_id": job.dag_id, "summary": job.summary, "may_run": name in may_run}
        for name, job in registry.JOBS.items()
    }
    return answers.data({"overview": overview.read(sight), "jobs": jobs})


@router.get("/data/tenants", dependencies=lock.SIGHT)
def of_tenants(
    sight: Annotated[Sight, Depends(_sight)],
    search: str = "",
    sort: str = "as_of",
    offset: int = 0,
    limit: int = 25,
) -> Response:
    """The freshness and the proofs of some tenants."""
    with database.transaction(sight.engine) as connection:
        migrate.require(connection)
        page = tenants.read(
            connection,
            now=sight.clock(),
            search=search,
            # Another word is refused there.
            sort=cast("tenants.Sort", sort),
            offset=offset,
            limit=limit,
        )
    return answers.data(page)


__all__ = ["router"]
