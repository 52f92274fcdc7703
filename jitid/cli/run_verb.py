"""The run of a verb: by its function, or, without one, as an operation, with its view for the answer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Verb


def run_verb(cli: Invocation, verb: Verb) -> None:
    """Run a verb. Raises any error of it."""
    operation: Operation[Any] | None = verb if isinstance(verb, Operation) else None
    if operation is not None and "accept_clock" in operation.fields:
        verb = operation = operation.replace(accept_clock=cli.accept_clock)
    if verb.function:
        module, name = verb.function.split(":")
        function = getattr(import_module(f"jitid.cli.{module}"), name)
        if verb.fields:
            function(cli, verb)
        else:
            function(cli)
        return
    from jitid.authority.open import open_authority

    assert operation is not None, "only operations have no function"
    assert verb.view is not None, "they have a view"
    answer = open_authority(cli.config()).perform(operation)
    cli.show_records(verb.view, [answer] if verb.view.single else answer)
