"""Keys with certificates in an ssh-agent that ends with the run: it holds them in memory for the command."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from jitid.capabilities.run.delivery.delivery import Delivered
from jitid.capabilities.run.token_place import private_folder
from jitid.errors import NotRunError, StorageError, UsageError
from jitid.system import processes, ssh_agent
from jitid.values.times import expiry_hint

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


_SOCKET = "agent"
_LONGEST_PATH = 100
"""A socket's path has less than 108 bytes on Linux and 104 elsewhere (unix(7))."""
_PATIENCE = 10.0

# The agent is the child of a shell that waits for the end of its standard input, a pipe that this process alone holds
# open. Any end of this process, also by KILL, closes the pipe, and the shell ends the agent. A signal from the kernel
# at the parent's death would be weaker: the kernel clears that setting for setgid programs, such as ssh-agent. If the
# shell is killed, the agent notices that within 10 seconds by itself.
_SCRIPT = 'echo "$SSH_AGENT_PID"; exec >/dev/null; read -r end; kill "$SSH_AGENT_PID"'


class SshAgent:
    """An agent of OpenSSH at a socket in a private folder."""

    def __init__(self, folder: str) -> None:
        """Start it; only this user may be able to enter the folder.

        Raises:
            StorageError: it does not start.
            UsageError: there is no ssh-agent, or the folder's path is too long for a socket.

        """
        import subprocess  # for this kind alone

        self.path = os.path.join(folder, _SOCKET)
        """The value for SSH_AUTH_SOCK."""
        if len(os.fsencode(self.path)) > _LONGEST_PATH:
            raise UsageError(
                f"the path of the ssh-agent's socket would be longer than {_LONGEST_PATH} bytes",
                "set XDG_RUNTIME_DIR or TMPDIR to a folder with a shorter path",
            )
        try:
            program = processes.find_program("ssh-agent", os.environ.get("PATH", os.defpath))
        except NotRunError:
            # NotRunError has the exit status for a missing command, but the command exists.
            raise UsageError(
                "ssh-agent is not in PATH: it must hold the key of an SSH certificate",
                "install the OpenSSH client",
            ) from None
        self._held: dict[str, bytes] = {}
        # The agent gets PATH alone: it needs no other variable of the environment.
        self._process = subprocess.Popen(  # noqa: S603 - no shell but the line above
            [program, "-a", self.path, "/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        # The agent starts the shell once it listens.
        started = self._process.stdout.readline()
        self._process.stdout.close()
        if not started.strip().isdigit():
            self.close()
            raise StorageError("the ssh-agent did not start", "try: ssh-agent -D")

    def put(self, key: str, certificate: str, expires_at: int, name: str = "") -> None:
        """Add a key with its certificate to the agent until that expires, instead of an earlier one of that name.

        Raises:
            StorageError: the agent is gone, or the certificate has expired.
            RefusedError: the agent does not accept it.

        """
        lifetime = expires_at - int(time.time())
        if lifetime < 1:
            raise StorageError(
                "the certificate expired before it was added to the ssh-agent",
                expiry_hint(expires_at, "run the same command again"),
            )
        with ssh_agent.connected(self.path, _PATIENCE) as agent:
            blob = agent.add(key, certificate, lifetime, certificate.rpartition(" ")[2])
            # The new key comes first, so that there is a key at any time.
            earlier = self._held.pop(name, None)
            self._held[name] = blob
            if earlier is not None:
                agent.remove(earlier)

    def close(self) -> None:
        """End the agent, and so remove the keys that it holds."""
        import subprocess

        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(OSError):
            os.unlink(self.path)
