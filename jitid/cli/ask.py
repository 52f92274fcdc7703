"""Confirmation before large losses: at a terminal only, by typing the number."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.cli import read_input
from jitid.errors import UsageError
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation


def can_prompt(cli: Invocation) -> bool:
    """Return whether a user is at a terminal to answer."""
    return not cli.no_input and os.isatty(0) and os.isatty(2)


def confirm(effect: str, number: int, answer: str) -> None:
    """Print the effect and the required answer. Raise UsageError for any answer but the number."""
    output.print_message(f"jitid: this would {effect}")
    output.print_message(f"jitid: type {answer}")
    if read_input.answer() != str(number):
        raise UsageError("not confirmed; nothing was changed", "with --yes nobody is asked")
