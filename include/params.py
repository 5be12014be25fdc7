"""The trigger form of a DAG: what a run can be asked, checked by Airflow before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.sdk import Param

from crm_ops.catalog.schedule import JobName


def form(job: JobName, entities: Sequence[str]) -> dict[str, Param]:
    """The parameters of `job`; `entities` are the names that may be chosen.

    An empty list, or null, which the form sends for an empty field, means all.
    """
    whole = " The audit log is one table and kept as a whole: it does not matter here."
    note = whole if job == "audit_maintenance" else ""
    verifies = job in ("precompute_facets", "precompute_aggregates")
    return {
        "entities": Param(
            [],
            title="Entities",
            description="Only these kinds of record. Empty: all." + note,
            type=["null", "array"],
            items={"type": "string", "enum": list(entities)},
            # Makes the form a list to choose from.
            examples=list(entities),
        ),
        "tenants": Param(
            [],
            title="Tenants",
            description="Only these tenants, one key in each line. Empty: all active ones." + note,
            type=["null", "array"],
            items={"type": "string", "minLength": 1},
        ),
        "mode": Param(
            "auto",
            title="Mode",
            description="How figures are brought up to date: auto folds the changes where that is"
            " exact, incremental refuses elsewhere, full counts anew."
            + (" verify changes none, and compares them with the rows." if verifies else ""),
            type="string",
            enum=["auto", "incremental", "full", *(["verify"] if verifies else [])],
        ),
        "dry_run": Param(
            False,
            title="Dry run",
            description="See and count everything, write nothing.",
            type="boolean",
        ),
    }


__all__ = ["form"]
