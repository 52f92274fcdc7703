"""The identity of a client's session: found by the process of the client, opened, renewed and ended."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jitid.authority.open import as_holder, open_authority, open_for_issue
from jitid.capabilities.inventory.operations import Inspect, Revoke, ShowTask
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.capabilities.issue.request_options import RequestOptions
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.capabilities.session.clients import Client
from jitid.capabilities.session.operations import RecordSession
from jitid.capabilities.session.session_place import SessionPlace, remove_folder, stale_places
from jitid.cli.issue import issue as issue_verbs
from jitid.cli.issue.request_input import stated_request
from jitid.errors import (
    InvalidCredentialError,
    JitidError,
    NotFoundError,
    PolicyDeniedError,
    StorageError,
    UsageError,
)
from jitid.model.client_session import ClientSession
from jitid.model.credential import USUAL_KIND, State
from jitid.model.ledger_rows import Selection
from jitid.model.process import renewal_due
from jitid.model.request import IssueRequest, RenewRequest
from jitid.model.types import TASK
from jitid.system import read_input
from jitid.values.names import MAX_NAME
from jitid.values.scope import Scope
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.invocation import Invocation

UNNAMED = ""
"""The name of a session whose first token was requested before the client reported its start."""
_MOST_SESSIONS = 64
_MOST_SUBAGENTS = 1_000
_MOST_STALE = 100
"""Maximum number of ended processes whose sessions are revoked when another session starts."""


def is_due(entry: dict[str, Any]) -> bool:
    """Return whether to renew an identity."""
    return bool(entry["renewing"]) or time.time() >= renewal_due(
        entry["issued_at"], entry["expires_at"], entry["depth"]
    )


class Sessions:
    """The sessions of one process, while their place is locked."""

    def __init__(self, cli: Invocation, session_place: SessionPlace, client: Client | None) -> None:
        self._cli = cli
        self._place = session_place
        self.state = session_place.read()
        if client is not None and self.state["client"] is None:
            self.state["client"] = client.name

    @property
    def client(self) -> str:
        """The name of the client."""
        return self.state["client"] or "client"

    def current(self) -> dict[str, Any] | None:
        """Return the session that began last."""
        entry: dict[str, Any] | None = self.state["sessions"].get(self.state["current"])
        return entry

    def find(self, name: str) -> dict[str, Any] | None:
        """Return a session by the client's id; None if it has not begun."""
        entry: dict[str, Any] | None = self.state["sessions"].get(name)
        return entry

    def adopt(self, name: str) -> dict[str, Any] | None:
        """Name the session that began with the request for a token, and return it; None if there is none."""
        entry: dict[str, Any] | None = self.state["sessions"].pop(UNNAMED, None)
        if entry is None:
            return None
        self.state["sessions"][name] = entry
        self._make_current(name)
        self._save()
        return entry

    def open(self, name: str, options: RequestOptions, audience: tuple[str, ...] = ()) -> dict[str, Any]:
        """Open an identity for a session, and return the session. Raises the errors of `issue`."""
        if len(self.state["sessions"]) >= _MOST_SESSIONS:
            raise UsageError(f"{self.client} has {_MOST_SESSIONS} sessions", "end one of them")
        self._place.must_have_room(self.state)
        parent_file = options.parent_file or os.environ.get(RUN_TOKEN) or None
        if parent_file == "-":
            raise UsageError("standard input has the client's event", "name a file: --parent-file FILE")
        parent_file = None if parent_file is None else os.path.abspath(parent_file)
        if parent_file is not None and os.path.dirname(parent_file) == self._place.folder:
            # The client's variables name an earlier session of the same process, which is not its parent.
            parent_file = None
        request_facts = {
            "task": options.task,
            "delegator": options.delegator,
            "agent": options.agent,
            "scope": [str(scope) for scope in options.scope],
            "audience": list(audience or options.audience),
            "may_audience": list(options.may_audience),
            "may_kind": list(options.may_kind),
            "ttl": options.ttl,
            "parent_file": parent_file,
        }
        return self._open(name, request_facts, None)

    def _open(
        self, name: str, request_facts: dict[str, Any], former: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Open an identity as requested, on the task of a `former` one if there is one."""
        issued = self._issue(*self._request(name, request_facts, former))
        file = os.urandom(8).hex()
        entry = {
            **_facts(issued),
            "file": file,
            "task": issued.task,
            "delegator": issued.delegator,
            "scopes": list(issued.scopes),
            "may_audience": list(issued.may_audience),
            "request": request_facts,
            "transcript": None,
            "subagents": {},
            "stopped": [],
        }
        self._keep(issued, file)
        if former is not None:
            self._forget(former)
            entry["transcript"] = former["transcript"]
        self.state["sessions"][name] = entry
        self._make_current(name)
        self._save()
        self.describe(entry, name, entry["transcript"])
        return entry

    def describe(
        self, entry: dict[str, Any], name: str, transcript: str | None, subagent: str | None = None
    ) -> None:
        """Record the client's names for an identity in the ledger. A failure is only reported."""
        session = ClientSession(self.client, name, subagent, transcript or entry.get("transcript"))
        recorded = _digest("\0".join(text or "" for text in session))
        if name == UNNAMED or entry.get("recorded") == recorded:
            return
        try:
            token = Secret.single(self._place.token(entry["file"]))
            open_authority(self._cli.config()).perform(RecordSession(token=token, session=session))
        except JitidError as error:
            self._cli.warn(f"the session was not recorded: {error.message}")
            return
        entry["transcript"], entry["recorded"] = session.transcript, recorded
        self._save()

    def _request(
        self, name: str, request_facts: dict[str, Any], former: dict[str, Any] | None
    ) -> tuple[IssueRequest, Secret | None]:
        cli, parent_file = self._cli, request_facts["parent_file"]
        scopes, may_audience = request_facts["scope"], request_facts["may_audience"]
        task, delegator = request_facts["task"], request_facts["delegator"]
        if task is None and former is not None and not self._is_past_deadline(former["task"]):
            task = former["task"]
        if parent_file is not None and "delegator" in cli.from_environment:
            delegator = None
        if parent_file is None:
            task = task or cli.config().text("task") or self._new_task(name)
            token_file = os.environ.get("JITID_DELEGATOR_TOKEN_FILE")
            if delegator is None and token_file is None and cli.config().remote is None:
                delegator = _own_name()
        elif not (scopes or may_audience or request_facts["audience"]):
            # A session inside of a run has the rights of the run, unless its line states fewer.
            credential = (
                open_authority(cli.config())
                .perform(Inspect(token=read_input.token(parent_file, "the parent's token")))
                .credential
            )
            scopes, may_audience = credential.scopes, credential.may_audience
        options = RequestOptions(
            task=None if task is None else TASK.check(task),
            delegator=delegator,
            delegator_token_file=None if parent_file else os.environ.get("JITID_DELEGATOR_TOKEN_FILE"),
            agent=request_facts["agent"],
            kind=USUAL_KIND,
            scope=tuple(Scope(scope) for scope in scopes),
            audience=tuple(request_facts["audience"]),
            may_audience=tuple(may_audience),
            may_kind=tuple(request_facts["may_kind"]),
            ttl=request_facts["ttl"],
            parent_file=parent_file,
        )
        request, proof = stated_request(cli, options, usual_agent=self.client, identity=True)
        return request._replace(process=self._place.process), proof

    def _is_past_deadline(self, task: str) -> bool:
        """Return whether a task ended by its deadline. If it was retired before, it must stay ended."""
        known = open_authority(self._cli.config()).perform(ShowTask(name=task)).task
        end = known.deadline if known.ended_at is None else known.ended_at
        return time.time() >= known.deadline <= end

    def _new_task(self, name: str) -> str:
        """Return a new name for the task of a session: the name of an ended task is never used again."""
        short = name[:8] if name[:8].isascii() and name[:8].isalnum() else ""
        return f"session/{self.client}/{short}{'-' if short else ''}{os.urandom(4).hex()}"

    def _issue(self, request: IssueRequest, proof: Secret | None) -> Issued:
        operation = Issue(requests=(request,), delegator_token=proof, accept_clock=self._cli.accept_clock)
        authority = open_for_issue(self._cli.config(), operation, self._cli.note)
        if request.parent is not None:
            # The right of the parent decides about the agent's name, not the access of this process to the ledger.
            authority = as_holder(self._cli.config(), authority, request.parent)
        (issued,) = authority.perform(operation)
        for note in issued.notes:
            self._cli.note(note)
        return issued

    def _keep(self, issued: Issued, file: str) -> None:
        """Write a new token to a file; revoke the identity if that fails."""
        (credential,) = issued.credentials
        try:
            self._place.put(file, credential.secret.reveal())
        except BaseException:
            self._revoke([credential.id], "its token could not be written")
            raise

    def refresh(self, entry: dict[str, Any]) -> None:
        """Renew the identity of a session and those of its subagents if that is due.

        A new identity replaces an expired one, if the policy permits it. No identity replaces a revoked one.

        Raises:
            InvalidCredentialError: the identity was revoked, or its task or its parent has ended.

        """
        if is_due(entry) and not self._renew(entry, entry["file"]):
            name = next(name for name, each in self.state["sessions"].items() if each is entry)
            former = dict(entry)
            entry.clear()
            entry.update(self._open(name, former["request"], former))
            self.state["sessions"][name] = entry
            self._save()
        for subagent in list(entry["subagents"].values()):
            if is_due(subagent):
                try:
                    alive = self._renew(subagent, subagent["file"])
                except InvalidCredentialError:
                    alive = False
                if not alive:
                    self._drop(entry, subagent)

    def _renew(self, entry: dict[str, Any], file: str) -> bool:
        """Renew an identity. Return False if it has expired, so that only a new one can replace it."""
        now = time.time()
        # A process that was killed between its renewal and the new file has lost the successor.
        lost = entry["renewing"] and self._has_successor(entry)
        if lost or now >= entry["expires_at"]:
            return self._may_open_again(entry, lost=lost)
        token = Secret.single(self._place.token(file))
        entry["renewing"] = True
        self._save()
        authority = open_authority(self._cli.config())
        try:
            issued = authority.perform(
                Renew(request=RenewRequest(token), accept_clock=self._cli.accept_clock)
            )
            successor = issued.credentials[0].secret.reveal()
            issue_verbs.hand_over(self._cli, authority, issued, lambda: self._place.put(file, successor))
        except InvalidCredentialError:
            entry["renewing"] = False
            self._save()
            raise
        except (PolicyDeniedError, StorageError) as error:
            # The token works until it expires; the next request tries again.
            entry["renewing"] = False
            self._save()
            self._cli.detail(f"the session could not be renewed: {error.message}")
            return True
        finally:
            authority.close()
        entry.update(_facts(issued))
        self._save()
        return True

    def _has_successor(self, entry: dict[str, Any]) -> bool:
        inspection = open_authority(self._cli.config()).perform(Inspect(id=entry["jti"]))
        return inspection.credential.superseded_at is not None

    def _may_open_again(self, entry: dict[str, Any], *, lost: bool) -> bool:
        """Return False if the identity has only expired. Raises InvalidCredentialError if it was ended."""
        inspection = open_authority(self._cli.config()).perform(Inspect(id=entry["id"]))
        credential = inspection.credential
        if credential.ended_as not in (None, State.EXPIRED):
            raise InvalidCredentialError(
                f"the identity of the session was {credential.ended_as}",
                "start the client again for another one",
            )
        if lost:
            self._revoke([entry["id"]], "its renewed token was lost")
        return False

    def start_subagent(
        self, entry: dict[str, Any], name: str, key: str, kind: str | None, transcript: str | None
    ) -> dict[str, Any] | None:
        """Open a child identity for a subagent, and return it; None if it has already stopped.

        Raises the errors of `issue`: the child has the scopes and the reach of its session.
        """
        has_stopped = _digest(key) in entry["stopped"]
        known: dict[str, Any] | None = entry["subagents"].get(key)
        if known is not None:
            return known
        if len(entry["subagents"]) >= _MOST_SUBAGENTS:
            raise UsageError(
                f"the session has {_MOST_SUBAGENTS} subagents", "wait until some of them have stopped"
            )
        self._place.must_have_room(self.state)
        request_facts = entry["request"]
        options = RequestOptions(
            agent=_agent_name(self.client, kind or "subagent"),
            kind=USUAL_KIND,
            scope=tuple(Scope(scope) for scope in entry["scopes"]),
            may_audience=tuple(entry["may_audience"]),
            may_kind=tuple(request_facts["may_kind"]),
            ttl=request_facts["ttl"],
            parent_file=self._place.path(entry["file"]),
        )
        request, _ = stated_request(self._cli, options, identity=True)
        issued = self._issue(request, None)
        file = f"{entry['file']}-{_digest(key)}"
        self._keep(issued, file)
        child = {**_facts(issued), "file": file}
        entry["subagents"][key] = child
        self._save()
        self.describe(child, name, transcript, key)
        if not has_stopped:
            return child
        # Its stop came first. The ledger has the subagent all the same, without a time in which it was live.
        entry["stopped"].remove(_digest(key))
        self._revoke([child["id"]], "the subagent stopped")
        self._drop(entry, child)
        return None

    def stop_subagent(self, entry: dict[str, Any], name: str, key: str, transcript: str | None) -> bool:
        """End the identity of a subagent. Return False if it has none: its start may still come, and opens none."""
        child = entry["subagents"].get(key)
        if child is None:
            entry["stopped"] = [*entry["stopped"], _digest(key)][-_MOST_SUBAGENTS:]
            self._save()
            return False
        self.describe(child, name, transcript, key)
        self._revoke([child["id"]], "the subagent stopped")
        self._drop(entry, child)
        return True

    def stop(self, name: str) -> bool:
        """End the identity of a session, with its subagents. Return False if there is no such session."""
        entry = self.state["sessions"].get(name)
        if entry is None:
            return False
        self._revoke([entry["id"]], "the session ended")
        del self.state["sessions"][name]
        self._forget(entry)
        if self.state["current"] == name:
            self.state["current"] = next(reversed(self.state["sessions"]), None)
        if self.state["sessions"]:
            self._save()
        else:
            self._place.remove()
        return True

    def end_orphans(self) -> None:
        """End the sessions of clients that were killed, and delete their files. A failure leaves them to `sweep`."""
        for folder, ids in stale_places(self._place, _MOST_STALE):
            try:
                if ids:
                    self._revoke(ids, "the client's process has ended")
            except JitidError as error:
                self._cli.detail(f"sessions of an ended process were not revoked: {error.message}")
            else:
                remove_folder(folder)

    def _revoke(self, ids: list[str], reason: str) -> None:
        authority = open_authority(self._cli.config())
        operation = Revoke(
            selection=Selection(ids=tuple(ids)),
            reason=reason,
            closing=True,
            most=None,
            accept_clock=self._cli.accept_clock,
        )
        try:
            ended = authority.perform(operation)
        except NotFoundError:
            # The ledger was pruned, or is another one.
            return
        if ended.unsettled:
            from jitid.authority.settle_at_targets import confirm_quietly

            confirm_quietly(authority, ended, self._cli.warn)

    def _drop(self, entry: dict[str, Any], child: dict[str, Any]) -> None:
        entry["subagents"] = {key: each for key, each in entry["subagents"].items() if each is not child}
        self._save()
        self._place.delete(child["file"])

    def _forget(self, entry: dict[str, Any]) -> None:
        for each in (entry, *entry["subagents"].values()):
            self._place.delete(each["file"])

    def _make_current(self, name: str) -> None:
        self.state["current"] = name

    def _save(self) -> None:
        self._place.write(self.state)


def _facts(issued: Issued) -> dict[str, Any]:
    (credential,) = issued.credentials
    return {
        "id": credential.id,
        "jti": credential.jti,
        "issued_at": issued.issued_at,
        "expires_at": issued.expires_at,
        "depth": issued.depth,
        "renewing": False,
    }


def _digest(text: str) -> str:
    """Return a short text in place of a client's id of any length."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _own_name() -> str:
    import pwd

    try:
        return f"user:{pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        raise UsageError("this user has no name", "name the delegator: --delegator NAME") from None


def _agent_name(client: str, kind: str) -> str:
    """Return a client's name for a type of subagent as the name of an agent, below that of the client.

    The authors of a project choose the type, and must not choose a registered agent with it.
    """
    allowed = [
        character if character.isascii() and (character.isalnum() or character in "._@:+-") else "-"
        for character in kind
    ]
    return f"{client}/{''.join(allowed).strip('-') or 'subagent'}"[:MAX_NAME]
