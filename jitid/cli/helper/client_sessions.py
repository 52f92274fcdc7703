"""The sessions of a client's process, with their subagents: begun, named, kept alive and ended."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.capabilities.session.operations import RecordSession
from jitid.capabilities.session.session_place import SessionPlace, remove_folder, stale_places
from jitid.cli.helper.session_identity import SessionIdentities, ended_as, facts, is_due
from jitid.cli.helper.session_request import request_facts, session_request, subagent_request
from jitid.errors import InvalidCredentialError, JitidError, NotFoundError, UsageError
from jitid.model.client_session import ClientSession
from jitid.system import processes
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.capabilities.issue.request_options import RequestOptions
    from jitid.capabilities.session.clients import Client
    from jitid.cli.invocation import Invocation
    from jitid.model.process import Process

UNNAMED = ""
"""The name of a session whose first token was requested before the client reported its start."""
_MOST_SESSIONS = 64
_MOST_SUBAGENTS = 1_000
_MOST_STALE = 100
"""Maximum number of ended processes whose sessions are revoked when another session starts."""


class Sessions:
    """The sessions of one process, while their place is locked."""

    def __init__(
        self,
        cli: Invocation,
        session_place: SessionPlace,
        client: Client | None,
        outer_token: Callable[[Invocation, Process], str | None],
    ) -> None:
        """`outer_token` returns the file with the token of the session in which the client runs; None without one."""
        self._cli = cli
        self._find_outer = outer_token
        cli.config().client_process = session_place.process
        self._place = session_place
        self._identities = SessionIdentities(cli, session_place, self._save)
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
        """Open an identity for a session, and return the session: as the first request of the process stated it.

        Otherwise a command could open a session with more rights than its own. Raises the errors of `issue`.
        """
        if len(self.state["sessions"]) >= _MOST_SESSIONS:
            raise UsageError(f"{self.client} has {_MOST_SESSIONS} sessions", "end one of them")
        self._place.must_have_room(self.state)
        if self.state["request"] is None:
            # A session in a run is nearer than the run. The variable of the run reaches its commands too.
            outer = self._outer_token() if self._is_of_environment(options) else None
            self.state["is_inner"] = outer is not None
            self.state["request"] = request_facts(options, audience, outer or self._parent_file(options))
        self._renew_outer()
        return self._open(name, None)

    def must_repeat(self, options: RequestOptions) -> None:
        """Raise UsageError if a hook states another request than the first one of the process."""
        first = self.state["request"]
        if first is None:
            return
        stated = request_facts(options, (), self._parent_file(options))
        # The line of a helper names one service, and that of a hook all of them.
        reach = {*first["audience"], *first["may_audience"]}
        for name, value in stated.items():
            known = reach.issuperset(value) if name.endswith("audience") else value == first[name]
            if value and not known:
                raise UsageError(
                    f"the first session of this process was requested with another --{name.replace('_', '-')}",
                    "all sessions of a process have the request of the first: start the client again",
                )

    def _is_of_environment(self, options: RequestOptions) -> bool:
        """Return whether the line names no file of a parent."""
        return options.parent_file is None or "parent_file" in self._cli.from_environment

    def _parent_file(self, options: RequestOptions) -> str | None:
        if self.state["is_inner"] and self._is_of_environment(options):
            return None
        # A hook or helper may lack the variable with which the client started, which is the client's identity.
        of_client = processes.variable_of(self._place.process.pid, RUN_TOKEN)
        parent_file = options.parent_file or os.environ.get(RUN_TOKEN) or of_client or None
        if parent_file == "-":
            raise UsageError("standard input has the client's event", "name a file: --parent-file FILE")
        parent_file = None if parent_file is None else os.path.abspath(parent_file)
        if parent_file is not None and os.path.dirname(parent_file) == self._place.folder:
            # The client's variables name an earlier session of the same process, which is not its parent.
            return None
        return parent_file

    def _renew_outer(self) -> None:
        """Renew the session in which this client runs, if it runs in one and that is due.

        Raises InvalidCredentialError if it has ended, also if another one has begun since.
        """
        if self.state["is_inner"] and self._outer_token() != self.state["request"]["parent_file"]:
            raise InvalidCredentialError(
                f"the session in which {self.client} was started has ended", "start the client again"
            )

    def _outer_token(self) -> str | None:
        """Return the file with the token of the session in which this client runs; that session is the caller, then."""
        config = self._cli.config()
        config.session_file = None
        path = self._find_outer(self._cli, self._place.process)
        config.client_process, config.session_file = self._place.process, path
        return path

    def _open(self, name: str, former: dict[str, Any] | None) -> dict[str, Any]:
        """Open an identity, on the task of a `former` one if there is one."""
        request, proof = session_request(self._cli, self.client, name, self.state["request"], former)
        file = os.urandom(8).hex()
        request = request._replace(process=self._place.process, above=processes.all_above())
        issued = self._identities.issue(request, proof, file)
        entry = {
            **facts(issued),
            "file": file,
            "task": issued.task,
            "delegator": issued.delegator,
            "scopes": list(issued.scopes),
            "may_audience": list(issued.may_audience),
            "transcript": None,
            "subagents": {},
            "stopped": [],
        }
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

    def refresh(self, entry: dict[str, Any]) -> None:
        """Renew the identity of a session and those of its subagents if that is due.

        A new identity replaces an expired one, if the policy permits it. No identity replaces a revoked one.

        Raises:
            InvalidCredentialError: the identity was revoked, or its task or its parent has ended.

        """
        if any(map(is_due, (entry, *entry["subagents"].values()))):
            self._renew_outer()
        if is_due(entry) and not self._identities.renew(entry):
            name = next(name for name, each in self.state["sessions"].items() if each is entry)
            former = dict(entry)
            entry.clear()
            entry.update(self._open(name, former))
            self.state["sessions"][name] = entry
            self._save()
        for subagent in list(entry["subagents"].values()):
            if is_due(subagent):
                try:
                    alive = self._identities.renew(subagent)
                except InvalidCredentialError:
                    alive = False
                if not alive:
                    self._drop(entry, subagent)

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
        file = f"{entry['file']}-{_digest(key)}"
        parent_file = self._place.path(entry["file"])
        request = subagent_request(self._cli, self.client, kind, entry, self.state["request"], parent_file)
        child = {**facts(self._identities.issue(request, None, file)), "file": file}
        entry["subagents"][key] = child
        self._save()
        self.describe(child, name, transcript, key)
        if not has_stopped:
            return child
        # Its stop came first. The ledger has the subagent all the same, without a time in which it was live.
        entry["stopped"].remove(_digest(key))
        self._identities.revoke([child["id"]], "the subagent stopped")
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
        self._identities.revoke([child["id"]], "the subagent stopped")
        self._drop(entry, child)
        return True

    def stop(self, name: str) -> bool:
        """End the identity of a session, with its subagents. Return False if there is no such session.

        The place stays: a process without a session has no other rights than with one.
        """
        entry = self.state["sessions"].get(name)
        if entry is None:
            return False
        self._identities.revoke([entry["id"]], "the session ended")
        # A command of it may still run.
        with suppress(NotFoundError):
            self.state["ended"] = self.state["ended"] or ended_as(self._cli, entry["id"], by_others=True)
        del self.state["sessions"][name]
        if self.state["current"] == name:
            self.state["current"] = next(reversed(self.state["sessions"]), None)
        self._save()
        self._forget(entry)
        return True

    def end_orphans(self) -> None:
        """End the sessions of clients that were killed, and delete their files. A failure leaves them to `sweep`."""
        for folder, ids in stale_places(self._place, _MOST_STALE):
            try:
                if ids:
                    self._identities.revoke(ids, "the client's process has ended")
            except JitidError as error:
                self._cli.detail(f"sessions of an ended process were not revoked: {error.message}")
            else:
                remove_folder(folder)

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


def _digest(text: str) -> str:
    """Return a short text in place of a client's id of any length."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
