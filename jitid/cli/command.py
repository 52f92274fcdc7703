"""The base of the verbs of the command line: each declares its options and arguments, and is run by its function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.fields import READS, Declared

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation


class Command(Declared):
    """A verb, with the values of one line as its fields. Its docstring is its help."""

    def run(self, cli: Invocation) -> None:
        """Run the verb. Raises any error of it."""
        raise NotImplementedError

    def may_change(self) -> bool:
        """Return whether this line may change data."""
        if any(getattr(self, name, None) for name in ("dry_run", "list_rules")):
            return False
        return self.effect != READS or any(getattr(self, name) for name in self.changes_with)
