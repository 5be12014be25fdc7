"""What Redis has of newer bitmaps than this process holds: ours, or nothing."""

from __future__ import annotations

from crm_ops.publish import bitmap_codec
from crm_ops.read import kept
from crm_ops.read.kept import Held
from crm_ops.read.layout import Layout
from crm_ops.read.published import Published


def bitmaps(published: Published, layout: Layout, tenant: str, known: Held) -> Held | None:
    """`known` with what changed since; None for nothing newer, or what is not wholly ours.

    Whether it is the newest, and all of it, PostgreSQL says. Of another set the secret is not
    known, which keeps what somebody else wrote from being read at all: PostgreSQL gives it.
    """
    name = layout.counted.name
    mark = bitmap_codec.mark(known.set_id, known.version)
    stored, *flat = published.bitmaps(name, tenant, mark) or [b""]
    head = bitmap_codec.read_head(stored, name, tenant)
    if head is None or head.set_id != known.set_id or head.version <= known.version:
        return None
    pairs = zip(flat[::2], flat[1::2], strict=True)
    found = [bitmap_codec.read_field(known.secret, *pair) for pair in pairs]
    changed = [each for each in found if each is not None]
    if len(changed) < len(found):
        return None
    return kept.moved(known, head.set_id, head.version, known.secret, changed)


__all__ = ["bitmaps"]
