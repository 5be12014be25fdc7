from __future__ import annotations

from collections.abc import Callable

from crm_ops.base.sql import Relation
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import query
from crm_ops.sharing.layout import Layout
from crm_ops.sources.tables import Table

EXPECTED = """\
SELECT t.number, array_to_json(array_agg(ARRAY[
    r."id"::text,
    NULL::text,
    r."entity"::text,
    r."predicate"::text,
    r."grantee_type"::text,
    r."grantee_id"::text,
    r."level"::text
] ORDER BY r."id")) AS rules
FROM unnest(%(tenants)s::text[]) WITH ORDINALITY AS t (tenant, number)
JOIN "crm"."sharing_rule" AS r
    ON r."company_id" = t.tenant::bigint
WHERE r."is_active"
    AND (r."entity"::text = ANY (%(wanted)s::text[])
        OR (r."entity"::text = ANY (%(known)s::text[])) IS NOT TRUE)
GROUP BY t.number
"""


def text(catalog: Catalog) -> str:
    assert catalog.sharing is not None
    columns = {"company_id": "bigint"}
    rules = Table(
        Relation("crm", "sharing_rule"), columns, frozenset(), (), False, True, 0, False, ()
    )
    return query.rules(Layout(catalog, catalog.sharing, {"crm.sharing_rule": rules}, {}))


def test_the_query_for_the_default_column_names(catalog: Catalog) -> None:
    assert text(catalog) == EXPECTED


def test_any_column_name_is_quoted(catalog_with: Callable[..., Catalog]) -> None:
    made = text(catalog_with(rules={"level": 'he said "100%"', "active": "Is Active"}))
    assert 'r."he said ""100%%"""::text' in made
    assert 'WHERE r."Is Active"' in made


def test_in_a_crm_of_one_company_every_rule_is_its_own(
    catalog_with: Callable[..., Catalog],
) -> None:
    assert "ON true" in text(catalog_with(tenancy={"mode": "single", "name": "main"}))
