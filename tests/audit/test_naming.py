from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crm_ops.audit import naming
from crm_ops.audit.months import Month
from crm_ops.base import sql


def test_a_partition_is_named_after_the_table_and_the_month() -> None:
    assert naming.free("audit_log", Month(2024, 3), set()) == "audit_log_p202403"


def test_a_name_that_is_taken_gets_a_number() -> None:
    taken = {"audit_log_p202403", "audit_log_p202403_2"}

    assert naming.free("audit_log", Month(2024, 3), taken) == "audit_log_p202403_3"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_the_name_of_any_table_leaves_room_for_any_month(table: str) -> None:
    name = naming.free(table, Month(9999, 12), set())

    assert sql.usable(name)
    assert name.startswith(naming.prefix(table))
    assert name.endswith("_p999912")
