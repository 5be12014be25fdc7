"""The JSON Schema for editors agrees with what is loaded."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_ops.base import errors
from crm_ops.catalog import json_schema, load, yaml12

INCLUDE = Path(__file__).parents[2] / "include"
DEFAULT = yaml12.read((INCLUDE / "crm_ops.yaml").read_text(encoding="utf-8"), "default").value
EDITOR = jsonschema.Draft202012Validator(json.loads(json_schema.text()))


def test_the_schema_beside_the_catalog_is_current() -> None:
    committed = (INCLUDE / "crm_ops.schema.json").read_text(encoding="utf-8")
    assert committed == json_schema.text() + "\n", (
        "write it again: crm-ops catalog schema > include/crm_ops.schema.json"
    )


def test_the_default_catalog_is_valid_under_it() -> None:
    EDITOR.check_schema(EDITOR.schema)
    EDITOR.validate(DEFAULT)


def test_the_default_catalog_names_it_for_editors() -> None:
    first = (INCLUDE / "crm_ops.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=crm_ops.schema.json"


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": 1},
        {"version": "1"},
        {"entities": {"Lead": {"table": "crm.lead"}}},
        {"entities": {"lead": {"table": "crm.lead", "facets": {"a": {"kind": "column"}}}}},
        {"entities": {"lead": {"table": "crm.lead", "where": {"a": {"nott": 1}}}}},
        {"limits": {"rows_per_batch": 0}},
    ],
)
def test_an_editor_marks_what_is_wrong(wrong: dict[str, Any]) -> None:
    assert list(EDITOR.iter_errors({**DEFAULT, **wrong}))


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path of a value but the topmost."""
    items: Any = {}
    if isinstance(value, dict):
        items = value.items()
    if isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from paths(inner, (*path, key))


WORDS = ["", "status", "crm.lead", "column", "ranges", "link", "count", "rows", "name", "by", "not"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.floats() | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "kind", "table", "label"]), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_loaded_an_editor_takes_and_all_else_is_refused_with_a_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = copy.deepcopy(DEFAULT)
    for path in data.draw(st.lists(st.sampled_from(list(paths(DEFAULT))), min_size=1, max_size=3)):
        put(changed, path, data.draw(ANYTHING))
    file = tmp_path_factory.getbasetemp() / "changed.yaml"
    file.write_text(
        json.dumps(changed, indent=1).replace("NaN", ".nan").replace("Infinity", ".inf")
    )
    try:
        load.load(file)
    except errors.CatalogError as error:
        for problem in error.problems:
            line = problem.removeprefix(f"{file}:").split(":")[0]
            assert 1 <= int(line) <= len(file.read_text().splitlines())
    else:
        EDITOR.validate(changed)


def put(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    """Set what stands at `path`, if an earlier change left it there."""
    *before, last = path
    for key in before:
        if not isinstance(value, dict | list) or (isinstance(value, dict) and key not in value):
            return
        if isinstance(value, list) and (not isinstance(key, int) or key >= len(value)):
            return
        value = value[key]
    if isinstance(value, dict) or (isinstance(value, list) and last in range(len(value))):
        value[last] = new
