"""Says what a misspelt name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# A table of the CRM may have hundreds of columns; nobody reads them all in a message.
_MOST = 20


def of(name: str, known: Iterable[str]) -> str:
    """The end of a message: `; did you mean ...?` where one is close, else what there is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=2)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    if not names:
        return "; there are none"
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"; there are {', '.join(names[:_MOST])}{more}"


__all__ = ["of"]
