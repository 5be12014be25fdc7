"""Legal holds stop the drop."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.audit import apply, claims, holds, plan
from crm_ops.base import database as databases
from crm_ops.base import errors
from tests.audit import archives, logs
from tests.audit.archives import policy
from tests.audit.logs import NOW, at

FEBRUARY = "crm.audit_log_p202302"


def place(engine: sa.Engine, **given: Any) -> int:
    """A hold for reasons of a test."""
    narrowed = {"tenant": None, "object_": None, "lower": None, "upper": None, "until": None}
    with databases.transaction(engine) as connection:
        return holds.add(
            connection,
            policy(),
            **{**narrowed, "reason": "case 7", "placed_by": "counsel", "now": NOW, **given},
        )


@pytest.mark.parametrize(
    ("given", "stays"),
    [
        ({}, True),
        ({"tenant": "3"}, True),
        ({"tenant": "99"}, False),
        ({"object_": "other:1"}, False),
        ({"lower": at("2023-02-05")}, True),
        ({"lower": at("2023-02-20")}, False),
        ({"upper": at("2023-02-01 00:00")}, False),
        ({"tenant": "3", "lower": at("2023-02-20")}, False),
    ],
)
def test_a_hold_keeps_a_table_that_has_a_row_of_it_and_no_other(
    expired: sa.Engine, tmp_path: Path, given: dict[str, Any], stays: bool
) -> None:
    place(expired, **given)

    archives.maintain(expired, tmp_path)

    assert logs.exists(expired, FEBRUARY) is stays
    assert logs.state(expired, FEBRUARY) == ("verified" if stays else "dropped", 300)


def test_an_object_that_no_row_can_have_is_refused(expired: sa.Engine) -> None:
    with pytest.raises(errors.ParameterError, match="action and user_id, joined by colons"):
        place(expired, object_="lead42")


def test_a_hold_on_one_object_keeps_its_rows(expired: sa.Engine, tmp_path: Path) -> None:
    logs.run(
        expired,
        "INSERT INTO crm.audit_log (action, user_id, created_at) VALUES ('lead', 42, '2023-02-09')",
    )
    place(expired, object_="lead:42")

    archives.maintain(expired, tmp_path)

    assert logs.exists(expired, FEBRUARY)


def test_a_lifted_hold_and_one_whose_end_has_passed_hold_nothing(
    expired: sa.Engine, tmp_path: Path
) -> None:
    lifted = place(expired)
    place(expired, until=NOW + timedelta(days=1))  # PostgreSQL's clock is far beyond it
    archives.maintain(expired, tmp_path)
    assert logs.exists(expired, FEBRUARY)

    with databases.transaction(expired) as connection:
        holds.lift(connection, policy(), lifted, lifted_by="judge")
    archives.maintain(expired, tmp_path)

    assert not logs.exists(expired, FEBRUARY)
    with databases.transaction(expired) as connection:
        assert holds.read(connection, policy()) == ()
        assert [each.lifted_by for each in holds.read(connection, policy(), ended=True)] == [
            "judge",
            None,
        ]


def test_the_plan_tells_the_hold(expired: sa.Engine, tmp_path: Path) -> None:
    number = place(expired, tenant="3")
    archives.maintain(expired, tmp_path, policy(grace_days=1))

    found = logs.read(expired, policy())
    with databases.transaction(expired) as connection:
        claimed = claims.read(connection, found, policy(), NOW)
    made = plan.make(found, policy(), NOW, claimed=claimed)

    assert made.drops == ()
    assert made.kept[-1].holds == (number,)
    assert made.kept[-1].why == f"verified; legal hold {number}"


def test_a_hold_placed_while_a_table_is_about_to_be_dropped_wins_or_waits(
    expired: sa.Engine, tmp_path: Path
) -> None:
    archives.maintain(expired, tmp_path, policy(grace_days=1))
    made = logs.planned(expired, policy())
    placed = databases.transaction(expired)
    with placed as connection:
        holds.add(
            connection,
            policy(),
            tenant=None,
            object_=None,
            lower=None,
            upper=None,
            reason="case 8",
            placed_by="counsel",
            until=None,
            now=NOW,
        )
        dropping = threading.Thread(
            target=apply.drop, args=(expired, made, archives.storage(tmp_path))
        )
        dropping.start()
        dropping.join(0.5)
        assert dropping.is_alive(), "it waits for the hold that is being placed"
    dropping.join()

    assert logs.exists(expired, FEBRUARY)


def test_a_hold_that_holds_nothing_is_refused(expired: sa.Engine) -> None:
    for wrong, why in [
        ({"reason": " "}, "needs a reason"),
        ({"lower": at("2023-02-02"), "upper": at("2023-02-01")}, "ends before it begins"),
        ({"until": NOW}, "has passed"),
    ]:
        with pytest.raises(errors.ParameterError, match=why):
            place(expired, **wrong)
