"""YAML 1.2, with the place of every value."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.base import errors
from crm_ops.catalog import yaml12


def value(text: str) -> Any:
    return yaml12.read(text, "catalog.yaml").value


def told(text: str) -> list[str]:
    """What is wrong with a text that can be read."""
    problems = yaml12.read(text, "catalog.yaml").problems
    return [f"{problem.place.line}: {problem.message}" for problem in problems]


def test_a_file_is_read_with_the_place_of_every_value() -> None:
    document = yaml12.read("tenancy: {mode: single}\nby:\n  - status\n  - owner\n", "catalog.yaml")
    assert document.value == {"tenancy": {"mode": "single"}, "by": ["status", "owner"]}
    assert document.places == {
        (): (1, 1),
        ("tenancy",): (1, 1),
        ("tenancy", "mode"): (1, 11),
        ("by",): (2, 1),
        ("by", 0): (3, 5),
        ("by", 1): (4, 5),
    }


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "On", "NO", "y", "n"])
def test_switches_are_text(word: str) -> None:
    assert value(f"a: {word}") == {"a": word}


@pytest.mark.parametrize(
    "word", ["12:30", "1:2:3", "1_000", "0b11", "2024-01-31", "0o8", "1e", ".", "+-1", "=", "1 2"]
)
def test_what_only_looks_like_a_number_is_text(word: str) -> None:
    assert value(f"a: {word}") == {"a": word}


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0xFf", 255),
        ("-12", -12),
        ("+3", 3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("! 1", "1"),
    ],
)
def test_words_mean_what_the_core_schema_says(word: str, meaning: object) -> None:
    found = value(f"a: {word}")["a"]
    assert found == meaning
    assert type(found) is type(meaning)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(value("a: .nan")["a"])


def test_an_endless_number_is_read_in_no_time() -> None:
    assert value("a: " + "9" * 100_000)["a"] == math.inf


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "--- ~\n...\n"])
def test_a_file_of_nothing_is_null(text: str) -> None:
    assert value(text) is None


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # PyYAML takes some characters of JSON, such as U+007F, only escaped.
    | st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc<>~é ", max_size=5), inner),
    max_leaves=20,
)


@given(_json)
def test_every_json_text_means_what_it_means_in_json(data: Any) -> None:
    assert value(json.dumps(data, ensure_ascii=False)) == data


@given(st.text())
def test_any_text_is_read_or_refused_as_a_catalog_error(text: str) -> None:
    try:
        yaml12.read(text, "catalog.yaml")
    except errors.CatalogError as error:
        # Most texts are YAML and raise nothing.
        assert error.problems[0].startswith("catalog.yaml:")  # noqa: PT017


def test_a_key_that_stands_twice_is_a_problem_and_the_first_counts() -> None:
    document = yaml12.read("a: 1\nb: 2\na: 3\n", "catalog.yaml")
    assert document.value == {"a": 1, "b": 2}
    assert told("a: 1\nb: 2\na: 3\n") == ["3: stands here twice, first in line 1; keep one"]


def test_an_alias_shares_its_anchor_and_has_a_place_of_its_own() -> None:
    document = yaml12.read("a: &x [1, 2]\nb: *x\n", "catalog.yaml")
    assert document.value == {"a": [1, 2], "b": [1, 2]}
    assert document.places["b",].line == 2


def test_aliases_upon_aliases_cost_nothing() -> None:
    layers = [f"l{at}: &l{at} [{', '.join([f'*l{at - 1}'] * 9)}]" for at in range(1, 40)]
    assert len(value("\n".join(["l0: &l0 [x]", *layers]))) == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: *x", "1: *x has no anchor &x before it"),
        ("a: &x [*x]", "1: *x has no anchor &x before it"),
        ("a: 1\n<<: {b: 2}", "2: `<<` (merge) is not YAML 1.2; write the keys out"),
        ("1: a", '1: the key 1 is not text; write "1"'),
        ("true: a", '1: the key true is not text; write "true"'),
        ("? [a]\n: b", "1: a key must be text"),
        ("a: !!python/name:os.system", "1: the tag 'tag:yaml.org,2002:python/name:os.system' is"),
        ("a: !!binary aGk=", "1: the tag 'tag:yaml.org,2002:binary' is not read here; take it out"),
        ("a: 1\n---\nb: 2", "2: a second document begins here; take it out"),
    ],
)
def test_what_a_catalog_does_not_need_is_a_problem(text: str, message: str) -> None:
    (problem,) = told(text)
    assert problem.startswith(message)


def test_every_problem_is_told() -> None:
    assert len(told("a: 1\na: 2\nb: !x 3\n4: 5\n")) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: [1, 2\nc: 3\n",
            "catalog.yaml:3: this is no YAML (column 2): while parsing a flow",
        ),
        ("a: 1\n\tb: 2\n", "catalog.yaml:2: this is no YAML (column 1)"),
        ("a: b: c\n", "catalog.yaml:1: this is no YAML (column 5): mapping values are not allowed"),
        ("a: 1\nb: \x07\n", "catalog.yaml:2: the character '\\x07' cannot stand in YAML"),
        ("a:\n  " + "[" * 60, "catalog.yaml:2: nested more than 50 levels deep"),
        ("[" * 100_000, "catalog.yaml:1: nested more than 50 levels deep"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(errors.CatalogError) as caught:
        yaml12.read(text, "catalog.yaml")
    (problem,) = caught.value.problems
    assert problem.startswith(message)
