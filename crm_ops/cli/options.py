"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

__all__ = ["CatalogPath", "DatabaseUrl", "Json", "RedisUrl"]
