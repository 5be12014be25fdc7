"""A CRM with a table for every part of the catalog, and the catalog that fits it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.catalog import load
from crm_ops.catalog.load import Loaded

TABLES = """
CREATE SCHEMA crm;
CREATE TABLE crm.company (id bigint PRIMARY KEY, name text, is_active boolean);
CREATE TABLE crm.app_user (id bigint PRIMARY KEY, name text);
CREATE TABLE crm.lead (
    id bigint PRIMARY KEY, company_id bigint, owner_id integer, status varchar(20),
    score numeric(6, 2), is_hot boolean, attributes jsonb, currency text, born date,
    created_at timestamptz(3), deleted_at timestamptz);
CREATE TABLE crm.tag (id bigint PRIMARY KEY, name text);
CREATE TABLE crm.lead_tag (lead_id bigint, tag_id bigint);
CREATE TABLE crm.audit_log (id bigint, company_id bigint, created_at timestamptz NOT NULL)
    PARTITION BY RANGE (created_at);
CREATE TABLE crm.sharing_rule (
    id bigint PRIMARY KEY, company_id bigint, entity text, predicate jsonb, grantee_type text,
    grantee_id bigint, level text, is_active boolean)
"""

CATALOG = """\
version: 1
tenancy: {mode: column, table: crm.company, where: {is_active: true}}
entities:
  lead:
    table: crm.lead
    tenant: company_id
    where: {deleted_at: null, is_hot: {not: false}}
    owner: owner_id
    facets:
      status: {column: status}
      user: {kind: lookup, column: owner_id, table: crm.app_user, label: name}
      tags:
        {kind: link, table: crm.lead_tag, parent: lead_id, column: tag_id, label_table: crm.tag,
         label: name}
      country: {kind: json, column: attributes, path: [country]}
      points: {kind: ranges, column: score, bounds: [0, 50]}
      month: {kind: date, column: created_at, bucket: month}
    dimensions:
      birthday: {kind: date, column: born, bucket: day}
aggregates:
  figures:
    entity: lead
    by: [birthday]
    currency: currency
    measures: {leads: {count: rows}, mean: {avg: score}}
audit: {table: crm.audit_log, time: created_at, tenant: company_id}
sharing: {rules: {table: crm.sharing_rule}}
jobs:
  precompute_facets: &timing
    {schedule: "0 3 * * *", deadline_minutes: 4, timeout_minutes: 15, pool: workflow_cpu}
  precompute_aggregates: *timing
  audit_maintenance: *timing
  warm_caches: *timing
"""


@pytest.fixture
def crm(database: sa.Engine) -> sa.Engine:
    """The tables, empty."""
    with databases.transaction(database) as connection:
        for statement in TABLES.split(";\n"):
            sql.run(connection, statement)
    return database


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Loaded]:
    """Loads the catalog with each `old` text replaced by its `new` one."""

    def load_changed(*changes: tuple[str, str]) -> Loaded:
        text = CATALOG
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} must stand in the catalog once"
            text = text.replace(old, new)
        path = tmp_path / "catalog.yaml"
        path.write_text(text, encoding="utf-8")
        return load.load(path)

    return load_changed
