"""Keys with certificates in an ssh-agent that ends with the run."""

from __future__ import annotations

import os
from contextlib import suppress

from jitid.capabilities.run.delivery.delivery import Delivered
from jitid.capabilities.run.key_agent import SshAgent
from jitid.capabilities.run.token_place import private_folder

_LONGEST = 90
"""Maximum bytes in the folder's path: with the socket's name, the path must stay below 100 bytes (unix(7))."""


class RunAgent:
    """An agent for all certificates of a run; SSH_AUTH_SOCK leads to it, and not to the user's own."""

    def __init__(self) -> None:
        self._folder = private_folder(_LONGEST)
        try:
            self._agent = SshAgent(self._folder)
        except BaseException:
            self._remove()
            raise

    def put(self, delivered: Delivered) -> None:
        """Add a key to the agent, instead of the earlier one of that name."""
        self._agent.put(
            delivered.secret.reveal("key"),
            delivered.secret.reveal("certificate"),
            delivered.expires_at,
            delivered.name,
        )

    def environment(self) -> dict[str, str]:
        """Return the variable that leads to the agent."""
        return {"SSH_AUTH_SOCK": self._agent.path}

    def hidden(self) -> frozenset[str]:
        """Return the variable by which the command could end another agent."""
        return frozenset({"SSH_AGENT_PID"})

    def close(self) -> None:
        """End the agent."""
        with suppress(OSError):
            self._agent.close()
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            os.rmdir(self._folder)


DELIVERY = RunAgent
