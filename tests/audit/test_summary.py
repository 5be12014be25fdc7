from __future__ import annotations

import sqlalchemy as sa

from crm_ops.audit import summary
from tests.audit import logs
from tests.audit.logs import NOW, policy


def test_the_summary_tells_partitions_sizes_what_waits_and_the_runway(database: sa.Engine) -> None:
    logs.create(database, ["2023-01", "2024-03", "2024-04", "2024-06"])
    logs.add(database, "2024-03-05", 100)
    logs.add(database, "2024-05-05", 3)
    logs.run(database, "ANALYZE crm.audit_log_p202403")
    logs.expire(database, policy(on_expiry="archive"))

    found = summary.of(logs.read(database), NOW)

    assert (found.table, found.partitions, found.rows, found.default_rows, found.detached) == (
        "crm.audit_log",
        4,
        100,
        3,
        1,
    )
    assert found.bytes > 100_000
    assert found.detached_bytes > 0
    assert found.runway_days == 46, "April ends then, and May is missing"
