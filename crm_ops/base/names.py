"""The names of what is ours: tables of the schema `crm_ops`, Redis keys, advisory locks."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from crm_ops.base.sql import Relation

SCHEMA = "crm_ops"

RUN = Relation(SCHEMA, "run")
BATCH = Relation(SCHEMA, "batch")
FACET_COUNT = Relation(SCHEMA, "facet_count")
AGGREGATE = Relation(SCHEMA, "aggregate")
REFRESH = Relation(SCHEMA, "refresh")
PUBLISHED = Relation(SCHEMA, "published")
DEFINITION = Relation(SCHEMA, "definition")
MOMENT = Relation(SCHEMA, "moment")
CAPTURE = Relation(SCHEMA, "capture")
REBUILD_MARKER = Relation(SCHEMA, "rebuild_marker")
BITMAP_SET = Relation(SCHEMA, "bitmap_set")
BITMAP_POSITION = Relation(SCHEMA, "bitmap_position")
BITMAP = Relation(SCHEMA, "bitmap")
BITMAP_CHANGE = Relation(SCHEMA, "bitmap_change")
AUDIT_PARTITION = Relation(SCHEMA, "audit_partition")
SHARING_EPOCH = Relation(SCHEMA, "sharing_epoch")
SHARING_SEEN = Relation(SCHEMA, "sharing_seen")
ALERT = Relation(SCHEMA, "alert")
ALERT_DELIVERY = Relation(SCHEMA, "alert_delivery")

# How the names of change logs begin: of an entity's own table, of a link table.
OWN_LOG = "log"
LINK_LOG = "link"

_PREFIX = "crmops"

# Keys are made of few entities and of one tenant after the other.
_PARTS = 4_096


@lru_cache(_PARTS)
def _safe(part: str) -> str:
    """A key part that cannot be taken for two: the separator and the escape are escaped."""
    return part.replace("%", "%25").replace(":", "%3A")


def facets_key(entity: str, tenant: str) -> str:
    """The Redis key of one tenant's facet counts of one entity."""
    return f"{_PREFIX}:facets:{_safe(entity)}:{_safe(tenant)}"


def aggregates_key(aggregate: str, tenant: str) -> str:
    """The Redis key of one tenant's figures of one aggregate."""
    return f"{_PREFIX}:aggregates:{_safe(aggregate)}:{_safe(tenant)}"


def moment_key(kind: str, entity: str) -> str:
    """The Redis key of the moment as of which all tenants' figures of an entity are exact."""
    return f"{_PREFIX}:moment:{_safe(kind)}:{_safe(entity)}"


def bounded(*parts: str) -> str:
    """`parts` joined as a name that PostgreSQL can hold; a long one ends in its checksum."""
    name = "_".join(parts)
    if len(name.encode()) < 64:
        return name
    return f"{name[:50]}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def sharing_key(entity: str, tenant: str) -> str:
    """The Redis key of one tenant's sharing rules for one entity."""
    return f"{_PREFIX}:sharing:{_safe(entity)}:{_safe(tenant)}"


def organisation_key(tenant: str) -> str:
    """The Redis key of one tenant's users, roles and default access."""
    return f"{_PREFIX}:organisation:{_safe(tenant)}"


def alert_key(incident: str) -> str:
    """The Redis key that says that people were told of an incident which cannot be recorded."""
    return f"{_PREFIX}:alert:{_safe(incident)}"


__all__ = [
    "AGGREGATE",
    "ALERT",
    "ALERT_DELIVERY",
    "AUDIT_PARTITION",
    "BATCH",
    "BITMAP",
    "BITMAP_CHANGE",
    "BITMAP_POSITION",
    "BITMAP_SET",
    "CAPTURE",
    "DEFINITION",
    "FACET_COUNT",
    "LINK_LOG",
    "MOMENT",
    "OWN_LOG",
    "PUBLISHED",
    "REBUILD_MARKER",
    "REFRESH",
    "RUN",
    "SCHEMA",
    "SHARING_EPOCH",
    "SHARING_SEEN",
    "aggregates_key",
    "alert_key",
    "bounded",
    "facets_key",
    "moment_key",
    "organisation_key",
    "sharing_key",
]
