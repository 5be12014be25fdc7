"""`python -m crm_ops` is the command `crm-ops`."""

from __future__ import annotations

from crm_ops.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
