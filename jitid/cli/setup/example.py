"""`jitid example`: pieces to copy, such as alert rules and a verifier in Python."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.cli.help_text import EXAMPLES
from jitid.cli.invocation import Invocation
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.setup import commands


def example(cli: Invocation, args: commands.ExampleCommand) -> None:
    """Perform `jitid example`."""
    if args.name is None:
        cli.show_records(args.view, [{"example": name, "about": text} for name, text in EXAMPLES.items()])
        return
    cli.expect_own_form()
    with open(os.path.join(FOLDER, args.name), encoding="utf-8") as file:
        output.write(file.read())


FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "examples")
