"""An error names the thing and the remedy, in a message of bounded size."""

from __future__ import annotations

import pytest

from crm_ops.base import errors

EVERY = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", EVERY, ids=errors.__all__)
def test_every_error_is_one_of_ours_and_says_something(kind: type[errors.CrmOpsError]) -> None:
    assert issubclass(kind, errors.CrmOpsError)
    assert kind.__doc__
    if kind not in (errors.CatalogError, errors.TenantsFailed):
        assert str(kind()) == kind.__doc__
        assert str(kind("the table crm.lead is not there")) == "the table crm.lead is not there"


def test_all_problems_of_a_catalog_are_told_at_once() -> None:
    assert str(errors.CatalogError(["a.yaml:1: first", "a.yaml:9: second"])) == (
        "the catalog has 2 problems, nothing was written:\n  a.yaml:1: first\n  a.yaml:9: second"
    )
    assert "has 1 problem, nothing" in str(errors.CatalogError(["a.yaml:1: only"]))


def test_failed_tenants_are_named_the_first_few_with_their_reason() -> None:
    assert str(errors.TenantsFailed({"7": "too many values"})) == (
        "1 tenant(s) failed: 7: too many values"
    )
    many = errors.TenantsFailed({str(tenant): "why" for tenant in range(1_000)})
    assert str(many).startswith("1000 tenant(s) failed: 0: why; 1: why;")
    assert str(many).endswith("; and 995 more")
    assert len(many.failures) == 1_000
