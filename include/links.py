"""Where Airflow shows a run, and the page of all figures: for messages to people."""

from __future__ import annotations

from urllib.parse import quote

from airflow.sdk.configuration import conf

from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import registry

# The route of the plugin's page.
PAGE = "plugin/crm-ops"


def run(job: JobName, run_id: str) -> str | None:
    """The page of a run; None where Airflow does not know its own address ([api] base_url)."""
    return _at(f"dags/{registry.JOBS[job].dag_id}/runs/{quote(run_id, safe='')}")


def page() -> str | None:
    """The page CRM Ops."""
    return _at(PAGE)


def _at(path: str) -> str | None:
    base = conf.get("api", "base_url", fallback=None)
    return f"{base.rstrip('/')}/{path}" if base else None


__all__ = ["PAGE", "page", "run"]
