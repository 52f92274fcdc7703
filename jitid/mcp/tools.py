"""The tools of the server: an agent asks who it is and what it may do, for narrower identities, and hands them back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.authority.operations import HandBack, Inspect, Issue, Operation, Result, Revoke
from jitid.commands import reading
from jitid.commands.requesting import hand_out, request_from
from jitid.environment import open_authority
from jitid.errors import InvalidCredentialError, JitidError, PolicyDeniedError, UsageError
from jitid.identifier import parse_id
from jitid.ledger.records import Selection
from jitid.lifetime import format_duration, format_time
from jitid.mcp import schema
from jitid.mcp.handed import Handed, HandedOut
from jitid.mcp.pace import Pace
from jitid.processes import this_process

if TYPE_CHECKING:
    from jitid.commands.globals import Globals
    from jitid.issuance import Issued
    from jitid.request import IssueRequest

PATIENCE = 2.0
"""Seconds that a call waits for the ledger; its agent can try again, and a signal waits no longer either."""

_TOLD = 10
"""So many identities that could not be ended are named one by one."""


class LimitError(JitidError):
    """The agent asks for more than it may, or faster; trying again later helps."""

    code = "limit"
    retryable = True

    def __init__(self, message: str, hint: str, seconds: float) -> None:
        super().__init__(message, hint)
        self.seconds = seconds
        """In how many it helps."""


class Limits(NamedTuple):
    """How much an agent may have from one server."""

    most: int
    """How many identities may be out at once."""
    rate: int
    """How many times a second the ledger is written to, on the average."""
    keep: bool
    """What is out at the end lives on."""


class Tools:
    """What the agent may do whose own credential is in a file, and what it has been given."""

    def __init__(self, given: Globals, token_file: str, limits: Limits) -> None:
        self._given = given
        self._token_file = token_file
        self._limits = limits
        self._pace = Pace(limits.rate, time.monotonic)
        self.handed = HandedOut()

    def whoami(self, _arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Tell who the agent is and what it holds. Raises JitidError."""
        from jitid import strictjson

        found = self._perform(Inspect(token=self._own_token()))
        own = found.credential
        if found.reason is not None:
            raise _not_valid(InvalidCredentialError(found.reason))
        self._drop_expired()
        return {
            "id": own.id,
            "jti": own.jti,
            "agent": own.agent,
            "delegator": own.delegator,
            "delegator_proof": own.delegator_proof,
            "chain": [own.delegator, *(one.agent for one in reversed(found.lineage)), own.agent],
            "task": own.task,
            "sensitivity": own.sensitivity,
            "scopes": own.scopes,
            "audiences": own.audiences,
            "depth": own.depth,
            "issued_at": format_time(own.issued_at),
            "expires_at": format_time(own.expires_at),
            "task_deadline": format_time(found.task.deadline),
            "most": self._limits.most,
            "handed_out": [_told(one) for one in self.handed.all()],
            **_present(
                purpose=own.purpose,
                parent=own.parent,
                authorization_details=None if own.details is None else strictjson.loads(own.details),
            ),
        }

    def what_may_i_do(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Tell whether a request would pass, changing nothing. Raises JitidError for one that cannot be meant."""
        request = self._request({"agent": "agent", **arguments})
        try:
            (foreseen,) = self._perform(Issue(requests=(request,), dry_run=True))
        except PolicyDeniedError as denial:
            return {
                "permitted": False,
                "reason": denial.message.removeprefix("denied: "),
                "rules": denial.facts.get("rules", []),
                **_present(hint=denial.hint and in_terms_of_tools(denial.hint)),
            }
        except InvalidCredentialError as error:
            raise _not_valid(error) from error
        decision = foreseen.decision
        return {
            "permitted": True,
            "reason": decision.reason,
            "rules": decision.rules,
            "lifetime": format_duration(foreseen.expires_at - foreseen.issued_at),
            **_granted(foreseen),
        }

    def request_identity(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Delegate from the agent's own credential, and tell in which file the token is. Raises JitidError."""
        request = self._request(arguments)
        self._must_have_room()
        self._must_have_a_turn()
        request = request._replace(process=this_process(kept=self._limits.keep))
        authority = open_authority(self._given.config(), patience=PATIENCE)
        try:
            with _signals_held():
                (issued,) = authority.perform(
                    Issue(requests=(request,), accept_clock=self._given.accept_clock)
                )
                hand_out(self._given, authority, [issued], lambda: self.handed.add(issued) and None)
        except InvalidCredentialError as error:
            raise _not_valid(error) from error
        finally:
            authority.close()
        (one,) = self.handed.unshown()
        return {
            "id": one.id,
            "jti": one.jti,
            "token_file": one.token_file,
            "parent": issued.parent,
            "issued_at": format_time(issued.issued_at),
            **_granted(issued),
        }

    def hand_back(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """End the agent's own identity or one below it. Raises JitidError."""
        named = arguments["id"]
        parse_id(named)
        token = self._own_token()
        self._must_have_a_turn()
        try:
            id_, ended = self._perform(
                HandBack(token=token, id=named, reason="handed back", accept_clock=self._given.accept_clock)
            )
        except InvalidCredentialError as error:
            raise _not_valid(error) from error
        self.handed.drop(id_)
        if ended.unproved is not None:
            self._given.warn(f"what leaked of {id_} is not proved dead: {ended.unproved}")
        until = ended.radius.offline_until
        return {
            "id": id_,
            "ended": ended.credentials,
            "identities": ended.radius.identities,
            **_present(offline_until=None if until is None else format_time(until)),
        }

    def end(self) -> None:
        """End what is out, unless it is to be kept, and remove its files; what cannot be done is said.

        Whatever was made for an answer that nobody has got ends in any case. From here on signals wait: a client that
        has closed its end sends them soon.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        doomed = self.handed.unshown() if self._limits.keep else self.handed.all()
        if doomed:
            self._revoke(doomed)
        for one in doomed:
            self.handed.drop(one.id)
        self.handed.close(keep=self._limits.keep)

    def _revoke(self, doomed: list[Handed]) -> None:
        ids = tuple(one.id for one in doomed)
        try:
            open_authority(self._given.config()).perform(
                Revoke(
                    selection=Selection(ids=ids),
                    reason="its MCP server ended",
                    most=None,
                    accept_clock=self._given.accept_clock,
                )
            )
        except Exception as error:  # noqa: BLE001 - nobody else could tell the user which ones live on
            reason = error.message if isinstance(error, JitidError) else type(error).__name__
            last = format_time(max(one.expires_at for one in doomed))
            which = (
                f"jitid revoke {' '.join(ids)}"
                if len(ids) <= _TOLD
                else "jitid list --process gone --field id | jitid revoke --ids-file -"
            )
            self._given.warn(
                f"{len(ids)} of the identities that were handed out could not be ended: {reason}; the last one lives "
                f"until {last}: {self._given.command(which)}"
            )
            self._given.status = error.exit_status if isinstance(error, JitidError) else 1

    def _request(self, arguments: Mapping[str, Any]) -> IssueRequest:
        """Return the request that the arguments of a tool make. Raises UsageError."""
        stated = {
            "task": arguments.get("task"),
            "delegator": None,
            "agent": arguments["agent"],
            "kind": None,
            "scope": arguments.get("scopes"),
            "audience": arguments.get("audiences"),
            "ttl": arguments.get("ttl"),
            "purpose": arguments.get("purpose"),
            "sensitivity": None,
            "deadline": None,
            "detail": None,
        }
        return request_from(stated, self._own_token())

    def _own_token(self) -> Any:  # noqa: ANN401 - a Secret, whose module is loaded with the first one
        # Anew each time: `run` renews it in place.
        return reading.token(self._token_file, "the agent's own token")

    def _perform(self, operation: Operation[Result]) -> Result:
        # Opened anew for each call, as by a command: what the policy says today counts, and the ledger that is there.
        authority = open_authority(self._given.config(), patience=PATIENCE)
        try:
            return authority.perform(operation)
        finally:
            authority.close()

    def _must_have_a_turn(self) -> None:
        seconds = ceil(self._pace.take() * 10) / 10
        if seconds:
            raise LimitError(
                f"too many calls that write to the ledger: more than {self._limits.rate} a second",
                f"try again in {seconds} s",
                seconds,
            )

    def _must_have_room(self) -> None:
        self._drop_expired()
        if len(self.handed) < self._limits.most:
            return
        first = min(one.expires_at for one in self.handed.all())
        raise LimitError(
            f"{self._limits.most} identities are out, which is the most",
            f"hand back one that is no longer needed (hand_back), or try again after {format_time(first)}, when the "
            "next one expires",
            max(ceil(first - time.time()), 1),
        )

    def _drop_expired(self) -> None:
        def expiry_of(id_: str) -> int | None:
            found = self._perform(Inspect(id=id_))
            return found.credential.expires_at if found.active else None

        self.handed.drop_expired(time.time(), expiry_of)


class Tool(NamedTuple):
    """A tool as it is listed, and what performs it."""

    name: str
    title: str
    description: str
    takes: schema.Schema
    gives: schema.Schema
    hints: Mapping[str, bool]
    perform: Callable[[Tools, Mapping[str, Any]], dict[str, Any]]

    def listed(self) -> dict[str, Any]:
        """Return the tool as `tools/list` tells it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.takes,
            "outputSchema": self.gives,
            "annotations": {"title": self.title, "openWorldHint": False, **self.hints},
        }


_LOOKS = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True}

TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "whoami",
            "Who am I",
            "Tell who you are: your identity, for whom and on which task you act, your scopes and audiences, until "
            "when, and which identities you have been given here for sub-agents.",
            schema.NOTHING,
            schema.SELF,
            _LOOKS,
            Tools.whoami,
        ),
        Tool(
            "what_may_i_do",
            "What may I do",
            "Ask whether request_identity would permit something, without doing it: the answer says what would be "
            "granted, or why not and what would pass. Without arguments: whether you may delegate at all.",
            schema.QUESTION,
            schema.DECISION,
            _LOOKS,
            Tools.what_may_i_do,
        ),
        Tool(
            "request_identity",
            "Request an identity for a sub-task",
            "Get a narrower, short-lived identity for a sub-agent or a program, delegated from your own. Ask for the "
            "least scopes and the shortest time that will do. The token is in the file token_file, for the program "
            "that needs it: never read it yourself, and never print it.",
            schema.REQUEST,
            schema.ISSUED,
            {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False},
            Tools.request_identity,
        ),
        Tool(
            "hand_back",
            "Hand an identity back",
            "End an identity that descends from yours, with all that descends from it, as soon as it is no longer "
            "needed; or your own, as the last thing that you do. It cannot be undone.",
            schema.ID,
            schema.HANDED_BACK,
            {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
            Tools.hand_back,
        ),
    )
}


_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals wait that end the process: what has been made must be known here before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_token_file(path: str) -> None:
    """Check that there is a token in the file, and that it can be read more than once. Raises UsageError."""
    import stat

    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        mode = stat.S_IFREG  # whoever reads it says why it cannot be read
    if path == "-" or not stat.S_ISREG(mode):
        raise UsageError(
            "the agent's own token must be in a file: it is read anew for each call",
            "`jitid run` has one, and names it in JITID_PARENT_FILE",
        )
    reading.token(path, "the agent's own token")


_FLAGS = ("scope", "audience", "ttl", "purpose", "task")


def in_terms_of_tools(hint: str) -> str:
    """Return the hint of a verb with the arguments of a tool in the place of the options that it names."""
    for name in _FLAGS:
        hint = hint.replace(f"--{name} ", f"{name} ").replace(f"--{name},", f"{name},")
    return hint


def _not_valid(error: InvalidCredentialError) -> InvalidCredentialError:
    reason = error.message.removeprefix("the parent's credential is not valid: ")
    return InvalidCredentialError(
        f"your own credential is not valid: {reason}",
        "nothing can be asked for with it: whoever started you has to renew it, or give you another one",
    )


def _told(one: Handed) -> dict[str, Any]:
    return {
        "id": one.id,
        "agent": one.agent,
        "task": one.task,
        "scopes": one.scopes,
        "expires_at": format_time(one.expires_at),
        **_present(token_file=one.token_file),
    }


def _granted(issued: Issued) -> dict[str, Any]:
    return {
        "agent": issued.agent,
        "task": issued.task,
        "sensitivity": issued.sensitivity,
        "scopes": issued.scopes,
        "audiences": issued.audiences,
        "depth": issued.depth,
        "expires_at": format_time(issued.expires_at),
        "notes": [in_terms_of_tools(note) for note in issued.notes],
    }


def _present(**values: object) -> dict[str, Any]:
    """Return the values that are there: a null would need a place in the schemas."""
    return {name: value for name, value in values.items() if value is not None}
