"""Commands that work with the tools of the jobs: opened, closed, and their options in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from crm_ops.cli import options, tools

_SHARED: dict[str, Any] = {
    "database_url": options.DatabaseUrl,
    "redis_url": options.RedisUrl,
    "catalog": options.CatalogPath,
}


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as the command `name`; its first argument is what is opened for it.

    The command has the function's other parameters, then the options that say where everything is.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def run(
            *,
            database_url: str | None = None,
            redis_url: str | None = None,
            catalog: Path | None = None,
            **given: Any,
        ) -> None:
            where = tools.settings_from(database_url, redis_url, catalog)
            with tools.opened(where) as opened:
                function(opened, **given)

        run.__doc__ = function.__doc__
        run.__signature__ = _signature(function)  # type: ignore[attr-defined]
        run.__annotations__ = {
            each.name: each.annotation for each in _signature(function).parameters.values()
        }
        app.command(name)(run)
        return function

    return register


def _signature(function: Callable[..., None]) -> inspect.Signature:
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in _SHARED.items()
    ]
    named = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    return inspect.Signature([*named, *shared])


__all__ = ["command"]
