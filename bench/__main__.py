"""`python -m bench`: measures section by section; each writes its page into docs/benchmarks/."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from bench import setup
from crm_ops.demo import sizes

# In the order of their running; each is a module with `run(setup)`.
SECTIONS = ("counting", "folding", "writing", "read", "sharing", "audit", "page", "airflow")

# These make a CRM of their own instead of the demo's.
_OWN = frozenset({"counting", "folding"})

# A round takes minutes at five million leads.
_ROUNDS = {sizes.LARGE.name: 1}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("section", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--size", choices=sizes.SIZES, default=sizes.MEDIUM.name)
    parser.add_argument("--rounds", type=int, help="5 by default, 1 at the size large")
    parser.add_argument("--output", type=Path, default=setup.ROOT / "docs" / "benchmarks")
    asked = parser.parse_args()
    unknown = sorted(set(asked.section) - set(SECTIONS))
    if unknown:
        parser.error(f"there is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    sections = asked.section or SECTIONS
    rounds = asked.rounds or _ROUNDS.get(asked.size, 5)
    with setup.up(asked.size, rounds, asked.output, demo=not _OWN.issuperset(sections)) as made:
        for section in sections:
            importlib.import_module(f"bench.{section}").run(made)


if __name__ == "__main__":
    main()
