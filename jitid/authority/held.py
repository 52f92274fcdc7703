"""An authority for an agent that a process beside the ledger serves, such as the MCP server.

The process has full access to the ledger, and the agent does not. So the agent's own token authorizes each request, as
over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import RefusedError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.operation.base import Operation, Result
    from jitid.values.secret import Secret


class HeldAuthority:
    """An authority that performs operations with the rights of the agent that holds a token."""

    def __init__(self, within: LocalAuthority, token: Secret) -> None:
        """`within` is the authority of the serving process, which stays open; `token` is the agent's."""
        self._within = within
        self._token = token

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation as the agent and return its answer; raise a `JitidError` if it fails.

        Raises, besides the errors of the operation:
            InvalidCredentialError: the agent's token is not valid.
            ShownError: the token is for services.
            RefusedError: the agent may not perform it.
        """
        within = self._within
        if getattr(operation, "accept_clock", False):
            # The serving process may accept the clock, and the agent may not.
            if getattr(operation, "dry_run", False):
                within = within.with_clock_accepted()
            else:
                within.record_accepted_clock()
            operation = operation.replace(accept_clock=False)
        caller = within.authenticate_holder(self._token, operation)
        try:
            return within.serving(caller, counted=False).perform(operation)
        except RefusedError:
            # If the token has ended meanwhile, this raises the error for that.
            within.authenticate_holder(self._token, operation)
            raise

    def close(self) -> None:
        """Do nothing: the serving process owns the authority."""
