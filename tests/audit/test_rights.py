from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import errors
from tests.audit import logs
from tests.audit.logs import policy

OWNER = (
    "ALTER TABLE crm.audit_log OWNER TO {role}",
    "ALTER TABLE crm.audit_log_default OWNER TO {role}",
    "ALTER TABLE crm.audit_log_p202302 OWNER TO {role}",
    "GRANT USAGE, CREATE ON SCHEMA crm TO {role}",
    "GRANT USAGE ON SCHEMA crm_ops TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON crm_ops.audit_partition, crm_ops.audit_link,"
    " crm_ops.audit_archive, crm_ops.audit_hold TO {role}",
)


@pytest.fixture
def log(database: sa.Engine) -> sa.Engine:
    """An audit log with an expired month, and with rows in DEFAULT."""
    logs.create(database, ["2023-02"])
    logs.add(database, "2024-03-05", 3)
    return database


def test_the_owner_of_the_log_needs_no_more_than_the_documented_rights(log: sa.Engine) -> None:
    with logs.as_role(log, *OWNER) as maintainer:
        assert logs.ensure(maintainer).moved_rows == 3
        assert logs.expire(maintainer).dropped == 1


def test_a_member_of_the_owner_creates_partitions_that_are_the_owners(log: sa.Engine) -> None:
    owner = f"owner_of_{log.url.database}"
    logs.run(
        log,
        f"CREATE ROLE {owner}",
        *(grant.format(role=owner) for grant in OWNER),
    )
    with logs.as_role(log, *OWNER[3:], f"GRANT {owner} TO {{role}}") as maintainer:
        assert logs.ensure(maintainer).created == 4
        assert logs.expire(maintainer).dropped == 1

    assert (
        logs.value(
            log,
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'audit_log_p202404'",
        )
        == owner
    )
    logs.run(log, f"REASSIGN OWNED BY {owner} TO CURRENT_USER", f"DROP OWNED BY {owner}")
    logs.run(log, f"DROP ROLE {owner}")


def test_writers_need_rights_on_the_log_alone(log: sa.Engine) -> None:
    logs.ensure(log)

    grants = (
        "GRANT USAGE ON SCHEMA crm TO {role}",
        "GRANT SELECT, INSERT ON crm.audit_log TO {role}",
    )
    with logs.as_role(log, *grants) as writer:
        logs.add(writer, "2024-04-05", 2)
        assert logs.count(writer) == 5


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        (
            OWNER[3:],
            r"membership in the role \w+, which owns crm\.audit_log, crm\.audit_log_default",
        ),
        (
            (*OWNER[:3], "GRANT USAGE ON SCHEMA crm TO {role}", *OWNER[4:]),
            "CREATE on the schema crm",
        ),
        (OWNER[:5], "INSERT and UPDATE on crm_ops.audit_partition"),
    ],
)
def test_a_missing_right_is_named_before_anything_is_written(
    log: sa.Engine, kept: tuple[str, ...], missing: str
) -> None:
    grants = (*kept, "GRANT SELECT ON ALL TABLES IN SCHEMA crm, crm_ops TO {role}")
    with logs.as_role(log, *grants) as maintainer:
        for maintain in (logs.ensure, logs.expire):
            with pytest.raises(errors.PermissionMissing, match=missing):
                maintain(maintainer, policy())

    assert sorted(logs.stretches(log)) == ["audit_log_p202302"]
