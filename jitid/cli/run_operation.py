"""The verbs that are one operation and one view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from jitid.authority.open import open_authority

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Operation, Verb


def run_operation(cli: Invocation, verb: Verb) -> None:
    """Perform an operation, and show its answer by its view."""
    operation = cast("Operation[Any]", verb)
    if "accept_clock" in operation.fields:
        operation = operation.replace(accept_clock=cli.accept_clock)
    answer = open_authority(cli.config()).perform(operation)
    assert verb.view is not None
    cli.show_records(verb.view, [answer] if verb.view.single else answer)
