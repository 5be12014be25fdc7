"""Rules as the other ways read them: rows of JSON, and a small interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def concerns(
    kind: str, grantee: int | None, user: int, role: int, mine: set[int], teams: set[int]
) -> bool:
    """Whether a rule is for a user of that role; `mine` are the roles from theirs up."""
    match kind:
        case "everyone":
            return True
        case "user":
            return grantee == user
        case "team":
            return grantee in teams
        case "role":
            return grantee == role
    return grantee in mine


def matches(predicate: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a record matches a rule's predicate."""
    [(operator, operand)] = predicate.items()
    if operator == "and":
        return all(matches(part, record) for part in operand)
    cell = record[operand[0]]
    if operator == "in":
        return cell in operand[1]
    return bool(cell >= operand[1]) if operator == "ge" else bool(cell == operand[1])
