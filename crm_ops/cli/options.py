"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_ops.jobs import work

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="PostgreSQL of the CRM; else CRM_OPS_DATABASE_URL or AIRFLOW_CONN_CRM_POSTGRES.",
        show_default=False,
    ),
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        help="Redis; else CRM_OPS_REDIS_URL or AIRFLOW_CONN_CRM_REDIS.",
        show_default=False,
    ),
]
CatalogPath = Annotated[
    Path | None,
    typer.Option(
        "--catalog",
        help="The catalog; else CRM_OPS_CATALOG or include/crm_ops.yaml.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tenant = Annotated[
    str | None,
    typer.Option(
        "--tenant", help="Whose rows, by the tenant's key; needed unless the CRM is of one company."
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help="facet=value, a range facet=25..75, a period month=2026-Q1; a facet alone: rows"
        " without a value. Repeatable: of one facet any, of several all.",
    ),
]
MaxAge = Annotated[
    float | None,
    typer.Option(
        "--max-age", help="Figures that are older than so many seconds are counted anew.", min=0
    ),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Show what was asked where, and how long it took.")
]

Entities = Annotated[
    list[str] | None, typer.Option("--entity", help="Only this entity; repeatable.")
]
Tenants = Annotated[
    list[str] | None, typer.Option("--tenant", help="Only this tenant; repeatable.")
]
Mode = Annotated[
    work.Mode,
    typer.Option("--mode", help="Fold the changes where exact, only fold, recount, compare."),
]

__all__ = [
    "CatalogPath",
    "DatabaseUrl",
    "DryRun",
    "Entities",
    "Explain",
    "Filters",
    "Json",
    "MaxAge",
    "Mode",
    "RedisUrl",
    "Tenant",
    "Tenants",
]
