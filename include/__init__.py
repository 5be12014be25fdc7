"""CRM Ops in Airflow: what the DAGs share. `crm_ops.yaml` beside this file is the catalog."""

from __future__ import annotations

__all__: list[str] = []
