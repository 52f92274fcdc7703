"""Laws of sessions: any sequence of events against a model, and clients that are killed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client_process import ClientProcess, client_process
from tests.components.test_sessions import LLM, REACH
from tests.real import Shell

SESSIONS, AGENTS = ("s1", "s2"), ("a1", "a2", "a3")
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("SessionStart"), st.sampled_from(SESSIONS)),
        st.tuples(st.just("SessionEnd"), st.sampled_from(SESSIONS)),
        st.tuples(st.just("SubagentStart"), st.sampled_from(SESSIONS), st.sampled_from(AGENTS)),
        st.tuples(st.just("SubagentStop"), st.sampled_from(SESSIONS), st.sampled_from(AGENTS)),
        st.tuples(st.just("token")),
        st.tuples(st.just("revoke")),
        st.tuples(st.just("Stop"), st.sampled_from(SESSIONS)),
    ),
    max_size=12,
)


class _Model:
    """The sessions that are alive, each with its live subagents."""

    def __init__(self) -> None:
        self.alive: dict[str, set[str]] = {}
        self.stopped: dict[str, set[str]] = {}
        self.is_barred = False

    def take(self, event: tuple[str, ...]) -> None:
        """Take an event."""
        name, session, agent = (*event, "", "")[:3]
        if name == "revoke":
            self.is_barred = self.is_barred or bool(self.alive)
            self.alive, self.stopped = {}, {}
        elif self.is_barred:
            pass  # Nothing is alive, and nothing begins.
        elif name == "token":
            if not self.alive:
                self.alive[""] = set()
                self.stopped[""] = set()
        elif name in ("SessionStart", "SubagentStart"):
            if session not in self.alive:
                # The start names a session that began with the request for a token.
                self.alive[session] = self.alive.pop("", set())
                self.stopped[session] = self.stopped.pop("", set())
            if name == "SubagentStart":
                if agent in self.stopped[session]:
                    self.stopped[session].remove(agent)
                else:
                    self.alive[session].add(agent)
        elif name == "SessionEnd":
            self.alive.pop(session, None)
            self.stopped.pop(session, None)
        elif name == "SubagentStop" and session in self.alive:
            if agent in self.alive[session]:
                self.alive[session].remove(agent)
            else:
                self.stopped[session].add(agent)


def _report(client: ClientProcess, event: tuple[str, ...], *, is_barred: bool = False) -> None:
    if event[0] == "token" and is_barred:
        assert client.run("helper", "token", "--audience", LLM, *REACH, "--scope", "read:*").status == 8
        return
    if event[0] == "token":
        client.good("helper", "token", "--audience", LLM, *REACH, "--scope", "read:*")
        return
    members = dict(zip(("hook_event_name", "session_id", "agent_id"), event, strict=False))
    if "agent_id" in members:
        members["agent_type"] = f"type-{members['agent_id']}"
    starts = event[0] in ("SessionStart", "SubagentStart")
    options = (*REACH, "--scope", "read:*") if starts else ()
    done = client.hook("start" if starts else "stop", members, *options)
    expected = (0, 8) if is_barred and starts else (0,)
    assert (done.status in expected, done.out) == (True, ""), done.err


def _trees(shell: Shell) -> list[dict[str, Any]]:
    """Return the live trees."""
    trees: list[dict[str, Any]] = json.loads(shell.good("list", "--tree", "--json"))["trees"]
    return [tree for tree in trees if tree["agent"] == "claude-code"]


def _revoke(shell: Shell) -> None:
    """Revoke every live session, as a person does."""
    for tree in _trees(shell):
        shell.good("revoke", tree["id"])


def _live_children(tree: dict[str, Any]) -> list[str]:
    return sorted(child["agent"] for child in tree["children"] if child["state"] == "active")


def _holds(shell: Shell, model: _Model) -> None:
    """Assert that the ledger has the live sessions of the model, with their subagents, and no wider child."""
    trees = _trees(shell)
    expected = sorted(
        sorted(f"claude-code/type-{agent}" for agent in agents) for agents in model.alive.values()
    )
    assert sorted(map(_live_children, trees)) == expected
    for tree in trees:
        assert {tuple(child["scopes"]) for child in tree["children"]} <= {tuple(tree["scopes"])}
        assert {child["delegator"] for child in tree["children"]} <= {tree["delegator"]}


def _lives(events: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        shell = Shell(Path(name))
        shell.good("issue", "--task", "FIRST", "--delegator", "alice", "--ttl", "1s")
        model = _Model()
        client = ClientProcess(shell, "claude")
        try:
            for event in events:
                if event[0] == "revoke":
                    _revoke(shell)
                else:
                    _report(client, event, is_barred=model.is_barred)
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
            # In one folder, each session would end those of the killed clients: the sweep must find all of them.
            state = str(folder / f"state{number}")
            starter.killed(*start, stdin=json.dumps(event), XDG_STATE_HOME=state, XDG_RUNTIME_DIR="")
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
    with client_process(shell) as client:
        _report(client, ("SessionStart", "s1"))
        for number in range(200):
            _report(client, ("SubagentStart", "s1", f"a{number}"))
        (tree,) = _trees(shell)
        assert len(_live_children(tree)) == 200
        _report(client, ("SessionEnd", "s1"))
        assert _trees(shell) == []
