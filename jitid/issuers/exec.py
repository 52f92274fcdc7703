"""Credentials made by a user's program, which gets JSON requests on its standard input (jitid-exec(7))."""

from __future__ import annotations

import os
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from shlex import quote as word
from typing import Any

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError
from jitid.issuers.issuer import KindSpec
from jitid.issuers.target_issuer import AdoptedReference, KindOptions, OutsideIssuer, TargetOption
from jitid.model.target import (
    EndOutcome,
    Existing,
    Life,
    MadeCredential,
    Probe,
    Settlement,
    Target,
    TargetRecord,
    jti_of,
    prefix_of,
)
from jitid.system import time_limit
from jitid.system.files import changeable
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.text import safe

VERSION = 1
"""The version of requests and answers."""
MOST_ANSWER = 1 << 20
"""Maximum bytes of standard output; a program that writes more is killed."""
AT_ONCE = 500
"""Maximum number of credentials in one request."""
REFUSED, UNSUPPORTED = 6, 2
"""Exit statuses of a program: it refuses for good; it lacks the operation. Others mean a temporary failure."""
_MOST_PARTS, _MOST_PART, _MOST_TEXT, _MOST_FACTS = 16, 65_536, 500, 32
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")

OPTIONS: Mapping[str, TargetOption] = {
    "program": TargetOption(
        "place", "the program; only root and this user may have write access to it", required=True
    ),
    "arguments": TargetOption("texts", "the arguments of the program"),
    "environment": TargetOption("table", "its environment variables besides PATH, HOME and LANG; no secrets"),
    "prefix": TargetOption("text", "the prefix of jitid's names there, if several ledgers use the target"),
    "options": TargetOption("table", "additional options in each request"),
}
TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "options": TargetOption("table", "additional options in each `mint` request for this template")
}


_running: set[int] = set()
"""The process groups of the running programs; each was started by its own thread."""


def end_running() -> None:
    """Kill the running programs: the command no longer waits for their answers."""
    for group in tuple(_running):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


class _UnsupportedError(JitidError):
    """The program does not have an operation."""


class _Ran(Record):
    status: int
    output: bytes
    errors: int
    """The number of bytes on standard error. Their text is never shown, since it may contain a secret."""


class ExecIssuer(OutsideIssuer):
    """An issuer that runs one program per request, and afterwards kills it with all processes that it started."""

    def __init__(self, target: Target, *, timeout: float, issuer: str) -> None:
        self._target = target
        self._timeout = timeout
        self._issuer = issuer
        self._program: str = target.options["program"]
        check_program(self._program)

    def mint(self, record: TargetRecord, remember: Callable[[str], None]) -> MadeCredential:  # noqa: ARG002 - it derives names
        """Request the credential of a record."""
        table = {} if record.template is None else self._target.templates.get(record.template, {})
        options = dict(table.get("options", {}))
        try:
            answer = self._call("mint", credential=_record_members(record), template_options=options)
        except _UnsupportedError as error:
            raise ConfigurationError(error.message) from None
        secret = _secret(answer.get("secret"))
        # A part may be the name itself, such as a user name; then it is not secret.
        secret_parts = [secret.reveal(name) for name in secret.names if secret.reveal(name) != record.name]
        return MadeCredential(
            secret, _kept(answer.get("reference"), secret_parts), _facts(answer.get("facts"), secret_parts)
        )

    def revoke(self, records: Sequence[TargetRecord]) -> list[EndOutcome]:
        """Request the removal of credentials, up to `AT_ONCE` in a request."""
        outcomes: list[EndOutcome] = []
        for start in range(0, len(records), AT_ONCE):
            batch = records[start : start + AT_ONCE]
            try:
                answer = self._call("revoke", credentials=[_record_members(record) for record in batch])
                answer_outcomes = answer.get("outcomes")
                reported = answer_outcomes if isinstance(answer_outcomes, dict) else {}
                outcomes += [self._outcome(record, reported.get(record.jti)) for record in batch]
            except _UnsupportedError as error:
                outcomes += [
                    EndOutcome(Settlement.UNSUPPORTED, error.message, record.expires_at) for record in batch
                ]
            except RefusedError as error:
                outcomes += [EndOutcome(Settlement.STUCK, error.message)] * len(batch)
            except JitidError as error:
                outcomes += [EndOutcome(Settlement.UNAVAILABLE, error.message)] * len(batch)
        return outcomes

    def probe(self, record: TargetRecord, secret: Secret | None = None) -> Probe:
        """Request whether a credential works."""
        parts = None if secret is None else {name: secret.reveal(name) for name in secret.names}
        try:
            answer = self._call("probe", credential=_record_members(record), secret=parts)
        except _UnsupportedError as error:
            return Probe(Life.UNKNOWN, error.message)
        life = answer.get("life")
        if life not in tuple(Life):
            raise self._unclear("without a valid `life`")
        seen = answer.get("seen")
        if isinstance(seen, str):
            # The program may repeat the secret in `seen`, which the ledger keeps.
            for part in (parts or {}).values():
                seen = seen if part == record.name else seen.replace(part, "****")
        return Probe(Life(life), _shown(seen) or f"the program answered `life`: {life}")

    def inventory(self) -> Iterator[Existing]:
        """Request a list of all that exists. Raises StorageError also if the program has no such operation."""
        try:
            answer = self._call("inventory")
        except _UnsupportedError as error:
            raise StorageError(error.message, "add the operation to the program; see jitid-exec(7)") from None
        entries = answer.get("existing")
        if not isinstance(entries, list):
            raise self._unclear("without a list `existing`")
        for entry in entries:
            yield self._existing(entry)

    def close(self) -> None:
        """Do nothing: each request had its own process."""

    def _existing(self, entry: object) -> Existing:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(name, str) or not name or len(name) > _MOST_TEXT:
            raise self._unclear("with an entry of `existing` without a valid `name`")
        if type(entry.get("live")) is not bool:
            raise self._unclear("with an entry of `existing` without `live`")
        return Existing(
            name,
            jti_of(self._target, name),
            entry["live"],
            _time(entry.get("created_at")),
            _time(entry.get("used_at")),
            _shown(entry.get("detail")) or "",
        )

    def _outcome(self, record: TargetRecord, reported: object) -> EndOutcome:
        settlement = reported.get("settlement") if isinstance(reported, dict) else None
        if not isinstance(reported, dict) or settlement not in tuple(Settlement):
            return EndOutcome(Settlement.UNAVAILABLE, f"the program {self._shown} reported no outcome for it")
        honoured_until = _time(reported.get("honoured_until"))
        if settlement == Settlement.UNSUPPORTED and honoured_until is None:
            honoured_until = record.expires_at
        return EndOutcome(
            Settlement(settlement),
            _shown(reported.get("proof")) or f"the program answered `settlement`: {settlement}",
            honoured_until,
        )

    def _call(self, operation: str, **values: object) -> dict[str, Any]:
        request = strict_json.dumps(
            {
                "version": VERSION,
                "operation": operation,
                "issuer": self._issuer,
                "target": self._target.name,
                "prefix": prefix_of(self._target),
                "timeout": int(self._timeout),
                "options": dict(self._target.options.get("options", {})),
                **values,
            }
        )
        ran = self._run(request.encode() + b"\n")
        errors_note = f"; it wrote {ran.errors} bytes to standard error" if ran.errors else ""
        if ran.status == REFUSED:
            raise RefusedError(f"the program {self._shown} refuses to {operation}{errors_note}")
        if ran.status == UNSUPPORTED:
            raise _UnsupportedError(f"the program {self._shown} has no operation {operation}{errors_note}")
        if ran.status:
            how = (
                f"was killed by signal {-ran.status}"
                if ran.status < 0
                else f"exited with status {ran.status}"
            )
            raise StorageError(f"the program {self._shown} {how}{errors_note}")
        try:
            answer = strict_json.loads(ran.output, "its answer")
        except strict_json.StrictJSONError:
            # The parser's message might repeat a part of the answer.
            raise self._unclear(f"with invalid JSON{errors_note}") from None
        version = answer.get("version") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or type(version) is not int or version != VERSION:
            raise self._unclear(f"without an object with `version` {VERSION}{errors_note}")
        return answer

    @property
    def _shown(self) -> str:
        return safe(self._program)

    def _unclear(self, description: str) -> StorageError:
        return StorageError(
            f"the program {self._shown} answered {description}", "for the expected answers: man 7 jitid-exec"
        )

    def _run(self, request: bytes) -> _Ran:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment.update(self._target.options.get("environment", {}))
        check_program(self._program)
        try:
            child = subprocess.Popen(  # noqa: S603 - the user's own program, without a shell
                [self._program, *self._target.options.get("arguments", ())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                # A separate group, so that its child processes can be killed too.
                start_new_session=True,
            )
        except OSError as error:
            raise StorageError(f"the program {self._shown} cannot be started: {error.strerror}") from None
        _running.add(child.pid)
        try:
            return _converse(child, request, time.monotonic() + time_limit.left(self._timeout), self._shown)
        finally:
            # Kill also its child processes: none of them may continue with an ended request.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            _running.discard(child.pid)
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            child.wait()


def _converse(child: subprocess.Popen[bytes], request: bytes, deadline: float, program: str) -> _Ran:
    """Write the request and read the answer until the program has ended, even if other processes hold its pipes."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    pidfd = os.pidfd_open(child.pid)
    output, errors, unsent = bytearray(), 0, memoryview(request)
    try:
        with selectors.DefaultSelector() as waiting:
            for stream in (child.stdin, child.stdout, child.stderr):
                os.set_blocking(stream.fileno(), False)
            waiting.register(child.stdin, selectors.EVENT_WRITE)
            waiting.register(child.stdout, selectors.EVENT_READ)
            waiting.register(child.stderr, selectors.EVENT_READ)
            waiting.register(pidfd, selectors.EVENT_READ)
            has_ended = False
            while True:
                ready = waiting.select(0 if has_ended else max(deadline - time.monotonic(), 0))
                if not ready:
                    if has_ended:
                        # All output from before its end was read.
                        return _Ran(child.wait(), bytes(output), errors)
                    raise StorageError(
                        f"the program {program} did not answer in time and was killed",
                        "the limit is the option `timeout` of the target",
                    )
                for key, _ in ready:
                    if key.fileobj is pidfd:
                        has_ended = True
                        waiting.unregister(pidfd)
                    elif key.fileobj is child.stdin:
                        unsent = _written(child.stdin.fileno(), unsent)
                        if not unsent:
                            waiting.unregister(child.stdin)
                            child.stdin.close()
                    else:
                        chunk = _read(key.fd)
                        if chunk is None:
                            continue
                        if not chunk:
                            waiting.unregister(key.fileobj)
                        elif key.fileobj is child.stdout:
                            output += chunk
                        else:
                            errors += len(chunk)
                if len(output) > MOST_ANSWER:
                    raise StorageError(
                        f"the program {program} wrote more than {MOST_ANSWER} bytes and was killed"
                    )
                if time.monotonic() >= deadline:
                    # A process that writes without end is always ready, such as a child that the program left behind.
                    if has_ended:
                        return _Ran(child.wait(), bytes(output), errors)
                    raise StorageError(f"the program {program} did not exit in time and was killed")
    finally:
        os.close(pidfd)


def _written(descriptor: int, unsent: memoryview) -> memoryview:
    try:
        return unsent[os.write(descriptor, unsent) :]
    except BlockingIOError:
        return unsent
    except BrokenPipeError:
        # The program need not read the whole request.
        return unsent[len(unsent) :]


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return None


def check_program(path: str) -> None:
    """Check that a program is an executable file, and that only root and this user can change it or its path.

    Raises:
        ConfigurationError: it does not exist or is not executable, or other users could replace it.

    """
    program = safe(path)
    if not path.startswith("/"):
        raise ConfigurationError(f"the path of the program {program} is not absolute")
    try:
        status = os.stat(path)
        exposed_path = changeable(path)
    except OSError as error:
        raise ConfigurationError(f"the program {program} cannot be used: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK):
        raise ConfigurationError(f"{program} is not an executable file")
    if exposed_path is not None:
        raise ConfigurationError(
            f"other users can change {safe(exposed_path)}; the program {program} was not started",
            f"its owner must be root or this user; then: chmod go-w {word(exposed_path)}",
        )


def _record_members(record: TargetRecord) -> dict[str, Any]:
    """Return the members of a request that describe a credential."""
    members = record._asdict()
    return {name: list(value) if isinstance(value, tuple) else value for name, value in members.items()}


def _secret(parts: object) -> Secret:
    if not isinstance(parts, dict) or not 0 < len(parts) <= _MOST_PARTS:
        raise StorageError(f"the program's answer needs a `secret` of 1 to {_MOST_PARTS} parts")
    for name, value in parts.items():
        if not _NAME.issuperset(name) or not 0 < len(name) <= 64:
            raise StorageError(
                "the program's answer has a part of the secret with an invalid name: expected a-z, 0-9 and _"
            )
        if not isinstance(value, str) or not 0 < len(value) <= _MOST_PART or "\0" in value:
            raise StorageError(
                f"the program's answer has a part of the secret that is not a text of 1 to {_MOST_PART} characters"
            )
    return Secret(parts)


def _kept(value: object, secrets: Sequence[str]) -> str | None:
    """Return a text for the ledger. Raises StorageError for an invalid text, and for a text with a secret."""
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT or not value.isprintable():
        raise StorageError(
            f"a reference or fact in the program's answer must be a text of 1 to {_MOST_TEXT} characters"
        )
    if any(secret in value for secret in secrets if len(secret) >= 8):
        raise StorageError(
            "a reference or fact in the program's answer contains a part of the secret; it was not stored"
        )
    return value


def _facts(facts: object, secrets: Sequence[str]) -> dict[str, str]:
    if facts is None:
        return {}
    if not isinstance(facts, dict) or len(facts) > _MOST_FACTS:
        raise StorageError(
            f"`facts` in the program's answer must be an object of at most {_MOST_FACTS} members"
        )
    return {str(_kept(name, secrets)): str(_kept(value, secrets)) for name, value in facts.items()}


def _shown(value: object) -> str | None:
    return safe(value[:_MOST_TEXT]) if isinstance(value, str) and value.strip() else None


def _time(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None


KIND = KindSpec(
    target=lambda target, call: ExecIssuer(target, timeout=call.timeout, issuer=call.issuer),
    options=lambda: KindOptions(OPTIONS, TEMPLATE_OPTIONS),
    adopted=AdoptedReference("its name at the program", lambda text: text),
)
