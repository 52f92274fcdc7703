"""An authority beside whose ledger somebody serves an agent: it does what the agent may ask for, and no more.

Whoever has the ledger may do anything, and the agent has not got it. So it is asked as over HTTP: by its own token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import RefusedError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.authority.operations import Operation, Result
    from jitid.secret import Secret


class HeldAuthority:
    """Performs for the agent that holds a token what it may ask for."""

    def __init__(self, within: LocalAuthority, token: Secret) -> None:
        """Args are the authority of whoever serves the agent, which stays theirs, and the agent's token."""
        self._within = within
        self._token = token

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation as the agent and return its answer, or raise a `JitidError` that says why not.

        Raises, besides what the operation itself raises:
            InvalidCredentialError: the agent's token is not valid.
            ShownError: it is for services.
            RefusedError: the agent may not ask for it.

        """
        if getattr(operation, "accept_clock", False):
            # That is the word of whoever serves the agent, which may not say it itself.
            self._within.accept_clock()
            operation = operation.replace(accept_clock=False)
        caller = self._within.holder(self._token, operation)
        try:
            return self._within.serving(caller, counted=False).perform(operation)
        except RefusedError:
            # What the token has become meanwhile, it is told as such.
            self._within.holder(self._token, operation)
            raise

    def close(self) -> None:
        """Release nothing: the authority is another's."""
