"""Loading a catalog: the valid one, and every problem of a wrong one with its line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_ops.base import errors
from crm_ops.catalog import load

DEFAULT = Path(__file__).parents[2] / "include" / "crm_ops.yaml"

Write = Callable[..., Path]


def problems(path: Path) -> list[str]:
    """What loading `path` complains of, without the path itself."""
    with pytest.raises(errors.CatalogError) as caught:
        load.load(path)
    assert all(problem.startswith(str(path)) for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_catalog_is_loaded_with_the_file_it_came_from(written: Write) -> None:
    path = written()
    loaded = load.load(path)
    assert loaded.catalog.entities["lead"].table == "crm.lead"
    assert loaded.catalog.entities["lead"].where == {"deleted_at": None}
    assert loaded.document.file == str(path)
    assert loaded.document.places["entities", "lead", "tenant"].line == 6


def test_the_default_catalog_is_valid() -> None:
    assert list(load.load(DEFAULT).catalog.entities) == ["lead", "deal", "account", "contact"]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(written: Write) -> None:
    path = written(
        ("version: 1", "version: 2"),
        ("table: crm.lead\n", "table: lead\n"),
        ("{column: status}", "{colunm: status}"),
        ("by: [status]", "by: [statos]"),
        ("{count: rows}", "{count: row}"),
        ('"0 3 * * *"', '"0 3 * *"'),
    )
    assert problems(path) == [
        "1: version: must be at most 1, not 2",
        "5: entities.lead.table: 'lead' is not a table name; write schema.table, in double quotes"
        ' where a part holds a dot or a quote: crm."odd.name"',
        "9: entities.lead.facets.status.column: is missing. The column whose values are the"
        " buckets.",
        "9: entities.lead.facets.status.colunm: is no key here; did you mean column?",
        "14: aggregates.leads.by.0: 'statos' is neither a facet nor a dimension of lead; did you"
        " mean status or tags?",
        "15: aggregates.leads.measures.leads.count: cannot be \"row\"; write 'rows'",
        "24: jobs.warm_caches.schedule: '0 3 * *' is no cron schedule; write five fields such as"
        " */5 * * * *",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "tenant: company_id",
            "tenent: company_id",
            "6: entities.lead.tenent: is no key here; did you mean tenant?",
        ),
        (
            "mode: column",
            "mode: colum",
            "2: tenancy: is of no known mode; write one of 'column', 'single', not colum",
        ),
        (
            "{kind: link,",
            "{kind: links,",
            "10: entities.lead.facets.tags: is of no known kind; write one of 'column', 'lookup',"
            " 'link', 'json', 'ranges', 'date', not links",
        ),
        (
            "{column: status}",
            "{kind: ranges, column: score, bounds: [0, 50, 25]}",
            "9: entities.lead.facets.status.bounds: ranges overlap: 25 is not above 50; sort the"
            " bounds",
        ),
        (
            "{column: status}",
            "{kind: lookup, column: a, table: crm.b, lable: c, label: d}",
            "9: entities.lead.facets.status.lable: is no key here; did you mean table or label?",
        ),
        (
            "entity: lead",
            "entity: leed",
            "13: aggregates.leads.entity: 'leed' is no entity; did you mean lead?",
        ),
        (
            "by: [status]",
            "by: [status, tags]",
            "14: aggregates.leads.by.1: 'tags' is a link facet, in which a row may count twice:"
            " take it out",
        ),
        (
            "deleted_at: null",
            "deleted_at: {nott: null}",
            "7: entities.lead.where.deleted_at: a filter is a value, a list of values, null, or"
            " {not: ...} around one of these",
        ),
        ("version: 1", "version: 1\nversion: 1", "2: version: stands here twice, first in line 1;"),
        ("entities:", "time_zone: Mars/Base\nentities:", "3: time_zone: 'Mars/Base' is no time"),
        ("workflow_io", "io", "24: jobs.warm_caches.pool: cannot be \"io\"; write 'workflow_io',"),
        (
            "  warm_caches:\n",
            "  warm_cache:\n",
            "16: jobs.warm_caches: is missing. When figures and sharing rules go to Redis.",
        ),
    ],
)
def test_a_problem_names_its_line_its_path_and_the_remedy(
    written: Write, old: str, new: str, problem: str
) -> None:
    assert any(told.startswith(problem) for told in problems(written((old, new))))


def test_the_timing_of_the_jobs_is_read_whatever_the_rest_says(written: Write) -> None:
    jobs = load.jobs(written(("table: crm.lead\n", "table: 7\n")))
    assert jobs.precompute_facets.schedule == "*/5 * * * *"
    assert jobs.warm_caches.pool == "workflow_io"


def test_a_wrong_timing_is_refused_with_its_line(written: Write) -> None:
    path = written(("deadline_minutes: 4,", "deadline_minutes: 0,"))
    with pytest.raises(errors.CatalogError) as caught:
        load.jobs(path)
    assert caught.value.problems == (
        f"{path}:18: jobs.precompute_facets.deadline_minutes: must be at least 1, not 0",
    )


def test_jobs_that_are_missing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("version: 1\n", encoding="utf-8")
    with pytest.raises(errors.CatalogError, match=r"jobs: must be a mapping .*, not nothing"):
        load.jobs(path)


def test_reading_the_timing_imports_no_driver() -> None:
    script = (
        "import sys; from pathlib import Path; from crm_ops.catalog import load;"
        f"load.jobs(Path({str(DEFAULT)!r}));"
        "print([name for name in ('psycopg', 'redis', 'alembic') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    assert printed == "[]\n"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert problems(path) == [" there is no such file; name the catalog by CRM_OPS_CATALOG"]


def test_a_folder_is_no_catalog(tmp_path: Path) -> None:
    assert problems(tmp_path) == [" cannot be read: Is a directory"]


def test_an_encoding_other_than_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_bytes("version: 1\n# größer\n".encode("latin-1"))
    assert problems(path) == ["2: is not UTF-8; save it as UTF-8"]


def test_the_mark_that_windows_puts_first_is_no_problem(written: Write) -> None:
    path = written()
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load.load(path).catalog.version == 1


@pytest.mark.parametrize("text", ["", "- version: 1\n", "catalog\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(text, encoding="utf-8")
    (problem,) = problems(path)
    assert problem.startswith("1: must be a mapping (key: value), not ")
