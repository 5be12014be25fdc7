"""Finds what a catalog refers to by name and does not declare, however wrong the rest of it is.

It reads the file's plain values, because a catalog with a wrong line elsewhere is no `Catalog` yet,
and all problems are to be told at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crm_ops.catalog import suggestion
from crm_ops.catalog.document import Keys


def problems(value: Any) -> Iterator[tuple[Keys, str]]:
    """Where a name in the catalog `value` leads nowhere, and what to do about it."""
    entities = _mapping(_mapping(value).get("entities"))
    yield from _tenant_columns(_mapping(value).get("tenancy"), entities)
    for name, aggregate in _mapping(_mapping(value).get("aggregates")).items():
        yield from _aggregate(("aggregates", name), _mapping(aggregate), entities)


def _tenant_columns(tenancy: Any, entities: dict[str, Any]) -> Iterator[tuple[Keys, str]]:
    mode = _mapping(tenancy).get("mode")
    for name, entity in entities.items():
        declared = _mapping(entity).get("tenant") is not None
        if mode == "column" and not declared:
            yield ("entities", name, "tenant"), "is missing; name the column with a row's tenant"
        if mode == "single" and declared:
            yield ("entities", name, "tenant"), "must go: tenancy.mode is single"


def _aggregate(
    keys: Keys, aggregate: dict[str, Any], entities: dict[str, Any]
) -> Iterator[tuple[Keys, str]]:
    name = aggregate.get("entity")
    if not isinstance(name, str):
        return
    if name not in entities:
        yield (*keys, "entity"), f"{name!r} is no entity{suggestion.of(name, entities)}"
        return
    entity = _mapping(entities[name])
    splits = {**_mapping(entity.get("facets")), **_mapping(entity.get("dimensions"))}
    by = aggregate.get("by")
    for index, dimension in enumerate(by if isinstance(by, list) else []):
        if not isinstance(dimension, str):
            continue
        if dimension not in splits:
            yield (
                (*keys, "by", index),
                f"{dimension!r} is neither a facet nor a dimension of {name}"
                + suggestion.of(dimension, splits),
            )
        elif _mapping(splits[dimension]).get("kind") == "link":
            yield (
                (*keys, "by", index),
                f"{dimension!r} is a link facet, in which a row may count twice: take it out",
            )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


__all__ = ["problems"]
