"""Whether the bitmaps held are the newest, as every statement that relies on them says itself."""

from __future__ import annotations

from crm_ops.read.filtered import _SAME as SAME
from crm_ops.read.filtered import Found, _labels, _moved, _newest, _statement

held = _newest
"""The bitmaps that are held, or the newer ones that Redis has."""

statement = _statement
"""A statement of one row that says so, with more columns; it gives what changed."""

moved = _moved
"""The bitmaps after what such a row says that changed."""

labels = _labels
"""The labels of counts that are not yet known, as SQL."""

__all__ = ["SAME", "Found", "held", "labels", "moved", "statement"]
