"""How full the caches were after they were last warmed, and what had to be repaired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import sql, statements

_KINDS = ("sharing", "facets", "aggregates")
# A month of nights.
_RUNS = 30


@dataclass(frozen=True)
class Filled:
    """So many values of a kind were in Redis of those wanted, right after they were written."""

    kind: str
    present: int
    wanted: int


@dataclass(frozen=True)
class Caches:
    """What the warming that began at `warmed_at` left (None: there was none), and the epochs.

    `runs` warmings were looked at for the sums: `sharing_repaired` tenants whose sharing had been
    changed past its triggers, `repaired_tenants` whose figures had drifted in `differing_figures`
    places, of `proved_tenants` proofs. `epochs` scopes have moved since epochs are kept, which
    they are not where `epochs_kept` is false; `rules_broken` sharing rules grant nothing.
    """

    warmed_at: datetime | None
    filled: tuple[Filled, ...]
    rules_broken: int
    runs: int
    sharing_repaired: int
    proved_tenants: int
    differing_figures: int
    repaired_tenants: int
    epochs_kept: bool
    epochs: int


def read(connection: sa.Connection) -> Caches:
    """Read the last warmings from the ledger, and count the epochs."""
    load = statements.load("crm_ops.jobs")
    warmings = sql.run(connection, load["warmings"], most=_RUNS).all()
    epochs = sql.run(connection, load["epochs"]).one()
    newest = warmings[0].details if warmings else {}

    def total(name: str) -> int:
        return sum(each.details.get(name, 0) for each in warmings)

    return Caches(
        warmed_at=warmings[0].started_at if warmings else None,
        filled=tuple(
            Filled(kind, newest.get(f"{kind}_present", 0), newest[f"{kind}_wanted"])
            for kind in _KINDS
            if newest.get(f"{kind}_wanted")
        ),
        rules_broken=newest.get("sharing_rules_broken", 0),
        runs=len(warmings),
        sharing_repaired=total("sharing_repaired"),
        proved_tenants=total("proved_tenants"),
        differing_figures=total("differing_figures"),
        repaired_tenants=total("repaired_tenants"),
        epochs_kept=epochs.kept,
        epochs=epochs.scopes,
    )


__all__ = ["Caches", "Filled", "read"]
