"""The declaration of a verb of the command line: an operation with a verb, or a composed command."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jitid.values.declaration import Declared, flag, opt
from jitid.values.field_types import COUNT, FILE, LIMIT, SHORT_REASON

if TYPE_CHECKING:
    from jitid.formats.columns import Columns

READS = "reads"
"""The effect of a verb or an operation that changes nothing."""
IDEMPOTENT = "idempotent"
"""The effect of an operation that changes something once, however often it is repeated."""
KEYED = "keyed"
"""The effect of an operation with an idempotency key: a repetition replaces the result of the first try."""


class Verb(Declared):
    """A verb, with the values of one line as its fields. Its docstring is its help."""

    verb: ClassVar[str] = ""
    """Its words; empty for an operation that has no verb."""
    effect: ClassVar[str] = ""
    """`READS`, `IDEMPOTENT` or `KEYED`; empty if a repetition would change something again."""
    changes_with: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that make a reading verb change data."""
    runs_command: ClassVar[bool] = False
    """Whether the last words of its line are another command, passed on unchanged."""
    view: ClassVar[Columns | None] = None
    """The fields of its output; None if its output has one form."""
    formats: ClassVar[tuple[str, ...]] = ()
    """Its own formats, besides those of all verbs."""
    only_formats: ClassVar[tuple[str, ...] | None] = None
    """All its formats, if it has none of the usual ones and no fields; empty if its output has one form alone."""
    repairs_configuration: ClassVar[bool] = False
    """Whether it works with an invalid configuration too; its function then checks the format and the field."""

    def shown_view(self) -> Columns | None:
        """Return the fields of this line's output, if an option changes them; None if its output has one form."""
        return self.view

    def may_change(self) -> bool:
        """Return whether this line may change data."""
        if any(getattr(self, name, None) for name in ("dry_run", "list_rules")):
            return False
        return self.effect != READS or any(getattr(self, name) for name in self.changes_with)


# Options that many verbs have.


def dry_run_flag() -> bool:
    """Declare `--dry-run`."""
    return flag("--dry-run", help="Say what would be done, and do nothing.")


def max_opt() -> int | None:
    """Declare `--max`, the number of credentials that a verb may revoke without `--yes`."""
    return opt(COUNT, "--max", help="Refuse to end more than N without --yes.")


def yes_flag() -> bool:
    """Declare `--yes` of a verb that revokes credentials."""
    return flag("--yes", help="End them without asking, however many.")


def reason_opt() -> str | None:
    """Declare `--reason`."""
    return opt(SHORT_REASON, "--reason", help="Why; kept in the audit log.")


def limit_opt() -> int | None:
    """Declare `--limit`, the number of rows."""
    return opt(LIMIT, "--limit", help="At most N rows.")


def public_out_opt() -> str | None:
    """Declare `--out` of a verb that prints public data."""
    return opt(FILE, "--out", help="Write it to FILE, for everybody to read (0644).")


def private_out_opt() -> str | None:
    """Declare `--out` of a verb that prints secret or confidential data."""
    return opt(FILE, "--out", help="Write it to FILE, for its owner alone (0600).")
