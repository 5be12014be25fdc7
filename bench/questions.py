"""What is asked of a tenant's leads: the values that its rows have, so common ones more often."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from bench import tenants
from crm_ops.base import database, sql
from crm_ops.catalog.facets import LinkFacet
from crm_ops.fold import splits
from crm_ops.read.layout import Layout

# Of a hundred searches so many have no, one, two and three filters.
MIX = (25, 35, 25, 15)
# The facets that people filter by.
FILTERED = ("status", "source", "industry", "owner", "score", "created_month")
# One filter in so many asks for two values.
_TWO_VALUES = 4
_SAMPLES = 500

Row = Mapping[str, str | None]


@dataclass(frozen=True)
class Question:
    """A search of one tenant: of each filtered facet one of some buckets.

    Only what `user` sees and `text` finds; `kind` says what is asked.
    """

    tenant: str
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    user: str | None = None
    text: str = ""
    kind: str = ""


def make(engine: sa.Engine, layout: Layout, tenant: str, number: int) -> list[Question]:
    """So many different questions, mixed; always the same ones for the same rows.

    The first ones have each number of filters, for ways that are too slow to answer many.
    """
    chance = random.Random(f"{tenant} {number}")
    rows = _samples(engine, layout, tenant)
    every = range(len(MIX))
    wanted = [*every, *chance.choices(every, MIX, k=number - len(MIX))]
    return [Question(tenant, dict(_filters(rows, filters, chance))) for filters in wanted]


USERS = {
    "a seller, own leads and shared ones": 40,
    "the head of all sellers": 0,
    "a team with a rule, by buckets": 41,
    "a rule that cuts a bucket": 299,
}
"""Who asks, by the number of the user."""

ADDRESS, NAME, WORD = "an address", "a full name", "a first name, two filters"


def narrowed(engine: sa.Engine, layout: Layout, tenant: str, number: int) -> list[Question]:
    """So many questions of each kind that a user or a text narrows, with up to two filters."""
    chance = random.Random(f"{tenant} narrowed")
    rows, texts = _samples(engine, layout, tenant), _texts(engine, tenant)

    def filters(most: int) -> dict[str, tuple[str, ...]]:
        return dict(_filters(rows, most, chance))

    found = [
        Question(tenant, filters(at % 3), user=tenants.user(tenant, who), kind=kind)
        for at in range(number)
        for kind, who in USERS.items()
    ]
    for at in range(number):
        name, email = chance.choice(texts)
        found += [
            Question(tenant, filters(at % 2), text=email.partition("@")[0], kind=ADDRESS),
            Question(tenant, filters(at % 2), text=name, kind=NAME),
            Question(tenant, filters(2), text=name.split()[0], kind=WORD),
        ]
    return found


def _texts(engine: sa.Engine, tenant: str) -> list[tuple[str, str]]:
    """The name and the address of some rows."""
    with database.transaction(engine) as connection:
        rows = sql.run(
            connection,
            "SELECT name, email FROM crm.lead WHERE company_id = %(tenant)s"
            " AND deleted_at IS NULL AND email IS NOT NULL AND name ~ '^[A-Za-z ]+$'"
            f" ORDER BY md5(id::text) LIMIT {_SAMPLES}",
            tenant=tenant,
        )
        return [(row.name, row.email) for row in rows]


def _filters(
    rows: Sequence[Row], number: int, chance: random.Random
) -> Iterator[tuple[str, tuple[str, ...]]]:
    row = chance.choice(rows)
    able = [name for name in FILTERED if row[name] is not None]
    for name in chance.sample(able, min(number, len(able))):
        wanted = {str(row[name])}
        if chance.randrange(_TWO_VALUES) == 0:
            wanted.add(chance.choice(rows)[name] or str(row[name]))
        yield name, tuple(sorted(wanted))


def _samples(engine: sa.Engine, layout: Layout, tenant: str) -> list[Row]:
    """The buckets of some rows."""
    made = {name: split(layout, name) for name in FILTERED}
    columns = ", ".join(f"{each.text(each.key)} AS {name}" for name, each in made.items())
    with database.transaction(engine) as connection:
        rows = sql.run(
            connection,
            f"SELECT {columns} FROM crm.lead AS r WHERE company_id = %(tenant)s"
            f" AND deleted_at IS NULL ORDER BY md5(id::text) LIMIT {_SAMPLES}",
            tenant=tenant,
        )
        return [dict(row) for row in rows.mappings()]


def split(layout: Layout, name: str) -> splits.Split:
    """A facet as SQL over the row `r`."""
    facet = layout.entity.facets[name]
    assert not isinstance(facet, LinkFacet)
    return splits.make(name, facet, layout.counted.types, layout.counted.catalog.time_zone)


__all__ = ["ADDRESS", "MIX", "NAME", "USERS", "WORD", "Question", "make", "narrowed", "split"]
