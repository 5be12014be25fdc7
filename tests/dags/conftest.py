"""Tests of the DAG files."""

from __future__ import annotations

from tests.dags.airflow_home import metadata

__all__ = ["metadata"]
