"""Searches that a user or a text narrows, in a tenant with bitmaps: as looking through the rows is.

The office's book says who sees what; what is counted here is counted from its rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import install as capture
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.rows import Counted
from crm_ops.read import connect, indexes, told
from crm_ops.read.access import Access
from crm_ops.read.answers import Answer
from crm_ops.read.reader import Reader
from crm_ops.schema import migrate
from crm_ops.sharing import install
from crm_ops.sources import tables
from tests.read import wire
from tests.read.test_access import offices
from tests.sharing import office
from tests.sharing.office import READ, Office

BOUNDS = [Decimal(0), Decimal("2.5")]
FACETS = {
    "owner": {"column": "owner_id"},
    "text": {"column": "100% text"},
    "stage": {"column": "stage"},
    "size": {"column": "size"},
    "amount": {"kind": "ranges", "column": "amount", "bounds": [0, 2.5]},
    "hot": {"column": "hot"},
    "born": {"kind": "date", "column": "born", "bucket": "month"},
    "seen": {"kind": "date", "column": "seen", "bucket": "year"},
}


def _catalog() -> Catalog:
    whole = office.catalog().model_dump(mode="json", by_alias=True)
    lead = whole["entities"]["lead"]
    lead |= {"facets": FACETS, "search": {"columns": ["size"], "text": ["100% text"]}}
    whole["limits"]["bitmaps_from_rows"] = 1
    return Catalog.model_validate(whole)


CATALOG = _catalog()


@pytest.fixture
def owner(database: sa.Engine) -> sa.Engine:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, CATALOG)
    with databases.transaction(database) as connection:
        steps = capture.plan(connection, CATALOG)
    capture.apply(database, steps)
    return database


@pytest.fixture
def engine(owner: sa.Engine) -> Iterator[sa.Engine]:
    made = connect.engine(owner.url.render_as_string(hide_password=False))
    yield made
    made.dispose()


@pytest.fixture
def reader(engine: sa.Engine) -> Reader:
    with databases.transaction(engine) as connection:
        return Reader(CATALOG, engine, access=Access(connection, CATALOG), signing_key=b"k" * 32)


def count(engine: sa.Engine) -> None:
    """Fold what changed, and count those anew who cannot be folded."""
    relation = sql.Relation.parse("office.lead")
    with databases.transaction(engine) as connection:
        types = tables.inspect(connection, [relation])[relation].columns
    counted = Counted(CATALOG, "lead", types)
    refresh.fold(engine, counted)
    rebuild.facet_counts(engine, counted, refresh.uncaptured(engine, counted, ["1", "2"]))


def buckets(lead: Sequence[Any]) -> dict[str, str | None]:
    """The bucket of a lead, by facet."""
    _, _, owned, text, stage, size, amount, hot, born, seen, *_ = lead
    return {
        "owner": None if owned is None else str(owned),
        "text": text,
        "stage": stage,
        "size": None if size is None else str(size),
        "amount": _range(amount),
        "hot": None if hot is None else str(hot).lower(),
        "born": None if born is None else f"{born:%Y-%m}",
        "seen": None if seen is None else f"{seen:%Y}",
    }


def _range(amount: Decimal | None) -> str | None:
    if amount is None:
        return None
    # PostgreSQL holds not-a-number for the largest.
    at = sum(amount.is_nan() or amount >= bound for bound in BOUNDS)
    return ["..0", "0..2.5", "2.5.."][at]


def says(lead: Sequence[Any], text: str) -> bool:
    """Whether a text finds a lead."""
    held, wanted = (lead[3] or "").lower(), text.strip().lower()
    words = re.findall(r"[^\W_]+", held)
    asked = re.findall(r"[^\W_]+", wanted)
    by_words = asked and all(any(word.startswith(each) for word in words) for each in asked)
    return not wanted or bool(lead[3] is not None and held.startswith(wanted)) or bool(by_words)


def expected(
    book: Office, user: int | None, text: str, filters: Mapping[str, Sequence[str | None]]
) -> tuple[list[int], dict[str, dict[Any, int]]]:
    """The keys of the leads of company 1, and every facet's counts."""
    narrowed = [
        lead
        for lead in book.leads
        if lead[1] == 1
        and lead[-1] is None
        and says(lead, text)
        and (user is None or office.level(book, 1, user, lead[0]))
    ]

    def kept(but: str | None = None) -> list[Sequence[Any]]:
        return [
            lead
            for lead in narrowed
            if all(buckets(lead)[name] in each for name, each in filters.items() if name != but)
        ]

    counts = {name: dict(Counter(buckets(lead)[name] for lead in kept(name))) for name in FACETS}
    return sorted(lead[0] for lead in kept()), counts


def shown(answer: Answer) -> dict[str, dict[Any, int]]:
    return {
        name: {bucket.value: bucket.count for bucket in facet.buckets}
        for name, facet in answer.facets.items()
    }


FILTERS = {
    "owner": ["1", "2", "3", None],
    "stage": ["new", "won", None],
    "size": ["0", "1", "-5", None],
    "amount": ["..0", "0..2.5", "2.5..", None],
    "hot": ["true", "false", None],
    "born": ["2026-01", "1999-12", None],
}
wanted = st.lists(st.sampled_from(sorted(FILTERS)), max_size=3, unique=True).flatmap(
    lambda chosen: st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(FILTERS[name]), min_size=1, max_size=3) for name in chosen}
    )
)
texts = st.sampled_from(["", "", "a", "B", "100", "100%", "o'x", "x o", "zzz"])


@pytest.mark.usefixtures("counting")
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    before=offices(),
    after=offices(),
    asked=st.lists(
        st.tuples(st.none() | st.integers(1, 5), texts, wanted, st.booleans(), st.integers(1, 9)),
        min_size=4,
        max_size=6,
    ),
)
def test_whoever_asks_for_whatever_the_answer_equals_looking_through_the_rows(
    reader: Reader, engine: sa.Engine, owner: sa.Engine, before: Office, after: Office, asked: Any
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for book, fold in ((before, True), (after, False)):
            office.fill(owner, book)
            if fold:
                count(owner)
            for user, text, filters, cheap, limit in asked:
                patch.setattr(told, "_LOOKED_AT_MS", 1e-9 if cheap else 0.02)
                if user is None and not text:
                    continue
                keys, counts = expected(book, user, text, filters)
                seen: list[int] = []
                after_: str | None = None
                while True:
                    answer = reader.search(
                        "lead",
                        tenant=1,
                        as_user=user,
                        text=text,
                        filters=filters,
                        sort="id",
                        limit=limit,
                        after=after_,
                    )
                    assert answer.total == len(keys)
                    assert shown(answer) == counts
                    seen += [int(str(row["id"])) for row in answer.rows]
                    after_ = answer.next
                    if after_ is None:
                        break
                assert seen == keys


def lead(key: int, owner: int | None = None, *, text: str = "", size: int = 0) -> tuple[Any, ...]:
    return (key, 1, owner, text, "new", size, None, None, None, None, None, None)


def firm(rules: Sequence[tuple[Any, ...]] = (), shares: Sequence[Any] = ()) -> Office:
    """A private company: user 1 is above user 2; 200 leads are user 2's, 200 nobody's."""
    return Office(
        companies=[(1, "private"), (2, "private")],
        roles=[(1, 1, None), (2, 1, 1)],
        users=[(1, 1, 1, True), (2, 1, 2, True), (3, 1, None, True)],
        rules=list(rules),
        shares=list(shares),
        leads=[lead(key, 2 if key <= 200 else None, size=key % 4) for key in range(1, 401)],
    )


def rule(predicate: object, user: int = 3) -> tuple[Any, ...]:
    return (1, 1, "lead", predicate, "user", user, READ, True)


def ask(reader: Reader, user: int | None, **more: Any) -> Answer:
    """Twice: the first time the process has no bitmaps yet."""
    reader.search("lead", tenant=1, as_user=user, sort="id", **more)
    return reader.search("lead", tenant=1, as_user=user, sort="id", **more)


def trips(answer: Answer) -> int:
    return [step.where for step in answer.steps].count("postgres")


def test_who_owns_a_row_what_a_rule_tests_and_what_is_shared_is_told_in_one_trip(
    reader: Reader, owner: sa.Engine
) -> None:
    predicate = {"and": [{"eq": ["size", 1]}, {"not": {"is_null": ["owner_id"]}}]}
    office.fill(owner, firm([rule(predicate)], [(400, 3, READ)]))
    count(owner)

    for user, total in ((1, 200), (2, 200), (3, 51), (4, 0)):
        answer = ask(reader, user, filters={"stage": "new"}, limit=60)
        assert (answer.total, answer.source, trips(answer)) == (total, "bitmaps", 1)
        assert len(answer.rows) == min(total, 60)
        assert shown(answer)["stage"] == ({"new": total} if total else {})
    assert ask(reader, 3).rows[-1]["id"] == 197
    assert ask(reader, 3, limit=60).rows[-1]["id"] == 400


def test_what_changed_since_the_refresh_is_counted_as_it_is_now(
    reader: Reader, owner: sa.Engine
) -> None:
    office.fill(owner, firm())
    count(owner)
    before = ask(reader, 2)
    with databases.transaction(owner) as connection:
        sql.run(connection, "UPDATE office.lead SET owner_id = NULL, size = 9 WHERE id = 1")
        sql.run(connection, "UPDATE office.lead SET owner_id = 2, size = 9 WHERE id = 400")
        sql.run(connection, "UPDATE office.lead SET size = 9 WHERE id IN (2, 300)")
        sql.run(connection, "DELETE FROM office.lead WHERE id = 3")

    after = ask(reader, 2)

    assert (before.total, after.total, after.source) == (200, 199, "bitmaps")
    assert shown(after)["size"] == {"0": 50, "1": 49, "2": 49, "3": 49, "9": 2}
    assert after.as_of > before.as_of
    assert after.rows[0]["id"] == 2


def test_a_rule_that_draws_its_line_within_a_bucket_is_decided_by_the_rows_where_it_pays(
    reader: Reader, owner: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.fill(owner, firm([rule({"gt": ["amount", 1]})]))
    with databases.transaction(owner) as connection:
        sql.run(connection, "UPDATE office.lead SET amount = mod(id, 3) WHERE id <= 30")
    count(owner)

    dear = ask(reader, 3)
    monkeypatch.setattr(told, "_READ_MS", 10.0)
    cheap = ask(reader, 3)

    assert (dear.source, cheap.source) == ("sql", "bitmaps")
    assert dear.total == cheap.total == 10
    assert shown(dear) == shown(cheap)
    assert any("30 to be looked at" in step.what for step in cheap.steps)


def test_a_text_is_looked_for_in_the_rows_that_filters_leave(
    reader: Reader, owner: sa.Engine
) -> None:
    book = firm()
    book.leads[:] = [lead(key, key % 5, text=f"Acme {key}", size=key % 4) for key in range(1, 401)]
    office.fill(owner, book)
    count(owner)

    answer = ask(reader, None, text="acme 39", filters={"owner": ["1"], "size": ["3", "2"]})

    assert [row["id"] for row in answer.rows] == [391]
    assert (answer.total, answer.source, trips(answer)) == (1, "bitmaps", 1)
    assert shown(answer)["owner"] == {"0": 2, "1": 1, "3": 1, "4": 3}


@pytest.mark.parametrize("user", [None, 2])
def test_a_table_that_was_emptied_is_not_served_from_bitmaps(
    reader: Reader, owner: sa.Engine, user: int | None
) -> None:
    office.fill(owner, firm())
    count(owner)
    asked: dict[str, Any] = {
        "filters": {"size": ["1"], "owner": ["2"]},
        "text": "" if user else "x",
    }
    ask(reader, user, **asked)
    with databases.transaction(owner) as connection:
        sql.run(connection, "TRUNCATE office.lead")

    answer = ask(reader, user, **asked)

    assert (answer.total, answer.rows, answer.source) == (0, (), "sql")


def test_a_grant_that_is_revoked_ends_with_its_commit(reader: Reader, owner: sa.Engine) -> None:
    office.fill(owner, firm([rule({"eq": ["size", 1]})], [(400, 3, READ)]))
    count(owner)
    assert ask(reader, 3).total == 101
    with databases.transaction(owner) as connection:
        sql.run(connection, "DELETE FROM office.share")
    assert ask(reader, 3).total == 100
    with databases.transaction(owner) as connection:
        sql.run(connection, "UPDATE office.rule SET is_active = false")

    answer = reader.search("lead", tenant=1, as_user=3)

    assert (answer.total, answer.rows) == (0, ())
    assert shown(answer)["size"] == {}


def test_where_more_changed_than_is_worth_looking_at_the_rows_are_counted(
    reader: Reader, owner: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.fill(owner, firm())
    count(owner)
    ask(reader, 2)
    monkeypatch.setattr(told, "_LOOKED_AT_MS", 1.0)
    with databases.transaction(owner) as connection:
        sql.run(connection, "UPDATE office.lead SET size = 7")

    answer = ask(reader, 2)

    assert (answer.total, answer.source) == (200, "sql")
    assert shown(answer)["size"] == {"7": 200}


def test_to_search_as_a_user_without_triggers_is_refused(reader: Reader, owner: sa.Engine) -> None:
    office.fill(owner, firm())
    with databases.transaction(owner) as connection:
        sql.run(connection, "DELETE FROM crm_ops.sharing_epoch")
    with pytest.raises(errors.SettingsError, match="crm-ops catalog apply"):
        reader.search("lead", tenant=1, as_user=2)


@pytest.fixture
def crowd(owner: sa.Engine) -> sa.Engine:
    """So many leads that none is found by a scan, with the indexes that texts want."""
    office.fill(owner, firm())
    with databases.transaction(owner) as connection:
        sql.run(
            connection,
            'INSERT INTO office.lead (id, company_id, owner_id, "100%% text", size)'
            " SELECT n, 1, n %% 50, 'Acme ' || n, n %% 20 FROM generate_series(1000, 15000) AS n",
        )
    with databases.autocommit(owner) as connection:
        for statement in indexes.statements(CATALOG):
            sql.run(connection, statement.replace("%", "%%"))
        sql.run(connection, "VACUUM ANALYZE office.lead")
    count(owner)
    with databases.autocommit(owner) as connection:
        sql.run(connection, "VACUUM ANALYZE crm_ops.bitmap_position")
    return owner


def plan(engine: sa.Engine, answer: Answer) -> str:
    """How the last statement was run."""
    step = answer.steps[-1]
    assert step.statement is not None
    with databases.autocommit(engine) as connection:
        asked = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {step.statement}"
        lines = sql.run(connection, asked, dict(step.values or {})).scalars().all()
    # What a CASE does not need is in the plan, and never run.
    return "\n".join(line for line in lines if "(never executed)" not in line)


def test_rows_left_open_are_looked_at_by_their_keys(
    reader: Reader, crowd: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "_TEXT_MS", 100.0)

    answer = ask(reader, None, text="acme 12", filters={"owner": ["1"], "size": ["1"]})

    assert (answer.total, answer.source) == (11, "bitmaps")
    found = plan(crowd, answer)
    assert "lead_pkey" in found
    assert "Seq Scan on lead" not in found


@pytest.mark.parametrize(("text", "total"), [("acme 123", 110), ("nothing", 0)])
def test_few_rows_that_a_text_finds_are_read_once_by_its_index(
    reader: Reader, crowd: sa.Engine, text: str, total: int
) -> None:
    answer = ask(reader, None, text=text, filters={"stage": [None]})

    assert (answer.total, answer.source, trips(answer)) == (total, "sql", 1)
    found = plan(crowd, answer)
    assert "crm_ops_lead_words" in found
    assert found.count("on lead r") == 1


@pytest.mark.parametrize("user", ["x", "1 OR 1=1", "9" * 40, ""])
def test_what_is_no_key_of_a_user_is_refused(reader: Reader, owner: sa.Engine, user: str) -> None:
    office.fill(owner, firm())
    with pytest.raises(errors.ParameterError, match=r"user: .* is no"):
        reader.search("lead", tenant=1, as_user=user)


def test_an_answer_for_a_user_takes_one_trip_on_the_wire(
    engine: sa.Engine, owner: sa.Engine
) -> None:
    office.fill(owner, firm([rule({"eq": ["size", 1]})], [(400, 3, READ)]))
    count(owner)
    with wire.to(str(owner.url.host), owner.url.port or 5432) as line:
        url = engine.url.set(host="127.0.0.1", port=line.port)
        made = connect.engine(url.render_as_string(hide_password=False))
        with databases.transaction(made) as connection:
            access = Access(connection, CATALOG)
        reader = Reader(CATALOG, made, access=access)
        ask(reader, 3)
        line.trips = 0

        answer = reader.search("lead", tenant=1, as_user=3, filters={"stage": "new"})

        assert (answer.total, answer.source, line.trips) == (101, "bitmaps", 1)
        made.dispose()
