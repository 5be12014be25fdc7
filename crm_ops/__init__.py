"""CRM Ops keeps a CRM's facet counts, report aggregates, audit log and caches exact and fast.

What a CRM calls is here: `load_catalog`, `engine` and `redis_client` once in a process, and a
`Reader` made of them. Each name is imported at its first use, so that the package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_ops.base.errors import CrmOpsError, ParameterError
    from crm_ops.read.answers import Answer, Bucket, Facet, Group, Report
    from crm_ops.read.connect import engine, load_catalog, redis_client
    from crm_ops.read.reader import Reader

__version__ = "0.1.0"

_HOMES = {
    "Answer": "crm_ops.read.answers",
    "Bucket": "crm_ops.read.answers",
    "CrmOpsError": "crm_ops.base.errors",
    "Facet": "crm_ops.read.answers",
    "Group": "crm_ops.read.answers",
    "ParameterError": "crm_ops.base.errors",
    "Reader": "crm_ops.read.reader",
    "Report": "crm_ops.read.answers",
    "engine": "crm_ops.read.connect",
    "load_catalog": "crm_ops.read.connect",
    "redis_client": "crm_ops.read.connect",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


__all__ = [
    "Answer",
    "Bucket",
    "CrmOpsError",
    "Facet",
    "Group",
    "ParameterError",
    "Reader",
    "Report",
    "__version__",
    "engine",
    "load_catalog",
    "redis_client",
]
