"""Fills Redis with the sharing rules of every tenant and entity, before anybody asks for them.

Running it twice does no harm: each value is written whole over what was there. Redis is a fill
level, never an authority, so nothing is deleted, and a value that is missing costs one query.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import database, errors, names, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import codec, rules, signing
from crm_ops.sharing.rules import Broken, Loaded

_log = logging.getLogger(__name__)

# Longer than a day, so that one night's values last until the next night's; spread over an hour, so
# that they do not all expire at once.
_EXPIRY_S = 26 * 3600
_JITTER_S = 3600

# Tenants held in memory at a time.
_CHUNK = 200

# Broken rules that are told one by one; the rest are only counted.
_TOLD = 100


@dataclass(frozen=True)
class Warmed:
    """What a warming did, in numbers.

    `pairs` of tenant and entity were wanted; `rules` were read for them; `written` values hold
    `bytes_written`; `present` pairs were in Redis afterwards. `broken` are the rules that grant
    nothing (the first hundred; `broken_rules` counts all), `failures` the tenants whose rules could
    not be read, and why.
    """

    pairs: int = 0
    rules: int = 0
    written: int = 0
    bytes_written: int = 0
    present: int = 0
    broken_rules: int = 0
    broken: tuple[Broken, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Pairs that are not in Redis."""
        return self.pairs - self.present

    @property
    def coverage(self) -> float:
        """The share of pairs that are in Redis, 0 to 1; 1 where none is wanted."""
        return self.present / self.pairs if self.pairs else 1.0


def warm(
    engine: sa.Engine,
    client: store.Client,
    catalog: Catalog,
    tenants: Sequence[str],
    entities: Sequence[str],
    *,
    signing_key: bytes | None,
    now: datetime,
    dry_run: bool,
) -> Warmed:
    """Write the rules of all `tenants` x `entities`, each named once; then look what is there.

    A tenant whose rules cannot be read does not stop the others. A dry run reads all the same and
    writes nothing. SettingsError without a signing key; raises where PostgreSQL or Redis is away.
    """
    key = signing.required(signing_key)
    if catalog.sharing is None:
        return Warmed()
    chunks = [tenants[at : at + _CHUNK] for at in range(0, len(tenants), _CHUNK)]
    done = Warmed(pairs=len(tenants) * len(entities))
    for chunk in chunks:
        loaded, failures = _load(engine, catalog, chunk, entities)
        values = {} if dry_run else _values(loaded, now, key)
        _write(client, values)
        done = _with(done, loaded, failures, values)
    # Only now: a Redis that is full drops the first values while the last are written.
    return replace(done, present=sum(_present(client, chunk, entities) for chunk in chunks))


def _load(
    engine: sa.Engine, catalog: Catalog, tenants: Sequence[str], entities: Sequence[str]
) -> tuple[Loaded, dict[str, str]]:
    """What can be read, and by tenant why not; halved until the tenants at fault stand alone."""
    try:
        with database.transaction(engine) as connection:
            return rules.load(connection, catalog, tenants, entities), {}
    except errors.DataError as error:
        if len(tenants) == 1:
            return Loaded({}, ()), {tenants[0]: str(error)}
    half = len(tenants) // 2
    first, first_failures = _load(engine, catalog, tenants[:half], entities)
    second, second_failures = _load(engine, catalog, tenants[half:], entities)
    return (
        Loaded({**first.rules, **second.rules}, first.broken + second.broken),
        first_failures | second_failures,
    )


def _values(loaded: Loaded, now: datetime, signing_key: bytes) -> dict[str, bytes]:
    return {
        names.sharing_key(entity, tenant): codec.encode(
            codec.Entry(tenant, entity, 0, now, found), signing_key
        )
        for (tenant, entity), found in loaded.rules.items()
    }


def _write(client: store.Client, values: Mapping[str, bytes]) -> None:
    with store.translated(client), client.pipeline(transaction=False) as pipeline:
        for name, value in values.items():
            # The same key always gets the same jitter: nothing random, nothing to remember.
            pipeline.set(name, value, ex=_EXPIRY_S + zlib.crc32(name.encode()) % _JITTER_S)
        pipeline.execute()


def _with(
    done: Warmed, loaded: Loaded, failures: Mapping[str, str], values: Mapping[str, bytes]
) -> Warmed:
    for each in loaded.broken[: _TOLD - len(done.broken)]:
        _log.warning(
            "sharing rule %s of tenant %s grants nothing: %s",
            each.rule,
            each.tenant,
            each.why,
            extra={"action": "sharing_rule_broken", "tenant": each.tenant, "rule": each.rule},
        )
    return replace(
        done,
        rules=done.rules + sum(len(found) for found in loaded.rules.values()),
        written=done.written + len(values),
        bytes_written=done.bytes_written + sum(len(value) for value in values.values()),
        broken_rules=done.broken_rules + len(loaded.broken),
        broken=(done.broken + loaded.broken)[:_TOLD],
        failures={**done.failures, **failures},
    )


def _present(client: store.Client, tenants: Sequence[str], entities: Sequence[str]) -> int:
    wanted = [names.sharing_key(entity, tenant) for tenant in tenants for entity in entities]
    with store.translated(client):
        return int(client.exists(*wanted)) if wanted else 0


__all__ = ["Warmed", "warm"]
