"""Who may see the page, and what keeps others out: login, role, own site, strict headers."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from fastapi import Depends, HTTPException, Request

from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import registry

# Scripts and styles are files of ours, none inline, none from elsewhere; only Airflow may frame us.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}


def own_site(request: Request) -> None:
    """Refuse what another site's page asks with this person's login: 403."""
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    if site not in ("same-origin", "none") or (
        origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    ):
        raise HTTPException(403, "This page answers its own site only.")


# For every route: 403 for another site, 401 without a login.
ENTRY = (Depends(own_site), Depends(get_user))

# For every route that shows figures: 403 unless the role may see all our DAGs.
SIGHT = tuple(
    Depends(requires_access_dag(method="GET", param_dag_id=job.dag_id))
    for job in registry.JOBS.values()
)


def may_run(request: Request, user: GetUserDep) -> list[JobName]:
    """The jobs whose DAG the user's role may trigger. Airflow asks again when they do."""
    return [name for name, job in registry.JOBS.items() if _may_run(job.dag_id, request, user)]


def _may_run(dag_id: str, request: Request, user: GetUserDep) -> bool:
    check = requires_access_dag(
        method="POST", access_entity=DagAccessEntity.RUN, param_dag_id=dag_id
    )
    try:
        check(request, user)
    except HTTPException:
        return False
    return True


__all__ = ["ENTRY", "HEADERS", "SIGHT", "may_run", "own_site"]
