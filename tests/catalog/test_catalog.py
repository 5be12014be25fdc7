"""The catalog as a whole refuses names that lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from crm_ops.catalog.catalog import Catalog

TIMING = {
    "schedule": "0 3 * * *",
    "deadline_minutes": 30,
    "timeout_minutes": 60,
    "pool": "workflow_io",
}
JOBS = ("precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches")
COLUMN = {"mode": "column", "table": "crm.company"}


def declared(**parts: Any) -> Catalog:
    return Catalog.model_validate(
        {
            "version": 1,
            "tenancy": {"mode": "single"},
            "entities": {"deal": {"table": "crm.deal", "facets": {"stage": {"column": "stage"}}}},
            "jobs": dict.fromkeys(JOBS, TIMING),
            **parts,
        }
    )


def told(**parts: Any) -> dict[str, str]:
    """What is wrong, by path."""
    with pytest.raises(ValidationError) as caught:
        declared(**parts)
    problems = caught.value.errors()
    return {".".join(map(str, problem["loc"])): problem["msg"] for problem in problems}


def test_a_catalog_needs_a_version_tenancy_an_entity_and_the_jobs() -> None:
    catalog = declared()
    assert (catalog.time_zone, catalog.aggregates, catalog.audit) == ("UTC", {}, None)


def test_where_tenants_are_a_column_every_entity_names_it() -> None:
    assert told(tenancy=COLUMN) == {
        "entities.deal.tenant": "is missing; name the column with a row's tenant"
    }


def test_where_there_is_one_tenant_no_entity_names_a_column() -> None:
    entities = {"deal": {"table": "crm.deal", "tenant": "company_id"}}
    assert told(entities=entities) == {"entities.deal.tenant": "must go: tenancy.mode is single"}


def test_an_aggregate_is_of_a_declared_entity_by_its_declared_splits() -> None:
    measures = {"n": {"count": "rows"}}
    assert told(
        aggregates={
            "one": {"entity": "daal", "measures": measures},
            "two": {"entity": "deal", "by": ["stage", "phase"], "measures": measures},
        }
    ) == {
        "aggregates.one.entity": "'daal' is no entity; did you mean deal?",
        "aggregates.two.by.1": (
            "'phase' is neither a facet nor a dimension of deal; there are stage"
        ),
    }


def test_names_that_lead_nowhere_are_told_together_with_everything_else() -> None:
    problems = told(tenancy=COLUMN, aggregates={"one": {"entity": "deal", "by": ["phase"]}})
    assert set(problems) == {
        "aggregates.one.measures",
        "aggregates.one.by.0",
        "entities.deal.tenant",
    }


def test_a_split_is_a_facet_or_a_dimension() -> None:
    stage = {"stage": {"column": "stage"}}
    entities = {"deal": {"table": "crm.deal", "facets": stage, "dimensions": stage}}
    assert "keep one" in told(entities=entities)["entities.deal"]
