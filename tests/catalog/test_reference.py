"""docs/catalog.md names every key of every part, with its default, and its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from crm_ops.catalog import facets, load, yaml12
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.parts import Part
from crm_ops.catalog.schedule import Timing

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "catalog.md").read_text(encoding="utf-8")
SECTIONS = {
    section.split("\n", 1)[0]: section for section in re.split(r"^##+ ", TEXT, flags=re.MULTILINE)
}
ROW = re.compile(r"^\| `(\w+)` \| .+ \| (.+) \| .*\|$", re.MULTILINE)
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# How the reference writes a default that is nothing, or an empty filter, list or mapping.
NOTHING = ("none", "all", "all rows", "the catalog's", "their defaults")


def models(base: type[Part] = Part) -> list[type[Part]]:
    """Every part that a catalog may hold."""
    inner = [model for child in base.__subclasses__() for model in [child, *models(child)]]
    ours = [model for model in inner if model.__module__.startswith("crm_ops.catalog.")]
    return [model for model in ours if not model.__name__.startswith("_")]


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_key_is_explained_with_its_default(model: type[Part]) -> None:
    rows = dict(ROW.findall(SECTIONS[model.__name__]))
    if issubclass(model, facets._Shown):
        rows |= dict(ROW.findall(SECTIONS["Facets"]))
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert set(rows) == set(fields)
    for name, field in fields.items():
        assert spoken(rows[name], field) == rows[name], f"the default of {name}"


def spoken(written: str, field: Any) -> str:
    """How the default of a field is written; `written` where there are several ways."""
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or field.default is None:
        return written if written in NOTHING else "none"
    return f"`{field.default}`"


def test_nothing_is_explained_that_is_not_there() -> None:
    named = {title for title in SECTIONS if re.fullmatch(r"[A-Z][a-z]+([A-Z][a-z]+)?", title)}
    assert named - {"Facets"} == {model.__name__ for model in models()}


def test_the_smallest_catalog_is_one(tmp_path: Path) -> None:
    path = tmp_path / "smallest.yaml"
    path.write_text(EXAMPLE.findall(TEXT)[0], encoding="utf-8")
    assert list(load.load(path).catalog.entities) == ["deal"]


@pytest.mark.parametrize("example", EXAMPLE.findall(TEXT)[1:])
def test_every_other_example_is_what_it_shows(example: str) -> None:
    for key, value in yaml12.read(example, "docs/catalog.md").value.items():
        kind: Any = facets.Facet
        if key in Catalog.model_fields:
            kind = Catalog.model_fields[key].annotation
        TypeAdapter(dict[str, Timing] if key == "jobs" else kind).validate_python(value)
