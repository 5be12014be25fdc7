from __future__ import annotations

from pathlib import Path

import pytest

from crm_ops.base import database, errors, settings, sql, store
from crm_ops.local import layout, services


def silent(_what: str, _state: str) -> None:
    pass


def test_both_servers_are_up_and_the_exports_lead_there(home: Path) -> None:
    told: list[tuple[str, str]] = []
    with services.up(
        layout.make(home, home), note=lambda what, state: told.append((what, state))
    ) as up:
        read = settings.read(up.exports())
        engine = database.engine(read.require_database())
        with database.transaction(engine) as connection:
            assert sql.run(connection, "SELECT current_database()").scalar() == "crm"
        engine.dispose()
        with store.client(read.require_redis()) as client:
            store.check(client)
        assert up.credentials.postgres not in repr(up.postgres)
    assert [what for what, _ in told] == ["PostgreSQL", "PostgreSQL", "Redis", "Redis"]


def test_a_second_start_finds_the_same_data_at_the_same_address(home: Path) -> None:
    seen = []
    for _ in range(2):
        with services.up(layout.make(home, home), note=silent) as up:
            seen.append(up.exports())
    assert seen[0] == seen[1]


def test_a_second_stack_in_the_folder_is_refused_and_harms_nothing(home: Path) -> None:
    place = layout.make(home, home)
    with services.up(place, note=silent) as up:
        with (
            pytest.raises(errors.LocalError, match="already running"),
            services.up(place, note=silent),
        ):
            pass
        up.processes.check()
