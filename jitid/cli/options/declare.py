"""Declaration of an option."""

from __future__ import annotations

from typing import Any

import typer


def option(*names: str, metavar: str | None, text: str, variable: str | None = None) -> Any:  # noqa: ANN401 - as Typer
    """Return the declaration of an option by its names; one without a metavar is a flag."""
    return typer.Option(
        *names, metavar=metavar, help=text, envvar=variable, show_envvar=True, show_default=False
    )
