"""Laws of sessions: any sequence of events against a model, and clients that are killed."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.client_process import ClientProcess, client_process
from tests.components.test_sessions import LLM, REACH
from tests.real import Shell

SCOPES = {"s1": "read:a", "s2": "read:*", "s3": "read:*"}
"""The scope that the hook of each session states. A session that begins with the request for a token has none."""
SESSIONS, AGENTS = tuple(SCOPES), ("a1", "a2", "a3")
THREADS = ("", *SESSIONS, *(f"{session}-{agent}" for session in SESSIONS for agent in AGENTS[:1]))
"""The names of sessions and subagents in the variable of a command; empty if it has none."""
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("SessionStart"), st.sampled_from(SESSIONS)),
        st.tuples(st.just("SessionEnd"), st.sampled_from(SESSIONS)),
        st.tuples(st.just("SubagentStart"), st.sampled_from(SESSIONS), st.sampled_from(AGENTS)),
        st.tuples(st.just("SubagentStop"), st.sampled_from(SESSIONS), st.sampled_from(AGENTS)),
        st.tuples(st.just("token"), st.sampled_from(THREADS)),
        st.tuples(st.just("revoke"), st.sampled_from(("", *SESSIONS))),
        st.tuples(st.just("Stop"), st.sampled_from(SESSIONS)),
    ),
    max_size=14,
)


class _Model:
    """The sessions of a client, alive or revoked, each with its live subagents; and the ended ones."""

    def __init__(self) -> None:
        self.alive: dict[str, set[str]] = {}
        self.revoked: set[str] = set()
        self.scope: str | None = None
        """The scope of the first session, which all later ones have too; None before."""
        self.stopped: dict[str, set[str]] = {}
        self.is_barred = False

    def here(self) -> set[str]:
        """Return the sessions that have not ended."""
        return {*self.alive, *self.revoked}

    def take(self, event: tuple[str, ...]) -> None:
        """Take an event."""
        name, session, agent = (*event, "", "")[:3]
        if name == "revoke":
            for each in [each for each in self.alive if session in ("", each)]:
                del self.alive[each]
                self.revoked.add(each)
                self.is_barred = True
        elif name == "token":
            if not self.here() and self.answer(session) != 8:
                self._begin("", "")
        elif name in ("SessionStart", "SubagentStart"):
            self._start(session)
            if name == "SubagentStart" and session in self.alive:
                if agent in self.stopped[session]:
                    self.stopped[session].remove(agent)
                else:
                    self.alive[session].add(agent)
        elif name == "SessionEnd" and session in self.here():
            self.alive.pop(session, None)
            self.revoked.discard(session)
        elif name == "SubagentStop" and session in self.alive:
            if agent in self.alive[session]:
                self.alive[session].remove(agent)
            else:
                self.stopped[session].add(agent)

    def _start(self, session: str) -> None:
        if session in self.here():
            return
        if "" in self.here():
            # The start names a session that began with the request for a token.
            self.stopped[session] = self.stopped.pop("")
            if "" in self.alive:
                self.alive[session] = self.alive.pop("")
            else:
                self.revoked.remove("")
                self.revoked.add(session)
        elif self.statuses(session) == {0}:
            self._begin(session, SCOPES[session])

    def _begin(self, session: str, scope: str) -> None:
        self.alive[session], self.stopped[session] = set(), set()
        self.scope = scope if self.scope is None else self.scope

    def statuses(self, session: str) -> set[int]:
        """Return the possible statuses of a hook that starts a session or a subagent of it."""
        if {session, ""} & self.here():
            return {0, 8} if self.is_barred else {0}
        if self.scope not in (None, SCOPES[session]):
            return {125}
        return {8 if self.is_barred else 0}

    def answer(self, thread: str) -> str | int:
        """Return the scope of the token that a command gets, or its status if it is refused."""
        if self.scope is None:
            return ""
        session, _, agent = thread.partition("-")
        # A session that began with the request for a token is the only one, and may be that of any command.
        if thread and "" not in self.here():
            is_there = session in self.alive and (not agent or agent in self.alive[session])
            return self.scope if is_there else 8
        return 8 if self.is_barred else self.scope


def _report(client: ClientProcess, event: tuple[str, ...], model: _Model | None = None) -> None:
    members = dict(zip(("hook_event_name", "session_id", "agent_id"), event, strict=False))
    if "agent_id" in members:
        members["agent_type"] = f"type-{members['agent_id']}"
        members["agent_id"] = f"{event[1]}-{event[2]}"
    starts = event[0] in ("SessionStart", "SubagentStart")
    options = (*REACH, "--scope", SCOPES[event[1]]) if starts else ()
    done = client.hook("start" if starts else "stop", members, *options)
    expected = {0} if model is None or not starts else model.statuses(event[1])
    assert (done.status in expected, done.out) == (True, ""), done.err


def _request(client: ClientProcess, thread: str, expected: str | int) -> None:
    """Request a token as a command of a session or subagent, and assert its scope, or the status of the refusal."""
    done = client.run("helper", "token", "--audience", LLM, *REACH, CODEX_THREAD_ID=thread)
    if isinstance(expected, int):
        assert (done.status, done.out) == (expected, ""), done.err
        return
    assert done.status == 0, done.err
    body = done.out.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims.get("scope", "") == expected


def _trees(shell: Shell) -> list[dict[str, Any]]:
    """Return the live trees."""
    trees: list[dict[str, Any]] = json.loads(shell.good("list", "--tree", "--json"))["trees"]
    return [tree for tree in trees if tree["agent"] == "codex"]


def _revoke(shell: Shell, session: str) -> None:
    """Revoke a live session, or each with an empty name, as a person does."""
    for tree in _trees(shell):
        shown = json.loads(shell.good("inspect", tree["id"], "--json"))["session"]
        if session in ("", shown and shown["name"]):
            shell.good("revoke", tree["id"])


def _live_children(tree: dict[str, Any]) -> list[str]:
    return sorted(child["agent"] for child in tree["children"] if child["state"] == "active")


def _holds(shell: Shell, model: _Model) -> None:
    """Assert that the ledger has the live sessions of the model, with their subagents, and no wider child."""
    trees = _trees(shell)
    expected = sorted(sorted(f"codex/type-{agent}" for agent in agents) for agents in model.alive.values())
    assert sorted(map(_live_children, trees)) == expected
    for tree in trees:
        assert {tuple(child["scopes"]) for child in tree["children"]} <= {tuple(tree["scopes"])}
        assert {child["delegator"] for child in tree["children"]} <= {tree["delegator"]}


def _lives(events: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        shell = Shell(Path(name))
        shell.good("issue", "--task", "FIRST", "--delegator", "alice", "--ttl", "1s")
        model = _Model()
        client = ClientProcess(shell, "codex")
        try:
            for event in events:
                if event[0] == "revoke":
                    _revoke(shell, event[1])
                elif event[0] == "token":
                    _request(client, event[1], model.answer(event[1]))
                else:
                    _report(client, event, model)
                model.take(event)
            _holds(shell, model)
        finally:
            client.kill()
            client.close()
        shell.run("sweep", "--rule", "orphaned-process", "--fix", "--yes")
        assert _trees(shell) == []
        shell.good("audit", "verify")


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS)
@example(
    [
        *(("SessionStart", "s3"), ("SessionStart", "s2"), ("SubagentStart", "s2", "a1"), ("token", "")),
        *(("SessionEnd", "s3"), ("token", "s3"), ("token", ""), ("token", "s2"), ("token", "s2-a1")),
        *(("SubagentStop", "s2", "a1"), ("token", "s2-a1"), ("SessionEnd", "s2"), ("token", "s3")),
        *(("SessionStart", "s1"), ("token", ""), ("token", "s1"), ("SessionStart", "s2"), ("token", "s1")),
    ]
)
@example(
    [
        *(("SessionStart", "s2"), ("SessionStart", "s3"), ("token", ""), ("revoke", "s2"), ("token", "")),
        *(("SessionEnd", "s2"), ("token", "s2"), ("token", ""), ("token", "s3"), ("SessionStart", "s1")),
        *(("SessionEnd", "s3"), ("token", "s3"), ("token", "")),
    ]
)
def test_the_ledger_agrees_with_the_events_of_a_client(events: list[tuple[str, ...]]) -> None:
    """In any order; nothing is alive when the client was killed and a sweep ran."""
    _lives(events)


@pytest.mark.deep
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS)
def test_the_ledger_agrees_with_many_sequences_of_events(events: list[tuple[str, ...]]) -> None:
    """The same law, with more examples."""
    _lives(events)


def _killed(folder: Path, clients: int) -> None:
    """Kill that many clients, each with a session, and assert that a sweep ends all."""
    shell = Shell(folder)
    shell.good("issue", "--task", "FIRST", "--delegator", "alice", "--ttl", "1s")
    start = ("helper", "session", "start", "--client", "claude-code")
    with client_process(shell) as starter:
        for number in range(clients):
            event = {"hook_event_name": "SessionStart", "session_id": f"s{number}"}
            starter.killed(*start, stdin=json.dumps(event))
            # Otherwise the next session would end it: the sweep must find all of them.
            (shell.home / ".local/state/jitid/sessions").rename(folder / f"sessions{number}")
        live = shell.good("list", "--live", "--limit", "10000").splitlines()
        assert len(live) == clients
        shell.run("sweep", "--rule", "orphaned-process", "--fix", "--yes")
        assert shell.good("list", "--live") == ""


def test_a_sweep_ends_the_sessions_of_killed_clients(tmp_path: Path) -> None:
    """The clients ran no hook at their end."""
    _killed(tmp_path, 20)


@pytest.mark.deep
def test_a_sweep_ends_the_sessions_of_a_thousand_killed_clients(tmp_path: Path) -> None:
    """0 of 1,000 are alive after the next sweep."""
    _killed(tmp_path, 1_000)


def test_a_session_has_two_hundred_subagents(tmp_path: Path) -> None:
    """Each is an identity, and the end of the session ends all."""
    shell = Shell(tmp_path)
    with client_process(shell, "codex") as client:
        _report(client, ("SessionStart", "s1"))
        for number in range(200):
            _report(client, ("SubagentStart", "s1", f"a{number}"))
        (tree,) = _trees(shell)
        assert len(_live_children(tree)) == 200
        _report(client, ("SessionEnd", "s1"))
        assert _trees(shell) == []
