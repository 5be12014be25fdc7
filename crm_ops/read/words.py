"""Free text: rows of which a text begins so, or of which words begin as the words asked for do.

Both tests ignore case and are served by the indexes that `crm-ops catalog indexes` prints. A word
is a run of letters and digits; every word asked for must be found, each in any of the texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from crm_ops.base import errors, sql
from crm_ops.read import values
from crm_ops.read.condition import Condition, any_of
from crm_ops.read.layout import Layout, column

_LONGEST = 200
_WORD = re.compile(r"[^\W_]+")
_WILD = re.compile(r"([\\%_])")


def condition(layout: Layout, text: str) -> Condition:
    """The rows that `text` finds; raises `ParameterError` where no texts are declared."""
    columns = layout.entity.search.text
    if not columns:
        raise errors.ParameterError(
            f"{layout.counted.name} has no text to look in; declare search.text in the catalog"
        )
    if len(text) > _LONGEST:
        raise errors.ParameterError(f"the text is longer than {_LONGEST} characters; shorten it")
    wanted = values.text(text, "text").strip()
    beginning = _WILD.sub(r"\\\1", wanted) + "%"
    tests = [
        Condition(
            f"lower({column(name)}) LIKE lower(%(text_beginning)s::text)",
            {"text_beginning": beginning},
        )
        for name in columns
    ]
    words = _WORD.findall(wanted)
    if words:
        query = " & ".join(f"'{word}':*" for word in words)
        tests.append(
            Condition(
                f"{vector(columns, 'r.')} @@ to_tsquery('simple', %(text_words)s::text)",
                {"text_words": query},
            )
        )
    return any_of(tests)


def vector(columns: Sequence[str], prefix: str = "") -> str:
    """The words of some columns, as SQL; `prefix` is the table's alias with its dot."""
    joined = " || ' ' || ".join(f"coalesce({prefix}{sql.identifier(each)}, '')" for each in columns)
    return f"to_tsvector('simple', regexp_replace({joined}, '[^[:alnum:]]+', ' ', 'g'))"


__all__ = ["condition", "vector"]
