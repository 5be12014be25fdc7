"""A catalog file as read: its values, and the line of each, so that a problem names its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from crm_ops.base import errors

Keys = tuple[str | int, ...]
"""A path in the file: the keys of mappings and the indices of lists, from the top."""


class Place(NamedTuple):
    """Where something begins in the file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what it is and what to do, in one line."""

    keys: Keys
    place: Place
    message: str


@dataclass(frozen=True)
class Document:
    """A file's value (as JSON would have it), the place of every path, what is wrong already."""

    file: str
    value: Any
    places: Mapping[Keys, Place]
    problems: tuple[Problem, ...] = ()

    def problem(self, keys: Keys, message: str) -> Problem:
        """A problem at `keys`; what is not written in the file has the place of what holds it."""
        known = keys
        while known and known not in self.places:
            known = known[:-1]
        return Problem(keys, self.places.get(known, Place(1, 1)), message)

    def refusal(self, problems: Iterable[Problem]) -> errors.CatalogError:
        """The error that tells all `problems`, in the order of the file."""
        found = sorted(problems, key=lambda problem: problem.place)
        return errors.CatalogError([self._line(problem) for problem in found])

    def _line(self, problem: Problem) -> str:
        path = ".".join(str(key) for key in problem.keys)
        message = f"{path}: {problem.message}" if path else problem.message
        return f"{self.file}:{problem.place.line}: {message}"


__all__ = ["Document", "Keys", "Place", "Problem"]
