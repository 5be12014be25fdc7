"""Reads YAML as version 1.2 has it (core schema) and keeps the place of every value.

libyaml splits the text; what a word means is decided here, because PyYAML follows YAML 1.1, where
`on` and `no` are booleans, 12:30 is 750 and 010 is 8. Tags, merges and keys that are not text are
refused: a file says what JSON could say. An alias shares its anchor's value, it does not copy it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml

from crm_ops.base import errors
from crm_ops.catalog.document import Document, Keys, Place, Problem

_LOADER = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader

# Far deeper than a file people write, far shallower than Python's own stack.
_DEEPEST = 50

_UNREADABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Python reads at most 4300 digits: what is longer than any number in use becomes an infinite float.
_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]{1,1000}"), int),
    (re.compile(r"0o[0-7]{1,1000}|0x[0-9a-fA-F]{1,1000}"), partial(int, base=0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (
        re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        lambda text: float(text.replace(".", "")),
    ),
)

_TEXT = ("!", "tag:yaml.org,2002:str")
_PLAIN_TAGS = (None, *_TEXT, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def read(text: str, file: str) -> Document:
    """Parse `text`, calling it `file` in messages; raise `CatalogError` where it is no YAML.

    Duplicate keys, tags and the like do not stop the reading: they are the document's `problems`.
    """
    unreadable = _UNREADABLE.search(text)
    if unreadable:
        line = text.count("\n", 0, unreadable.start()) + 1
        raise _refusal(file, line, f"the character {unreadable[0]!r} cannot stand in YAML")
    try:
        return _Reading(yaml.parse(text, Loader=_LOADER)).document(file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        line, column = _place(mark) if mark else Place(1, 1)
        raise _refusal(file, line, f"this is no YAML (column {column}): {what}") from error
    except _TooDeep as error:
        raise _refusal(file, error.line, f"nested more than {_DEEPEST} levels deep") from error


def plain(text: str) -> str | bool | int | float | None:
    """What an unquoted word means: null, a boolean, a number, or itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    for pattern, number in _NUMBERS:
        if pattern.fullmatch(text):
            return number(text)
    return text


class _TooDeep(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


@dataclass
class _Reading:
    """One pass over the events of a file."""

    events: Iterator[Any]
    anchors: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def document(self, file: str) -> Document:
        next(self.events)  # the stream begins
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return Document(file, None, {})
        value = self.value(next(self.events), ())
        next(self.events)  # the document ends
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self.complain((), event, "a second document begins here; take it out")
        return Document(file, value, self.places, tuple(self.problems))

    def value(self, event: Any, keys: Keys) -> Any:
        self.places.setdefault(keys, _place(event.start_mark))
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, keys)
        if len(keys) > _DEEPEST:
            raise _TooDeep(event.start_mark.line + 1)
        if event.tag not in _PLAIN_TAGS:
            self.complain(keys, event, f"the tag {event.tag!r} is not read here; take it out")
        made: Any
        if isinstance(event, yaml.MappingStartEvent):
            made = self.mapping(keys)
        elif isinstance(event, yaml.SequenceStartEvent):
            made = self.sequence(keys)
        else:
            made = _scalar(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = made
        return made

    def alias(self, event: Any, keys: Keys) -> Any:
        # An anchor is known once its value is complete: nothing can hold itself.
        if event.anchor not in self.anchors:
            self.complain(keys, event, f"*{event.anchor} has no anchor &{event.anchor} before it")
        return self.anchors.get(event.anchor)

    def sequence(self, keys: Keys) -> list[Any]:
        made: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            made.append(self.value(event, (*keys, len(made))))
        return made

    def mapping(self, keys: Keys) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, keys)
            inner = (*keys, "?" if key is None else key)
            if key in made:
                first = self.places[inner].line
                self.complain(inner, event, f"stands here twice, first in line {first}; keep one")
            self.places.setdefault(inner, _place(event.start_mark))
            value = self.value(next(self.events), inner)
            if key is not None:
                made.setdefault(key, value)
        return made

    def key(self, event: Any, keys: Keys) -> str | None:
        """The key that `event` is; None for a refused one, whose value is read and dropped."""
        if not isinstance(event, yaml.ScalarEvent):
            self.complain(keys, event, "a key must be text")
            self.value(event, (*keys, "?"))
            return None
        name = str(event.value)
        if event.implicit[0] and name == "<<":
            self.complain(keys, event, "`<<` (merge) is not YAML 1.2; write the keys out")
            return None
        if not isinstance(_scalar(event), str):
            self.complain(keys, event, f'the key {name} is not text; write "{name}"')
        return name

    def complain(self, keys: Keys, event: Any, message: str) -> None:
        self.problems.append(Problem(keys, _place(event.start_mark), message))


def _scalar(event: Any) -> str | bool | int | float | None:
    if event.implicit[0] and event.tag not in _TEXT:
        return plain(event.value)
    return str(event.value)


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _refusal(file: str, line: int, message: str) -> errors.CatalogError:
    return errors.CatalogError([f"{file}:{line}: {message}"])


__all__ = ["plain", "read"]
