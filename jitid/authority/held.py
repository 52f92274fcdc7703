"""An authority for an agent that a process beside the ledger serves, such as the MCP server.

The process may do anything with the ledger, and the agent may not. So the agent asks by its own token, as over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import RefusedError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.operation.base import Operation, Result
    from jitid.values.secret import Secret


class HeldAuthority:
    """Performs for the agent that holds a token what it may ask for."""

    def __init__(self, within: LocalAuthority, token: Secret) -> None:
        """Args are the authority of the serving process, which stays open, and the agent's token."""
        self._within = within
        self._token = token

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation as the agent and return its answer, or raise a `JitidError` that says why not.

        Raises, besides what the operation itself raises:
            InvalidCredentialError: the agent's token is not valid.
            ShownError: it is for services.
            RefusedError: the agent may not ask for it.

        """
        within = self._within
        if getattr(operation, "accept_clock", False):
            # The serving process may accept the clock, and the agent may not.
            if getattr(operation, "dry_run", False):
                within = within.accepting()
            else:
                within.accept_clock()
            operation = operation.replace(accept_clock=False)
        caller = within.holder(self._token, operation)
        try:
            return within.serving(caller, counted=False).perform(operation)
        except RefusedError:
            # If the token has ended meanwhile, the error says so.
            within.holder(self._token, operation)
            raise

    def close(self) -> None:
        """Release nothing: the authority is another's."""
