"""`jitid authorize`: decide on an action, for enforcement points and scripts.

With --batch: a JSON line in for each action, and a JSON line out, in the same order.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.authority.open_local import policy_mark, watch
from jitid.capabilities.use.authorization import (
    EMPTY,
    UseRequest,
    check_action,
    check_context,
    check_resource,
)
from jitid.capabilities.use.operations import Authorize
from jitid.cli import input_lines
from jitid.cli.invocation import Invocation
from jitid.errors import (
    ConfigurationError,
    DiskError,
    ExitStatus,
    JitidError,
    PartialError,
    StorageError,
    UsageError,
)
from jitid.formats.json import dumps
from jitid.system import output, read_input
from jitid.system.read_input import check_one_stdin, read
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.text import quote, refuse_token
from jitid.values.times import optional_time

if TYPE_CHECKING:
    from jitid.capabilities.use.authorization import RecordedUses, UseVerdict
    from jitid.operation.base import Authority


def row_of(request: UseRequest, verdict: UseVerdict, decided_at: str | None, event: int) -> dict[str, Any]:
    """Return the verdict on an action as a row with the fields of the view."""
    credential, ancestors = verdict.credential, [ancestor.agent for ancestor in reversed(verdict.lineage)]
    computed = {
        "decision": "allow" if verdict.allowed else "deny",
        "action": request.action,
        "resource": request.resource,
        "chain": None if credential is None else (credential.delegator, *ancestors, credential.agent),
        "at": decided_at,
        "event": event,
    }
    return Authorize.view.row(verdict, computed)


_LONGEST_CONTEXT = 1 << 16
"""Maximum number of bytes of a context; its canonical form may be shorter."""


def authorize(cli: Invocation, operation: Authorize) -> None:
    """Perform `jitid authorize`."""
    token_file, action, resource, context = (
        operation.token_file,
        operation.action,
        operation.resource,
        operation.context,
    )
    if operation.batch:
        if any(value is not None for value in (token_file, action, resource, context)):
            raise UsageError(
                "with --batch each line is a request", "the only other option with --batch is --audience"
            )
        batch(cli, operation)
        return
    if action is None or resource is None:
        missing = "--action" if action is None else "--resource"
        raise UsageError(
            f"`{missing}` is required",
            "name the action and the resource: --action ACTION --resource RESOURCE",
        )
    path = token_file or "-"
    context_text = EMPTY if context is None else _context(context, path)
    request = UseRequest(
        read_input.token(path, "the token"), check_action(action), check_resource(resource), context_text
    )
    decided = open_authority(cli.config()).perform(operation.replace(asked=(request,)))
    (verdict,) = decided.verdicts
    row = row_of(request, verdict, optional_time(decided.at), decided.event)
    cli.show_row(operation.view, row, empty=(None, ()))
    if not verdict.allowed:
        cli.status = ExitStatus.DENIED if verdict.valid else ExitStatus.INVALID


def _context(text: str, token_file: str) -> str:
    if text.startswith("@"):
        check_one_stdin(token_file, text[1:])
        data = read(text[1:], _LONGEST_CONTEXT, "the context")
    else:
        data = text.encode()
    if len(data) > _LONGEST_CONTEXT:
        raise UsageError(f"the context is longer than {_LONGEST_CONTEXT} bytes")
    try:
        return check_context(strict_json.loads(data, "the context"))
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error), 'write a JSON object, such as {"ip": "192.0.2.1"}, or @FILE') from error


_MEMBERS = ("token", "action", "resource", "context", "id")
_KNOWN = frozenset(_MEMBERS)
_LONGEST_ID = 256
_POLICY_INTERVAL = 1.0
"""Seconds after which a changed policy is noticed, at the latest."""


class _ReadLine(Record):
    """A parsed line."""

    number: int
    id: str | int | None
    """Id that the answer repeats."""
    asked: UseRequest | None
    error: JitidError | None


def batch(cli: Invocation, operation: Authorize) -> None:
    """Answer lines until the input ends.

    Lines that are available together are decided and recorded together, and answered after that. An action that cannot
    be recorded is denied.

    Raises:
        PartialError: some lines were invalid; their answers have the errors.
        StorageError: some actions could not be recorded.
        JitidError: no further decision is possible; each line read so far has an answer.
        OutputError: the reader of the answers is gone.

    """
    if cli.field or cli.format not in (None, "jsonl"):
        raise UsageError(
            "answers can only be written as JSON lines",
            "omit --format and --field; to select fields, pipe the lines to jq",
        )
    deciding = _Deciding(cli, operation)
    # Reference counting frees the objects of a line. The cycle collector need not run every few lines.
    gc.set_threshold(input_lines.GC_THRESHOLD)
    lines = input_lines.Lines("the list of actions")
    invalid = 0
    while new_lines := lines.some():
        parsed_lines = [_read(line) for line in new_lines]
        invalid += sum(line.error is not None for line in parsed_lines)
        output.write("".join(deciding.answers(parsed_lines)))
        if deciding.fatal_error is not None:
            raise deciding.fatal_error
    if deciding.failed is not None:
        raise deciding.failed
    if invalid:
        raise PartialError(
            f"{invalid} invalid line{'' if invalid == 1 else 's'}, denied and not recorded",
            "the answer to each one has its line number and its error",
        )


class _Deciding:
    """Decisions by the current ledger and the current policy."""

    def __init__(self, cli: Invocation, operation: Authorize) -> None:
        self._operation = operation
        self._config = cli.config()
        self._mark, self._next_policy_check = policy_mark(self._config), monotonic()
        self._authority: Authority = open_authority(self._config)
        self._check = watch(self._config)
        self._decided = False
        self.failed: JitidError | None = None
        """The last error that denied actions which might have been allowed."""
        self.fatal_error: JitidError | None = None
        """The error after which no further decision is possible."""

    def answers(self, lines: Sequence[_ReadLine]) -> list[str]:
        """Record the actions, and return a line for each line that was read."""
        requests = [line.asked for line in lines if line.asked is not None]
        decided = None
        if requests:
            try:
                decided = self._decide(tuple(requests))
            except JitidError as error:
                self._failed(error)
        if decided is None:
            return [_refused(line, line.error or self.failed) for line in lines]
        decided_at, verdicts = optional_time(decided.at), iter(decided.verdicts)
        return [
            _refused(line, line.error)
            if line.asked is None
            else _line(line, row_of(line.asked, next(verdicts), decided_at, decided.event))
            for line in lines
        ]

    def _decide(self, requests: tuple[UseRequest, ...]) -> RecordedUses:
        try:
            self._check()
        except JitidError as error:
            self.fatal_error = error
            raise
        self._follow_policy()
        decided = self._authority.perform(self._operation.replace(asked=requests))
        # --accept-clock covers one jump of the clock, not later ones.
        self._operation, self._decided = self._operation.replace(accept_clock=False), True
        return decided

    def _follow_policy(self) -> None:
        """Reopen the authority with the new policy if the policy has changed."""
        now = monotonic()
        if now < self._next_policy_check:
            return
        mark = policy_mark(self._config)
        if mark != self._mark:
            authority = open_authority(self._config)
            self._authority.close()
            self._authority, self._mark = authority, mark
        self._next_policy_check = now + _POLICY_INTERVAL

    def _failed(self, error: JitidError) -> None:
        self.failed = error
        # A storage or configuration error may pass or be repaired, so a run that has worked goes on. A DiskError does
        # not pass: later answers would rest on writes that the disk may have lost.
        passes = isinstance(error, (StorageError, ConfigurationError)) and not isinstance(error, DiskError)
        if not self._decided or not passes:
            self.fatal_error = error


def _read(line: input_lines.InputLine) -> _ReadLine:
    try:
        if line.text is None:
            raise UsageError(f"it is longer than {input_lines.LONGEST} bytes")
        if not line.text.strip():
            raise UsageError("it is blank")
        members = strict_json.loads(line.text, "it")
        if type(members) is not dict:
            raise UsageError("it is not a JSON object")
    except (strict_json.StrictJSONError, UsageError) as error:
        return _ReadLine(line.number, None, None, _at(line.number, error))
    try:
        id_ = _id(members.get("id"))
    except UsageError as error:
        return _ReadLine(line.number, None, None, _at(line.number, error))
    try:
        return _ReadLine(line.number, id_, _request(members), None)
    except UsageError as error:
        return _ReadLine(line.number, id_, None, _at(line.number, error))


def _request(members: Mapping[str, Any]) -> UseRequest:
    if not members.keys() <= _KNOWN:
        unknown = min(members.keys() - _KNOWN)
        raise UsageError(f"unknown member {quote(unknown)}", f"the members are: {', '.join(_MEMBERS)}")
    texts = []
    for name in _MEMBERS[:3]:
        value = members.get(name)
        if type(value) is not str or not value:
            raise UsageError(f"its member `{name}` must be text")
        texts.append(value)
    token, action, resource = texts
    context = members.get("context")
    return UseRequest(
        Secret.single(token),
        check_action(action),
        check_resource(resource),
        EMPTY if context is None else check_context(context),
    )


def _id(value: object) -> str | int | None:
    """Return the id for the answer. Raises UsageError if it is neither text nor a whole number, or if it is a token."""
    if value is None or type(value) is int:
        return value
    if type(value) is not str or len(value) > _LONGEST_ID:
        raise UsageError(
            f"its member `id` must be a whole number, or text of at most {_LONGEST_ID} characters"
        )
    refuse_token(value, "an id")
    return value


def _at(line_number: int, error: strict_json.StrictJSONError | UsageError) -> UsageError:
    hint = error.hint if isinstance(error, UsageError) else None
    return UsageError(f"line {line_number}: {error}", hint)


def _refused(line: _ReadLine, error: JitidError | None) -> str:
    """Return the answer to a line that was not recorded."""
    assert error is not None
    details = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    return _line(line, {"decision": "deny", "line": line.number, "error": details})


def _line(line: _ReadLine, row: dict[str, Any]) -> str:
    return dumps(row if line.id is None else {"id": line.id, **row}) + "\n"
