"""Which tenants and entities a counting job takes, in which batches; none is hidden from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import errors, names
from crm_ops.changes import install
from crm_ops.jobs import counting, facets
from crm_ops.jobs.work import Request, Tools, Work
from tests.jobs.conftest import execute, go, rows, stored

TENANTS = [str(tenant) for tenant in range(1, 15) if tenant != 13]
WAITING = "SELECT count(*) FROM crm_ops.log_lead"
OWN_ROWS = "current_setting('app.tenant_id', true)"


def planned(tools: Tools, *entities: str, tenants: tuple[str, ...] = ()) -> list[Work]:
    return facets.plan(Request(entities, tenants), tools)


def groups(work: list[Work]) -> list[list[str]]:
    return [piece.arguments["tenants"] for piece in work]


class TestBatches:
    def test_tenants_are_put_together_up_to_so_many_rows(
        self, changed: Callable[..., Tools]
    ) -> None:
        tools = changed(("rows_per_batch: 2000000", "rows_per_batch: 100"))
        counts = "SELECT company_id::text, count(*) FROM crm.lead GROUP BY 1"
        sizes = dict(rows(tools.engine, counts))

        made = groups(planned(tools, "lead"))

        assert [tenant for group in made for tenant in group] == TENANTS
        assert 3 < len(made) < len(TENANTS)
        for group in made:
            assert len(group) == 1 or sum(sizes[tenant] for tenant in group) <= 100

    def test_a_tenant_larger_than_a_batch_has_one_of_its_own(
        self, changed: Callable[..., Tools]
    ) -> None:
        tools = changed(("rows_per_batch: 2000000", "rows_per_batch: 1"))
        assert groups(planned(tools, "lead")) == [[tenant] for tenant in TENANTS]

    def test_figures_do_not_depend_on_how_tenants_are_put_together(
        self, changed: Callable[..., Tools]
    ) -> None:
        together = go("precompute_facets", changed())
        small = changed(("rows_per_batch: 2000000", "rows_per_batch: 60"))
        before = stored(small.engine)["facets"]
        execute(small.engine, "TRUNCATE crm_ops.facet_count, crm_ops.refresh")

        apart = go("precompute_facets", small)

        assert stored(small.engine)["facets"] == before
        assert (apart.tenants, apart.rows_seen, apart.figures_written) == (
            together.tenants,
            together.rows_seen,
            together.figures_written,
        )

    def test_what_is_counted_anew_at_each_run_is_warned_of_with_what_to_do(
        self, changed: Callable[..., Tools], caplog: pytest.LogCaptureFixture
    ) -> None:
        planned(changed(), "lead")

        told = [each for each in caplog.records if each.levelno == logging.WARNING]
        assert [each.getMessage() for each in told] == [
            "lead is counted anew at each run: changes of crm.lead are not captured;"
            " run `crm-ops catalog apply`"
        ]

    def test_a_batch_s_label_names_what_it_holds(self, changed: Callable[..., Tools]) -> None:
        assert [piece.label for piece in planned(changed(), "lead")] == ["lead: all 13 tenants"]
        assert planned(changed(), "lead", tenants=("4",))[0].label == "lead: 4"
        small = changed(("rows_per_batch: 2000000", "rows_per_batch: 1"))
        assert planned(small, "lead")[2].label == "lead: tenant 3"

    def test_they_are_sized_by_what_was_counted_last(self, changed: Callable[..., Tools]) -> None:
        tools = changed(("rows_per_batch: 2000000", "rows_per_batch: 100"))
        go("precompute_facets", tools)
        execute(tools.engine, "UPDATE crm_ops.refresh SET counted = 0 WHERE kind = 'facets'")

        assert groups(planned(tools, "lead")) == [TENANTS]


class TestWhatIsAskedFor:
    def test_an_unknown_entity_is_named_with_those_there_are(self, tools: Tools) -> None:
        with pytest.raises(
            errors.ParameterError, match=r"no entity is called leed, x; there are lead, deal, acc"
        ):
            go("precompute_facets", tools, entities=("leed", "lead", "x"))

    @pytest.mark.parametrize("job", ["precompute_facets", "precompute_aggregates", "warm_caches"])
    def test_an_unknown_or_closed_tenant_is_named(self, tools: Tools, job: str) -> None:
        with pytest.raises(errors.ParameterError, match="no active tenant is called 13, nobody"):
            go(job, tools, tenants=("1", "13", "nobody"))
        assert tools.redis.dbsize() == 0

    def test_a_tenant_named_twice_is_counted_once(self, tools: Tools) -> None:
        once = go("precompute_facets", tools, tenants=("1",), dry_run=True)
        twice = go("precompute_facets", tools, tenants=("1", "1"), dry_run=True)
        assert (once.tenants, once.rows_seen) == (twice.tenants, twice.rows_seen)

    def test_a_crm_without_an_active_tenant_is_no_success(self, tools: Tools) -> None:
        execute(tools.engine, "UPDATE crm.company SET is_active = false")
        for job in ("precompute_facets", "precompute_aggregates", "warm_caches"):
            with pytest.raises(
                errors.NothingSeen, match="there is no active tenant; see `tenancy`"
            ):
                go(job, tools)

    def test_a_catalog_that_does_not_fit_the_tables_writes_nothing(
        self, changed: Callable[..., Tools]
    ) -> None:
        tools = changed(("{column: industry}", "{column: industri}"))
        before = stored(tools.engine)

        with pytest.raises(errors.CatalogError, match=r"crm_ops\.yaml:\d+: entities\.lead\.facets"):
            go("precompute_facets", tools)

        assert stored(tools.engine) == before


class TestRowLevelSecurity:
    """A role that policies keep from the rows sees no error, only nothing: we make it one."""

    @pytest.fixture
    def secured(self, tools: Tools, reader: sa.Engine) -> Tools:
        for table in ("lead", "deal", "account", "contact", "sharing_rule"):
            execute(
                tools.engine,
                f"ALTER TABLE crm.{table} ENABLE ROW LEVEL SECURITY",
                f"ALTER TABLE crm.{table} FORCE ROW LEVEL SECURITY",
                f"CREATE POLICY own ON crm.{table} USING (company_id::text = {OWN_ROWS})",
            )
        return replace(tools, engine=reader)

    @pytest.fixture
    def with_setting(self, changed: Callable[..., Tools], secured: Tools) -> Callable[..., Tools]:
        def declare(setting: str) -> Tools:
            made = changed(("  key: id\n  where", f"  key: id\n  setting: {setting}\n  where"))
            return replace(secured, loaded=made.loaded)

        return declare

    def test_it_really_sees_nothing(self, secured: Tools) -> None:
        assert rows(secured.engine, "SELECT count(*) FROM crm.lead") == [(0,)]

    @pytest.mark.parametrize("job", ["precompute_facets", "precompute_aggregates", "warm_caches"])
    def test_without_a_setting_the_job_is_refused(self, secured: Tools, job: str) -> None:
        before = stored(secured.engine)

        with pytest.raises(errors.CatalogError) as caught:
            go(job, secured)

        assert "sees only what policies of crm.lead show it" in str(caught.value)
        assert "BYPASSRLS or declare tenancy.setting" in str(caught.value)
        assert stored(secured.engine) == before

    @pytest.mark.parametrize("job", ["precompute_facets", "precompute_aggregates", "warm_caches"])
    def test_with_another_setting_than_the_policies_read_the_job_fails(
        self, with_setting: Callable[..., Tools], tools: Tools, job: str
    ) -> None:
        go("precompute_facets", tools)
        served = tools.redis.get(names.facets_key("lead", "1"))
        before = stored(tools.engine)

        with pytest.raises(errors.NothingSeen) as caught:
            go(job, with_setting("app.company"))

        told = str(caught.value)
        assert told.startswith("no row can be seen of crm.lead, crm.deal, crm.account")
        assert "row-level security" in told
        assert "tenancy.setting" in told
        assert stored(tools.engine) == before, "figures were replaced by zeros"
        assert tools.redis.get(names.facets_key("lead", "1")) == served

    def test_with_the_policies_setting_each_tenant_is_counted_as_it_is(
        self, with_setting: Callable[..., Tools], tools: Tools
    ) -> None:
        done = go("precompute_facets", with_setting("app.tenant_id"))
        assert (done.state, done.error, done.tenants) == ("success", None, len(TENANTS))
        before = stored(tools.engine)["facets"]

        again = go("precompute_facets", tools)

        assert again.figures_written == 0
        assert stored(tools.engine)["facets"] == before


def test_past_break_even_counting_anew_is_chosen_and_only_by_auto(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here 600 leads; their changes wait twice over, once with each sign."""
    with databases.transaction(tools.engine) as connection:
        steps = install.plan(connection, tools.catalog)
    install.apply(tools.engine, steps)
    go("precompute_facets", tools)
    execute(tools.engine, "UPDATE crm.lead SET score = score + 1")
    few = planned(tools, "lead")
    monkeypatch.setattr(counting, "_SMALL", 100)

    incremental = facets.plan(Request(("lead",), mode="incremental"), tools)
    many = planned(tools, "lead")

    assert [piece.label for piece in few] == ["lead: changes"]
    assert [piece.label for piece in incremental] == ["lead: changes"]
    assert [piece.label for piece in many] == ["lead: changes", "lead: all 13 tenants"]
    assert (go("precompute_facets", tools).state, rows(tools.engine, WAITING)) == (
        "success",
        [(0,)],
    )


@pytest.mark.parametrize("emptied", ["TRUNCATE crm.deal CASCADE", "DELETE FROM crm.deal"])
def test_an_empty_table_is_no_hidden_one(tools: Tools, emptied: str) -> None:
    execute(tools.engine, emptied)

    done = go("precompute_facets", tools)

    assert (done.state, done.details["rows.deal"]) == ("success", 0)


def test_tenants_never_counted_are_known(tools: Tools) -> None:
    go("precompute_facets", tools, entities=("lead",), tenants=("1", "2"))
    assert counting.never_counted(tools, "facets", "lead", ["1", "2", "3"]) == ["3"]
    assert counting.never_counted(tools, "aggregates", "lead", ["1"]) == ["1"]
