"""An Airflow home of the tests' own; to be imported before Airflow is, so that it reads no other.

Its metadata, where a test asks for them, are an SQLite file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"

assert "airflow" not in sys.modules, "Airflow was imported before it had its home"
HOME = Path(tempfile.mkdtemp(prefix="crm-ops-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
for name in list(os.environ):
    if name.startswith(("AIRFLOW", "CRM_OPS_CATALOG")):
        del os.environ[name]
os.environ["AIRFLOW_HOME"] = str(HOME)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(DAGS)


@pytest.fixture(scope="session")
def metadata() -> None:
    """Airflow's metadata, migrated, without pools or connections of ours."""
    from airflow.utils.db import initdb  # noqa: PLC0415

    initdb()
