"""Checks of the configured targets: whether their tables are valid, and whether they answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import JitidError
from jitid.model.credential import is_outside
from jitid.model.ledger_condition import Check, failure, ok, warning
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.issuers.targets import Targets
    from jitid.operation.context import Context

NAME = "targets"


def visit(context: Context, targets: Targets) -> Iterator[Check]:
    """Yield the result for each target, and warnings about credentials that must still be ended.

    Nothing is made or ended. A target that hangs is given up after its own time limit.
    """
    for name in targets.names():
        try:
            yield ok(NAME, f"{safe(name)}: {_description(context, targets, name)}")
        except JitidError as error:
            error.message = f"{safe(name)}: {safe(error.message)}"
            yield failure(NAME, error)
    with context.ledger.read() as snapshot:
        unsettled = OutsideStore(snapshot).open_count()
        configured = set(targets.names())
        lost = [name for name in OutsideStore(snapshot).targets_due(None) if name not in configured]
    for name in lost:
        yield warning(
            NAME,
            f"{safe(name)}: what is dead in the ledger is to be ended there, and the configuration has no such target",
            f"name it again: a table [target.{safe(name)}]",
        )
    if unsettled:
        description = (
            "1 credential that is dead" if unsettled == 1 else f"{unsettled} credentials that are dead"
        )
        yield warning(NAME, f"{description} in the ledger may still work at a target", "jitid sweep")
    if not targets.names() and not lost:
        yield ok(NAME, "the configuration has none")


def _description(context: Context, targets: Targets, name: str) -> str:
    """Return the kind of a target, and that it answers. Raises the errors of its issuer."""
    target = targets.get(name)
    templates = f"templates {', '.join(map(safe, target.templates))}" if target.templates else "no templates"
    if not is_outside(target.kind):
        return f"{target.kind}, made here; {templates}"
    issuer = targets.open(target)
    try:
        with context.ledger.read() as snapshot:
            ledger_names = OutsideStore(snapshot).names_at(name)
        issuer.expect([entry.name for entry in ledger_names])
        # The first entry of the inventory shows that the target answers.
        next(iter(issuer.inventory()), None)
    finally:
        with suppress(JitidError):
            issuer.close()
    return f"{target.kind}, answers; {templates}"
