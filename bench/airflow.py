"""Airflow's own part: what a DAG file costs to parse, and a run that has nothing to do.

Each DAG is compared with an empty one of the same shape: plan, as many mapped tasks, report, the
same pools and deadline, and no work in them. What is left is ours. Files are parsed as Airflow's
DAG processor does, in a process forked from one that has imported Airflow. Runs go through a real
scheduler with LocalExecutor and four slots; the time is from the call that triggers a run until
the REST API says that it succeeded, asked every 50 ms, with all figures up to date.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from bench.case import OURS, Case
from bench.report import table
from bench.setup import ROOT, Setup
from crm_ops.base import database, settings
from crm_ops.base.rest import Airflow
from crm_ops.catalog import load
from crm_ops.changes import install
from crm_ops.demo import build, sizes
from crm_ops.jobs import ledger, registry
from crm_ops.local import layout, place, up
from crm_ops.schema import migrate

EMPTY = "an empty DAG of the same shape"
# The aim of a run with nothing to do.
AIM_MS = 3_000

_DAG = """
from __future__ import annotations
from datetime import timedelta
from airflow.sdk import DAG, TriggerRule, task
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

late = DeadlineAlert(
    name="late", reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(minutes=30),
    callback=AsyncCallback("include.notifier.Announce"),
)
with DAG("empty_{job}", schedule=None, catchup=False, max_active_runs=1, deadline=late,
         default_args={{"pool": "{pool}", "queue": "{pool}", "retries": 2}}):
    @task
    def plan():
        return [{{"label": str(number)}} for number in range({batches})]

    @task(map_index_template="{{{{ task.op_kwargs['batch']['label'] }}}}")
    def work(batch):
        return batch

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def report():
        return {{}}

    work.expand(batch=plan()) >> report()
"""

# Forks for each file that a line names, runs it there, and answers with a line.
_PARSER = """
import os, runpy, sys
import airflow.sdk
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        runpy.run_path(line.strip())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(status, flush=True)
"""


def run(setup: Setup) -> None:
    """Measure both and write the page."""
    report = setup.report("airflow", "Airflow", __doc__)
    with tempfile.TemporaryDirectory(prefix="crm-ops-bench-") as folder:
        project = _project(Path(folder) / "project")
        with _parser(project) as parse:
            for job in registry.JOBS.values():
                report.case(
                    Case(
                        f"Parsing {job.dag_id}.py",
                        "One process is forked, runs the file and ends.",
                        {
                            OURS: partial(parse, f"dags/{job.dag_id}.py"),
                            EMPTY: partial(parse, f"dags/empty_{job.name}.py"),
                        },
                    ),
                    setup.rounds,
                )
        with _stack(project, Path(folder) / "stack") as stack:
            medians = {}
            for job in registry.JOBS.values():
                ways = {
                    OURS: partial(_trigger, stack.airflow, job.dag_id),
                    EMPTY: partial(_trigger, stack.airflow, f"empty_{job.name}"),
                }
                about = "From trigger to success, with nothing to do."
                timings = report.case(Case(f"A run of {job.dag_id}", about, ways), setup.rounds)
                medians[job.dag_id] = timings[0].median_ms
            kept = [
                [dag_id, f"{taken:,.0f}", "yes" if taken < AIM_MS else "no"]
                for dag_id, taken in medians.items()
            ]
            heads = ("DAG", "median ms", f"under {AIM_MS:,} ms")
            report.add(f"## The aim\n\n{table(heads, kept)}")


def _project(folder: Path) -> Path:
    """The project with an empty DAG beside each of ours; no run is ever due."""
    (folder / "dags").mkdir(parents=True)
    for name in ("crm_ops", "include", "plugins", "airflow_settings.yaml"):
        (folder / name).symlink_to(ROOT / name)
    for file in (ROOT / "dags").iterdir():
        if file.is_file():
            shutil.copy(file, folder / "dags")
    text = (ROOT / settings.DEFAULT_CATALOG).read_text(encoding="utf-8")
    catalog = folder / "crm_ops.yaml"
    catalog.write_text(re.sub("schedule: .*", 'schedule: "0 0 1 1 *"', text), encoding="utf-8")
    timing = load.jobs(catalog)
    for job, batches in _batches().items():
        text = _DAG.format(
            job=job,
            pool=getattr(timing, job).pool,
            batches=batches,
            before=">> ensure() " if job == "audit_maintenance" else "",
        )
        (folder / "dags" / f"empty_{job}.py").write_text(text, encoding="utf-8")
    return folder


def _batches() -> Mapping[str, int]:
    """How many mapped tasks a run with nothing to do has: one for each entity, none, one."""
    entities = 4
    return {
        "precompute_facets": entities,
        # Aggregates are declared for three of them.
        "precompute_aggregates": entities - 1,
        # One task before them, and no table that leaves.
        "audit_maintenance": 0,
        "warm_caches": 1,
    }


@contextmanager
def _parser(project: Path) -> Iterator[Callable[[str], None]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(project),
        "AIRFLOW_HOME": str(project.parent / "home"),
        settings.CATALOG: str(project / "crm_ops.yaml"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", _PARSER],
        env=environment,
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parser:
        lines, answers = parser.stdin, parser.stdout
        assert lines is not None
        assert answers is not None

        def parse(file: str) -> None:
            lines.write(f"{file}\n")
            lines.flush()
            if answers.readline().strip() != "0":
                raise RuntimeError(f"{file} could not be parsed")

        yield parse
        lines.close()


@contextmanager
def _stack(project: Path, home: Path) -> Iterator[up.Stack]:
    """A stack on which every job has run, changes are captured, and none wait."""
    where = layout.make(project, home)
    named = {
        settings.CATALOG: str(project / "crm_ops.yaml"),
        settings.ARCHIVE: str(home / "archive"),
    }
    inherited = {**os.environ, **named}
    try:
        with up.stack(
            where, prepare=_prepare, inherited=inherited, note=lambda _what, _state: None
        ) as stack:
            jobs: dict[str, str] = {n: job.dag_id for n, job in registry.JOBS.items()}
            stack.run({**jobs, **{f"empty_{name}": f"empty_{name}" for name in jobs}})
            _capture(stack.engine, Path(named[settings.CATALOG]))
            for job, dag_id in jobs.items():
                _trigger(stack.airflow, dag_id)
                _trigger(stack.airflow, dag_id)
                planned = _planned(stack.engine, job)
                if _batches()[job] not in (0, planned):
                    raise RuntimeError(f"{job} has {planned} batches with nothing to do")
            yield stack
    finally:
        place.remove(where.postgres)


def _prepare(engine: sa.Engine) -> None:
    migrate.upgrade(engine)
    build.create(engine, size=sizes.SMALL, as_of=datetime.now(UTC).date())


def _capture(engine: sa.Engine, catalog: Path) -> None:
    declared = load.load(catalog).catalog
    with database.transaction(engine) as connection:
        steps = install.plan(connection, declared)
    install.apply(engine, steps)


def _planned(engine: sa.Engine, job: str) -> int:
    return len(ledger.outcomes(engine, ledger.last_runs(engine)[job].id))


def _trigger(airflow: Airflow, dag_id: str) -> None:
    run = airflow.trigger(dag_id, f"bench__{time.time_ns()}")
    until = time.monotonic() + 120
    while not run.ended:
        if time.monotonic() > until:
            raise RuntimeError(f"{dag_id} does not end")
        time.sleep(0.05)
        run = airflow.run(run)
    if run.state != "success":
        raise RuntimeError(f"{dag_id} failed")


__all__ = ["run"]
