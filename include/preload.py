"""Imports what tasks need where they are forked from: once, instead of in each of them.

Opens no connection and reads no environment.
"""

from __future__ import annotations

import importlib

from crm_ops.jobs import registry


def for_tasks() -> None:
    """Import the jobs, and what opens and tells of them."""
    for module in ("crm_ops.jobs.run", "include.tools", "include.telling"):
        importlib.import_module(module)
    for job in registry.JOBS.values():
        importlib.import_module(job.module)


__all__ = ["for_tasks"]
