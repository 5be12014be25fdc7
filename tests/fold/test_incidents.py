"""A real service desk's year of changes, replayed through the triggers and folded along the way."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.fold import rebuild, refresh, verify
from crm_ops.fold.rows import Counted
from tests.fold import shop
from tests.fold.capturing import apply, run

LOG = Path(__file__).parents[3] / "shared" / "data" / "incident" / "incident_event_log.csv.zip"
pytestmark = pytest.mark.skipif(
    not LOG.exists(), reason="the incident event log is not beside the project (../shared/data)"
)

UPDATES = 141_712
CHECKS = 12
COLUMNS = {
    "number": "text",
    "location": "text",
    "incident_state": "text",
    "category": "text",
    "assignment_group": "text",
    "priority": "text",
    "reassignment_count": "integer",
    "opened_at": "timestamp without time zone",
    "sys_updated_at": "timestamp without time zone",
}


def catalog() -> Catalog:
    whole = shop.catalog(
        tenancy={"mode": "column", "table": "desk.location", "key": "id", "null_tenant": "nowhere"},
        entities={
            "incident": {
                "table": "desk.incident",
                "key": "number",
                "tenant": "location",
                "facets": {
                    "state": {"column": "incident_state"},
                    "category": {"column": "category"},
                    "group": {"column": "assignment_group"},
                    "priority": {"column": "priority"},
                    "opened": {"kind": "date", "column": "opened_at", "bucket": "month"},
                    "updated": {"kind": "date", "column": "sys_updated_at", "bucket": "week"},
                    "moves": {"kind": "ranges", "column": "reassignment_count", "bounds": [1, 5]},
                },
            }
        },
        aggregates={
            "moves_by_state": {
                "entity": "incident",
                "by": ["state"],
                "measures": {
                    "incidents": {"count": "rows"},
                    "moves": {"sum": "reassignment_count"},
                    "most": {"max": "reassignment_count"},
                },
            }
        },
    )
    return whole.model_copy(
        update={"limits": whole.limits.model_copy(update={"distinct_values_per_facet": 100_000})}
    )


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    columns = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
    run(migrated, "CREATE SCHEMA desk")
    run(migrated, "CREATE TABLE desk.location (id text PRIMARY KEY)")
    run(migrated, f"CREATE TABLE desk.incident ({columns}, PRIMARY KEY (number))")
    run(migrated, f"CREATE TABLE desk.event ({columns}, at serial)")
    return migrated


def test_a_year_of_real_changes_folds_exactly(engine: sa.Engine) -> None:
    counted = Counted(catalog(), "incident", COLUMNS)
    events = list(_events())
    assert len(events) == UPDATES
    everybody = sorted({event["location"] or "nowhere" for event in events})
    _load(engine, events)
    apply(engine, counted.catalog)
    refresh.fold(engine, counted)
    rebuild.facet_counts(engine, counted, everybody)
    state: dict[str, dict[str, str | None]] = {}
    step = UPDATES // CHECKS + 1

    for at in range(0, UPDATES, step):
        _replay(engine, at, at + step)
        state |= {str(event["number"]): event for event in events[at : at + step]}
        done = refresh.fold(engine, counted)
        assert done.drained.changes > 0
        assert done.drained.repairs == ()
        assert _stored(engine, "state") == _counted(state.values(), "incident_state")
        _prove(engine, counted, everybody)

    run(engine, "DELETE FROM desk.incident WHERE hashtext(number) %% 10 IN (0, 1, 2)")
    run(
        engine,
        "UPDATE desk.incident SET location = 'Location 143'"
        " WHERE hashtext(number) %% 10 IN (3, 4) OR hashtext(number) %% 10 = -3",
    )
    refresh.fold(engine, counted)
    _prove(engine, counted, everybody)


def _prove(engine: sa.Engine, counted: Counted, tenants: list[str]) -> None:
    found = verify.compare(engine, counted, tenants)
    assert found.unproved is None
    assert len(found.tenants) == len(tenants)
    assert found.figures > 500
    assert found.differences == ()


def _events() -> Iterator[dict[str, str | None]]:
    with zipfile.ZipFile(LOG) as archive, archive.open(archive.namelist()[0]) as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8")):
            event = {name: None if row[name] == "?" else row[name] for name in COLUMNS}
            for name in ("opened_at", "sys_updated_at"):
                text = event[name]
                if text is not None:
                    event[name] = datetime.strptime(text + "+0000", "%d/%m/%Y %H:%M%z").isoformat()
            yield event


def _load(engine: sa.Engine, events: list[dict[str, str | None]]) -> None:
    with database.transaction(engine) as connection:
        names = ", ".join(COLUMNS)
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY desk.event ({names}) FROM STDIN") as copy:
            for event in events:
                copy.write_row(list(event.values()))
        sql.run(
            connection,
            "INSERT INTO desk.location SELECT DISTINCT location FROM desk.event"
            " WHERE location IS NOT NULL",
        )


def _replay(engine: sa.Engine, start: int, end: int) -> None:
    """Each event as the upsert it was, in its order, some hundreds in a transaction."""
    columns = ", ".join(COLUMNS)
    updates = ", ".join(f"{name} = excluded.{name}" for name in list(COLUMNS)[1:])
    numbers = iter(range(start + 1, min(end, UPDATES) + 1))
    while chunk := list(islice(numbers, 500)):
        run(
            engine,
            "DO $$ DECLARE e record; BEGIN FOR e IN SELECT * FROM desk.event"
            f" WHERE at BETWEEN {chunk[0]} AND {chunk[-1]} ORDER BY at LOOP"
            f" INSERT INTO desk.incident ({columns})"
            f" VALUES ({', '.join(f'e.{name}' for name in COLUMNS)})"
            f" ON CONFLICT (number) DO UPDATE SET {updates}; END LOOP; END $$",
        )


def _stored(engine: sa.Engine, facet: str) -> dict[tuple[str, str | None], int]:
    with database.transaction(engine) as connection:
        rows = sql.run(
            connection, "SELECT * FROM crm_ops.facet_count WHERE facet = %(facet)s", facet=facet
        )
        return {(row.tenant, row.bucket): row.n for row in rows}


def _counted(rows: object, column: str) -> dict[tuple[str, str | None], int]:
    found: Counter[tuple[str, str | None]] = Counter()
    for row in rows:  # type: ignore[attr-defined]
        found[row["location"] or "nowhere", row[column]] += 1
    return dict(found)
