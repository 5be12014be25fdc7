"""What an operator types: plan, archive, tamper, verify-archive, restore, query, hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from crm_ops.cli.main import app
from tests.audit import logs

CATALOG = """
version: 1
tenancy: {{mode: single}}
entities: {{entry: {{table: crm.audit_log, facets: {{action: {{column: action}}}}}}}}
audit:
  table: crm.audit_log
  time: created_at
  tenant: company_id
  object: [action, user_id]
  grace_days: {grace}
  archive: archive
jobs:
  precompute_facets: {{schedule: "0 1 * * *", deadline_minutes: 4, timeout_minutes: 15,
    pool: workflow_cpu}}
  precompute_aggregates: {{schedule: "0 1 * * *", deadline_minutes: 4, timeout_minutes: 15,
    pool: workflow_cpu}}
  audit_maintenance: {{schedule: "0 1 * * *", deadline_minutes: 4, timeout_minutes: 15,
    pool: workflow_cpu}}
  warm_caches: {{schedule: "0 1 * * *", deadline_minutes: 4, timeout_minutes: 15,
    pool: workflow_cpu}}
"""

Type = Callable[..., Result]


@pytest.fixture
def typed(database: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types a command of `crm-ops` for a log with a long expired month of 300 rows."""
    logs.create(database, ["2023-02", "2035-01"])
    logs.add(database, "2023-02-10", 300)
    logs.run(database, "INSERT INTO crm.audit_log (created_at) VALUES (now())")
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG.format(grace=0))
    url = database.url.set(drivername="postgresql")
    monkeypatch.setenv("CRM_OPS_DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("CRM_OPS_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setenv("CRM_OPS_CATALOG", str(catalog))

    def type_(*words: str, ends: int = 0) -> Result:
        found = CliRunner().invoke(app, words)
        assert found.exit_code == ends, (found.output, found.exception)
        return found

    return type_


def data(found: Result) -> Any:
    return json.loads(found.stdout)


def test_a_month_is_planned_archived_verified_altered_found_and_restored(
    typed: Type, tmp_path: Path, database: sa.Engine
) -> None:
    typed("run", "--task", "audit_maintenance", "--dry-run")
    planned = data(typed("audit", "plan", "--json"))
    assert [each["table"] for each in planned["archive"]] == ["crm.audit_log_p202302"]
    assert data(typed("audit", "archive", "--dry-run", "--json")) == planned

    typed("run", "--task", "audit_maintenance")

    assert data(typed("audit", "plan", "--json"))["archive"] == []
    sound = data(typed("audit", "verify-archive", "--json"))
    assert (sound["files"], sound["rows"], sound["sound"]) == (1, 300, True)
    assert (
        len(typed("audit", "query", "2023-02", "--tenant", "7", "--json").stdout.split("\n")) == 2
    )
    planned = data(typed("audit", "restore", "2023-02", "--dry-run", "--json"))
    assert planned == {"table": "crm.audit_log_restored_202302", "files": 1, "rows": 300}
    assert data(typed("audit", "restore", "2023-02", "--json"))["rows"] == 300

    (file,) = tmp_path.rglob("*.parquet")
    content = bytearray(file.read_bytes())
    content[50] ^= 1
    file.write_bytes(content)
    found = data(typed("audit", "verify-archive", "--json", ends=3))
    assert [(each["what"], each["name"]) for each in found["findings"]] == [
        ("altered", f"crm.audit_log/2023-02/{file.name}")
    ]
    assert "altered" in typed("audit", "verify-archive", ends=3).stdout


def test_a_hold_is_placed_listed_and_lifted(typed: Type, database: sa.Engine) -> None:
    number = typed(
        "audit", "hold", "add", "--reason", "case 7", "--tenant", "7", "--who", "counsel"
    ).stdout.strip()
    done = data(typed("audit", "archive", "--json"))
    assert (done["tables"][0]["verified_rows"], done["tables"][0]["dropped_rows"]) == (300, 0)
    assert done["kept"] == {"crm.audit_log_p202302": f"verified; legal hold {number}"}
    assert "case 7" in typed("audit", "hold", "list").stdout
    assert data(typed("audit", "plan", "--json"))["kept"][-1]["holds"] == [int(number)]

    typed("audit", "hold", "lift", number)

    assert data(typed("audit", "archive", "--json"))["tables"][0]["dropped_rows"] == 300
    assert data(typed("audit", "hold", "list", "--json")) == []
    assert data(typed("audit", "hold", "list", "--all", "--json"))[0]["placed_by"] == "counsel"


def test_partitions_are_shown(typed: Type) -> None:
    shown = typed("audit", "partitions").stdout
    assert "crm.audit_log_p202302" in shown
    assert data(typed("audit", "partitions", "--json"))["summary"]["default_rows"] == 1


def test_a_catalog_without_an_audit_log_is_no_failure(typed: Type, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    text = catalog.read_text()
    start, end = text.index("audit:"), text.index("jobs:")
    catalog.write_text(text[:start] + text[end:])

    ran = typed("run", "--task", "audit_maintenance")

    assert "the catalog declares no `audit`, so there is nothing to do" in ran.stderr
    told = data(typed("status", "--json", ends=3))["jobs"]
    assert told["audit_maintenance"]["state"] == "success"
    assert "declare `audit`" in str(typed("audit", "plan", ends=1).exception)
