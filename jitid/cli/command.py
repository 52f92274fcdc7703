"""The base of the verbs of the command line: each declares its options and arguments, and is run by its function."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jitid.operation.base import Verb

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation


class Command(Verb):
    """A verb that composes operations, or works without an authority."""

    function = ""
    """The module in `cli/` and the function in it that runs the verb; loaded when the verb is used."""

    def run(self, cli: Invocation) -> None:
        """Run the verb. Raises any error of it."""
        module, name = self.function.split(":")
        function = getattr(import_module(f"jitid.cli.{module}"), name)
        if self.fields:
            function(cli, self)
        else:
            function(cli)
