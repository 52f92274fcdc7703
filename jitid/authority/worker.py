"""An authority in another process, for a program inside of `jitid run`: that process alone loads the ledger's keys.

It performs each operation with the rights of the run's identity, and reads the token of that again each time. It ends
with its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from jitid.authority.remote import fitting
from jitid.authority.wire import codec
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.errors import JitidError, StorageError
from jitid.operation.base import Operation, Result
from jitid.values import strict_json

_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from jitid.authority.worker import serve; serve()"
_END = 10.0
"""Seconds for the process to end after its last answer."""


class WorkerAuthority:
    """An authority whose operations another process performs."""

    def __init__(self, file: str | None, profile: str | None, flags: Mapping[str, str | None]) -> None:
        """Start the process; the arguments are those of `effective.load`. Raises StorageError."""
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        # Reentrant: a signal handler may interrupt a request.
        self._lock = threading.RLock()
        self._is_busy = False
        try:
            # A key press that interrupts this program must not end the process before the revocation.
            # -P: Python imports no module from the current folder.
            self._process = subprocess.Popen(  # noqa: S603 - jitid's own program
                [sys.executable, "-P", "-c", _PROGRAM, package],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise StorageError(f"cannot start a process for the ledger: {reason}") from error
        self._opening = {"file": file, "profile": profile, "flags": dict(flags)}

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails."""
        request = {
            **self._opening,
            "operation": type(operation).__name__,
            "values": codec.encode_operation(operation),
        }
        # Escaped to ASCII, so that no value contains the end of a line.
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            if self._is_busy:
                raise StorageError(
                    "a signal handler interrupted another operation; nothing was changed",
                    "use the identity outside of signal handlers",
                )
            self._is_busy = True
            try:
                answer = self._answer(line)
            finally:
                self._is_busy = False
        if isinstance(answer, dict) and answer.keys() == {"error"}:
            raise codec.decode_error(answer)
        if not isinstance(answer, dict) or answer.keys() != {"result"}:
            codec.refuse(operation)
        return fitting(operation, codec.decode_result(operation, answer["result"]))

    def close(self) -> None:
        """Do nothing: the process serves further operations until `end`."""

    def end(self) -> None:
        """End the process."""
        with self._lock:
            self._close_pipes()
            try:
                self._process.wait(_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def leave(self) -> None:
        """Close the ends of the pipes that a forked process has inherited; the process is its parent's."""
        self._process.returncode = 0
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _answer(self, line: bytes) -> Any:  # noqa: ANN401 - JSON may be anything
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except (OSError, ValueError):
            answer = b""
        try:
            return strict_json.loads(answer)
        except strict_json.StrictJSONError:
            error = StorageError("the process for the ledger has ended before its answer")
            error.unsure = True
            raise error from None


def serve() -> None:
    """Answer the operations on standard input, one in a line, until it ends."""
    with open(0, "rb") as requests, open(1, "wb") as answers:
        for line in requests:
            try:
                answer = {"result": _performed(json.loads(line))}
            except JitidError as error:
                answer = codec.encode_error(error)
            except Exception as error:  # noqa: BLE001 - the program that requested it must get an answer
                # The message of a foreign exception may quote its input.
                answer = codec.encode_error(JitidError(f"{type(error).__name__} (a bug)"))
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()


def _performed(request: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON may be anything
    from jitid.authority.open import as_holder, open_authority
    from jitid.authority.remote import FileCredential
    from jitid.authority.settle_at_targets import confirm
    from jitid.capabilities.inventory.operations import Retire, Revoke
    from jitid.config.effective import load

    config = load(file=request["file"], profile=request["profile"], flags=request["flags"])
    operation = codec.decode_operation(request["operation"], request["values"])
    authority = open_authority(config)
    try:
        token = FileCredential(os.environ[RUN_TOKEN]).read()
        result: Any = as_holder(config, authority, token).perform(operation)
        if isinstance(operation, (Revoke, Retire)):
            # The holder may end an identity, and has no right to settle at targets.
            result = confirm(authority, result)
        return codec.encode_result(operation, result)
    finally:
        authority.close()
