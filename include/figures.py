"""Emits figures by Airflow's own stats: what a run did, how far figures lag, runway, coverage.

All are gauges: a task is a process that lives for seconds, and its counters would begin at zero in
each. Where the receiver keeps tags (OpenTelemetry, Datadog, InfluxDB) the job or entity is a tag;
plain StatsD drops tags, so there it is a part of the name: `crm_ops.job.warm_caches.rows_seen`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats

from crm_ops.alerts.runs import DRIFT
from crm_ops.alerts.world import OfTenant, World
from crm_ops.base.results import JobResult
from crm_ops.catalog.schedule import JobName

_CACHES = ("sharing", "facets", "aggregates")


@dataclass(frozen=True)
class Figure:
    """A gauge: its name, its value, and what it is about."""

    name: str
    value: float
    tags: Mapping[str, str] = field(default_factory=dict)


def of_run(result: JobResult, failed_tenants: int, now: datetime) -> Iterator[Figure]:
    """What a run did; of a run that failed not when it last succeeded."""
    of_job = {"job": result.job}
    good = result.state == "success"
    yield Figure("crm_ops.job.failed", 0 if good else 1, of_job)
    yield Figure("crm_ops.job.failed_tenants", failed_tenants, of_job)
    yield Figure("crm_ops.job.duration_seconds", result.took_ms / 1000, of_job)
    yield Figure("crm_ops.job.tenants", result.tenants, of_job)
    yield Figure("crm_ops.job.rows_seen", result.rows_seen, of_job)
    yield Figure("crm_ops.job.figures_written", result.figures_written, of_job)
    if good:
        yield Figure("crm_ops.job.last_success_seconds", int(now.timestamp()), of_job)
    for name, value in result.details.items():
        if name.startswith(DRIFT):
            entity = {"entity": name.removeprefix(DRIFT)}
            yield Figure("crm_ops.entity.differing_figures", value, entity)
    for cache in _CACHES:
        if wanted := result.details.get(f"{cache}_wanted"):
            share = result.details[f"{cache}_present"] / wanted
            yield Figure("crm_ops.cache.coverage", share, {"cache": cache})


def of_lost(job: JobName) -> Iterator[Figure]:
    """What is known of a run that ended without a report."""
    yield Figure("crm_ops.job.failed", 1, {"job": job})


def of_world(world: World) -> Iterator[Figure]:
    """How far each entity's figures lag, what waits, and the runway."""
    for entity, lag in world.lags.items():
        about = {"entity": entity}
        yield Figure("crm_ops.entity.freshness_seconds", lag.seconds(world.at), about)
        yield Figure("crm_ops.entity.backlog_rows", lag.backlog, about)
    if world.runway_days is not None:
        yield Figure("crm_ops.audit.runway_days", world.runway_days)


def of_tenants(tenants: Iterable[OfTenant]) -> Iterator[Figure]:
    """The rows and the freshness of each tenant's entities."""
    for each in tenants:
        about = {"entity": each.entity, "tenant": each.tenant}
        yield Figure("crm_ops.tenant.rows", each.rows, about)
        yield Figure("crm_ops.tenant.freshness_seconds", each.freshness_seconds, about)


def emit(figures: Iterable[Figure]) -> None:
    """Hand them to Airflow, which drops them where no receiver is configured."""
    tagged = _tags_are_kept()
    for each in figures:
        name = each.name if tagged else _spelt_out(each)
        stats.gauge(name, each.value, tags=dict(each.tags))


def _tags_are_kept() -> bool:
    return not conf.getboolean("metrics", "statsd_on") or any(
        conf.getboolean("metrics", option)
        for option in ("statsd_datadog_enabled", "statsd_influxdb_enabled")
    )


def _spelt_out(figure: Figure) -> str:
    """The name with what it is about before its last part; a dot would be one part more."""
    group, _, leaf = figure.name.rpartition(".")
    values = (
        stats.normalize_name_for_stats(value, log_warning=False).replace(".", "_")
        for value in figure.tags.values()
    )
    return ".".join([group, *values, leaf])


__all__ = ["Figure", "emit", "of_lost", "of_run", "of_tenants", "of_world"]
