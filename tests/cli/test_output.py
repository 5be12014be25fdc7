"""What is printed can be piped: lines stay whole, numbers stand under each other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crm_ops.cli import output


def test_a_table_s_lines_are_never_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output.table(
        ("job", "rows seen"), [("a job with a long name " * 8, 1), ("b", 1_234_567)], numbers=1
    )
    out, err = capsys.readouterr()
    heading, first, second = out.rstrip().splitlines()
    assert err == ""
    assert heading.split() == ["job", "rows", "seen"]
    assert first.endswith(" 1")
    assert second.split() == ["b", "1,234,567"]
    assert len(first) == len(second) > 180


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (0, "0"),
        (1_234, "1,234"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04:05"),
        ("success", "success"),
    ],
)
def test_a_cell_as_a_person_reads_it(cell: object, text: str) -> None:
    assert output.text(cell) == text


def test_data_is_json_on_stdout_and_notes_are_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.json({"error": None, "name": "Zürich"})
    output.note("done")
    assert capsys.readouterr() == ('{\n  "error": null,\n  "name": "Zürich"\n}\n', "done\n")


def test_progress_is_silent_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with output.progress() as report:
        report("facets", 1, 2)
    assert capsys.readouterr() == ("", "")
