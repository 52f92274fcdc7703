"""The base of the verbs of the command line: each declares its options and arguments, and is run by its function."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jitid.values.declaration import READS, Declared

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation


class Command(Declared):
    """A verb, with the values of one line as its fields. Its docstring is its help."""

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

    def may_change(self) -> bool:
        """Return whether this line may change data."""
        if any(getattr(self, name, None) for name in ("dry_run", "list_rules")):
            return False
        return self.effect != READS or any(getattr(self, name) for name in self.changes_with)
