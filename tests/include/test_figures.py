"""What Airflow's stats are given: by StatsD with the subject in the name, else with tags."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from crm_ops.alerts.world import Lag, OfTenant, World
from crm_ops.base.results import JobResult
from include import figures
from tests import prometheus, sinks

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]

# A task's process: stats as Airflow's task runner sets them up, then every figure of ours.
EMIT = """
from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
from include import figures
from tests.include import test_figures
figures.emit(test_figures.every())
"""


def every() -> list[figures.Figure]:
    """Every figure there is."""
    details = {"differing_figures.lead": 0, "facets_wanted": 8, "facets_present": 6}
    result = JobResult("warm_caches", "success", 7, 100, 20, 1_500, details=details)
    world = World(NOW, {"lead": Lag(NOW - timedelta(seconds=90), 12), "deal": Lag(None, 0)}, 91)
    tenants = [OfTenant("lead", "acme.eu", 40, 90.0)]
    return [
        *figures.of_run(result, 2, NOW),
        *figures.of_world(world),
        *figures.of_tenants(tenants),
    ]


def emitted(**metrics: str) -> None:
    """Emit them from a process whose Airflow is told so."""
    told = {f"AIRFLOW__METRICS__{name.upper()}": value for name, value in metrics.items()}
    exporter = {name: value for name, value in metrics.items() if name.startswith("OTEL")}
    subprocess.run(
        [sys.executable, "-c", EMIT],
        env={**os.environ, **told, **exporter, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=True,
        timeout=60,
    )


def test_statsd_has_the_subject_in_the_name() -> None:
    with sinks.statsd() as sink:
        emitted(statsd_on="True", statsd_host="127.0.0.1", statsd_port=str(sink.port))
        time.sleep(0.3)
    assert sink.ours == {
        "airflow.crm_ops.job.warm_caches.failed": 0,
        "airflow.crm_ops.job.warm_caches.failed_tenants": 2,
        "airflow.crm_ops.job.warm_caches.duration_seconds": 1.5,
        "airflow.crm_ops.job.warm_caches.tenants": 7,
        "airflow.crm_ops.job.warm_caches.rows_seen": 100,
        "airflow.crm_ops.job.warm_caches.figures_written": 20,
        "airflow.crm_ops.job.warm_caches.last_success_seconds": NOW.timestamp(),
        "airflow.crm_ops.entity.lead.differing_figures": 0,
        "airflow.crm_ops.cache.facets.coverage": 0.75,
        "airflow.crm_ops.entity.lead.freshness_seconds": 90,
        "airflow.crm_ops.entity.lead.backlog_rows": 12,
        "airflow.crm_ops.entity.deal.freshness_seconds": 0,
        "airflow.crm_ops.entity.deal.backlog_rows": 0,
        "airflow.crm_ops.audit.runway_days": 91,
        "airflow.crm_ops.tenant.lead.acme_eu.rows": 40,
        "airflow.crm_ops.tenant.lead.acme_eu.freshness_seconds": 90,
    }


def test_opentelemetry_has_tags_and_the_names_that_the_mapping_makes() -> None:
    with sinks.web() as sink:
        emitted(
            otel_on="True",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for request in sink.got:
        export = ExportMetricsServiceRequest.FromString(request.body)
        for resource in export.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.gauge.data_points:
                        tags = tuple((tag.key, tag.value.string_value) for tag in point.attributes)
                        value = point.as_double or float(point.as_int)
                        found.setdefault(metric.name, {})[tags] = value
    ours = {name: points for name, points in found.items() if ".crm_ops." in name}
    assert ours["airflow.crm_ops.entity.freshness_seconds"] == {
        (("entity", "lead"),): 90,
        (("entity", "deal"),): 0,
    }
    assert ours["airflow.crm_ops.tenant.rows"] == {(("entity", "lead"), ("tenant", "acme.eu")): 40}
    # A collector hands dots to Prometheus as underscores.
    named = {name.replace(".", "_") for name in ours}
    spelt = {f"airflow.{figures._spelt_out(each)}" for each in every()}
    assert named == {prometheus.mapped(name) for name in spelt}


def test_a_run_that_failed_keeps_when_it_last_succeeded() -> None:
    failed = JobResult("warm_caches", "partial", 7, 100, 20, 1_500)
    given = {each.name: each.value for each in figures.of_run(failed, 2, NOW)}
    assert given["crm_ops.job.failed"] == 1
    assert "crm_ops.job.last_success_seconds" not in given


@pytest.mark.parametrize("file", ["grafana.json", "alerts.yml"])
def test_board_and_rules_name_nothing_else(file: str) -> None:
    known = {prometheus.mapped(f"airflow.{figures._spelt_out(each)}") for each in every()}
    assert prometheus.named_in(file) <= known
