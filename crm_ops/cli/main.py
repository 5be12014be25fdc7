"""The command `crm-ops`: its list of commands, and how an error ends it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import typer

from crm_ops.base import errors
from crm_ops.cli import (
    access,
    audit,
    catalog,
    exits,
    migrate,
    output,
    report,
    run,
    search,
    settings,
    status,
    trigger,
    up,
    verify,
)

app = typer.Typer(
    name="crm-ops",
    help="Keeps a CRM's facet counts, report aggregates, audit log and caches exact and fast.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("run")(run.command)
app.command("trigger")(trigger.command)
app.command("status")(status.command)
app.command("search")(search.command)
app.command("report")(report.command)
app.command("verify")(verify.command)
app.command("migrate")(migrate.command)
app.command("up")(up.command)
app.add_typer(access.app, name="access")
app.add_typer(catalog.app, name="catalog")
app.add_typer(audit.app, name="audit")
app.add_typer(settings.app, name="settings")


def main() -> None:
    """Run the command line; an error of ours is one message on stderr and an exit code."""
    try:
        _require_text(sys.argv)
        app()
    except errors.CrmOpsError as error:
        output.note(f"crm-ops: {error}")
        sys.exit(exits.of_error(error))
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)


def _require_text(arguments: Iterable[str]) -> None:
    """Refuse bytes that are no UTF-8: neither the ledger nor JSON can hold them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise errors.ParameterError(f"the argument {argument!r} is not UTF-8") from error


__all__ = ["app", "main"]
