"""A small valid catalog, to be changed by a test into what it is about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = """\
version: 1
tenancy: {mode: column, table: crm.company}
entities:
  lead:
    table: crm.lead
    tenant: company_id
    where: {deleted_at: null}
    facets:
      status: {column: status}
      tags: {kind: link, table: crm.lead_tag, parent: lead_id, column: tag_id}
aggregates:
  leads:
    entity: lead
    by: [status]
    measures: {leads: {count: rows}}
jobs:
  precompute_facets:
    {schedule: "*/5 * * * *", deadline_minutes: 4, timeout_minutes: 15, pool: workflow_cpu}
  precompute_aggregates:
    {schedule: "*/10 * * * *", deadline_minutes: 8, timeout_minutes: 30, pool: workflow_cpu}
  audit_maintenance:
    {schedule: "0 2 * * *", deadline_minutes: 50, timeout_minutes: 180, pool: workflow_default}
  warm_caches:
    {schedule: "0 3 * * *", deadline_minutes: 30, timeout_minutes: 60, pool: workflow_io}
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small catalog with each `old` text replaced by its `new` one; gives its path."""

    def write(*changes: tuple[str, str]) -> Path:
        text = SMALL
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} must stand in the catalog once"
            text = text.replace(old, new)
        path = tmp_path / "catalog.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
