"""A server with direct access to a ledger acts as its agent, with the same rights as over an authority."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.mcp.asking import API, Server, events, same_in_text, states, verifies
from tests.programs import Shop
from tests.real import Shell
from tests.serving import serving

_ID = re.compile(r"(jid|jti|apr)_[0-9a-v]{26}")
_TIMES = {"lifetime", "issued_at", "expires_at", "offline_until"}


@pytest.fixture
def shell(shell: Shell) -> Shell:
    """Return a shell with a registered agent of another owner, and a rule that requires an approval."""
    shell.good("delegator", "add", "user:bob")
    shell.good(
        *("agent", "register", "deploybot", "--owner", "bob", "--purpose", "deploys"),
        *("--scope", "repo:*", "--kind", "jwt", "--audience", API),
    )
    policy = shell.ledger / "policy" / "approval.cedar"
    policy.write_text(
        '@id("acme-needs-security") @approval("security")\n'
        'forbid (principal, action == Action::"grant", resource) when { context.scope == "repo:acme" };\n'
    )
    shell.good(
        "-q", "issue", "--task", "T3", "--delegator", "alice", "--audience", API, "--out", "service.jwt"
    )
    shell.good("-q", "issue", "--task", "T4", "--delegator", "alice", "--agent", "gone", "--out", "gone.jwt")
    shell.good("revoke", shell.good("inspect", "gone.jwt", "--field", "jti").strip())
    return shell


class Both(NamedTuple):
    """Two servers for one agent: one beside the ledger, one over an authority with the same ledger."""

    beside: Server
    over: Server


@pytest.fixture
def remote(shell: Shell) -> Iterator[Mapping[str, str]]:
    """Yield the environment variables for a server over an authority."""
    with serving(shell.home / "authority", ledger=shell.ledger) as served:
        more = {name: shell.environment[name] for name in ("XDG_RUNTIME_DIR",)}
        yield {"JITID_REMOTE": served.url, **more}


def two(shell: Shell, remote: Mapping[str, str], token: str = "own.jwt") -> Both:
    """Start both servers for the token in a file."""
    away = Shell(shell.home)
    del away.environment["JITID_LEDGER"]
    over = {**remote, "JITID_PARENT_FILE": str(shell.home / token)}
    return Both(Server(shell, token=token), Server(away, token=token, more=over))


@pytest.fixture
def both(shell: Shell, remote: Mapping[str, str]) -> Iterator[Both]:
    """Yield both servers."""
    made = two(shell, remote)
    with made.beside, made.over:
        yield made


def alike(answer: Mapping[str, Any]) -> Any:
    """Return an answer without ids, times and paths, which differ each time."""

    def without(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {each: without(inner, each) for each, inner in value.items()}
        if isinstance(value, list):
            return [without(inner, name) for inner in value]
        if name in _TIMES or name == "token_file":
            return name
        return _ID.sub(r"\1", value) if isinstance(value, str) else value

    return without(same_in_text(answer["result"]))


def told(server: Server, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of a tool, successful or not."""
    return server.ask("tools/call", {"name": tool, "arguments": arguments})


def test_the_name_of_anothers_agent_is_not_taken(shell: Shell) -> None:
    asked: dict[str, Any] = {"agent": "deploybot", "scopes": ["repo:read"], "audiences": [API]}
    with Server(shell) as server:
        error = server.refused("request_identity", **asked)
        foreseen = server.call("what_may_i_do", **asked)
    assert error["code"] == "policy_denied"
    assert "rule `agent-users`" in error["message"]
    assert (foreseen["permitted"], foreseen["rules"]) == (False, ["agent-users"])
    assert states(shell, "--agent", "deploybot") == []
    (denial,) = [event for event in events(shell) if event["op"] == "denial"]
    own = json.loads(shell.good("inspect", "own.jwt", "--format", "json"))
    assert (denial["rules"], denial["by"], denial["bearer"]) == (["agent-users"], "agent:planner", own["jti"])


def test_an_agent_that_a_record_lists_uses_the_name(shell: Shell) -> None:
    """The agent's registered name counts, not the user that started it."""
    recorded = ("--purpose", "plans", "--scope", "repo:*", "--kind", "jwt", "--audience", API)
    shell.good("agent", "register", "planner", "--owner", "bob", *recorded)
    shell.good("agent", "change", "deploybot", "--may-use", "agent:planner")
    common = (
        "-q",
        "issue",
        "--task",
        "T6",
        "--delegator",
        "alice",
        "--agent",
        "planner",
        "--scope",
        "repo:*",
    )
    shell.good(*common, "--may-audience", API, "--out", "planner.jwt")
    with Server(shell, token="planner.jwt") as server:
        given = server.call("request_identity", agent="deploybot", scopes=["repo:read"])
        assert verifies(shell, given["token_file"])


def test_a_task_is_the_agents_own_or_below_it(shell: Shell) -> None:
    with Server(shell) as server:
        for task in ("T2", "T11", "OTHER", "user:bob/T1/x"):
            error = server.refused("request_identity", agent="coder", task=task)
            assert "rule `own-task`" in error["message"]
            assert server.call("what_may_i_do", task=task)["rules"] == ["own-task"]
        assert server.call("request_identity", agent="coder", task="T1/x")["task"] == "T1/x"


def test_a_service_token_is_none_that_an_agent_asks_by(shell: Shell) -> None:
    """The holder may be a service that only received the token, so the token does not authenticate an agent."""
    before = states(shell)
    with Server(shell, token="service.jwt") as server:
        for tool, arguments in (
            ("whoami", {}),
            ("what_may_i_do", {}),
            ("request_identity", {"agent": "coder"}),
            ("hand_back", {"id": "jid_" + "0" * 26}),
        ):
            error = server.refused(tool, **arguments)
            assert error["code"] == "shown", tool
            assert error["message"] == (
                f"your own credential is a service token: the token is for `{API}`, not for this authority, and "
                "gives no right here; nothing was changed"
            )
            assert "identity token" in error["hint"]
        assert server.end() == (0, "")
    assert states(shell) == before
    refused = [event for event in events(shell) if event["op"] == "denial"]
    assert [event.get("hand_back", event.get("agent")) for event in refused] == ["coder", "jid_" + "0" * 26]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("whoami", {}),
        ("what_may_i_do", {}),
        ("what_may_i_do", {"agent": "coder", "scopes": ["repo:x"], "ttl": "2m", "task": "T1/7"}),
        ("what_may_i_do", {"agent": "deploybot", "scopes": ["repo:x"], "audiences": [API]}),
        ("what_may_i_do", {"scopes": ["repo:acme"]}),
        ("what_may_i_do", {"scopes": ["db:x"]}),
        ("what_may_i_do", {"task": "T2"}),
        ("what_may_i_do", {"may_kind": ["ssh-cert"]}),
        ("request_identity", {"agent": "coder", "scopes": ["repo:x"], "audiences": [API]}),
        ("request_identity", {"agent": "coder", "audiences": [API], "task": "T1/8", "purpose": "to look"}),
        ("request_identity", {"agent": "coder", "audiences": [API], "purpose": "another"}),
        ("request_identity", {"agent": "coder"}),
        ("request_identity", {"agent": "coder", "audiences": ["https://other.example"]}),
        ("request_identity", {"agent": "coder", "audiences": [API], "scopes": ["db:x"]}),
        ("request_identity", {"agent": "coder", "audiences": [API], "scopes": ["repo:acme"]}),
        ("request_identity", {"agent": "coder", "audiences": [API], "task": "T2"}),
        ("request_identity", {"agent": "coder", "audiences": [API], "task": "user:bob/T9"}),
        ("request_identity", {"agent": "coder", "audiences": [API], "may_kind": ["ssh-cert"]}),
        ("request_identity", {"agent": "deploybot", "audiences": [API], "scopes": ["repo:x"]}),
        ("hand_back", {"id": "jid_" + "0" * 26}),
        ("hand_back", {"id": "below"}),
        ("hand_back", {"id": "other"}),
    ],
)
def test_a_tool_answers_beside_a_ledger_as_over_an_authority(
    shell: Shell, both: Both, tool: str, arguments: dict[str, Any]
) -> None:
    """Both give the same answers and refusals, and the audit log records the same requester."""
    asked = [arguments, arguments]
    if arguments.get("id") == "below":
        # Use a different identity for each call: `hand_back` ends it.
        for name in ("one", "two"):
            shell.good("issue", "--parent-file", "own.jwt", "--agent", name, "--out", f"{name}.jwt")
        asked = [{"id": id_of(shell, "one.jwt")}, {"id": id_of(shell, "two.jwt")}]
    elif arguments.get("id") == "other":
        asked = [{"id": id_of(shell, "other.jwt")}] * 2
    elif arguments.get("scopes") == ["repo:acme"] and tool == "request_identity":
        # Request the approval once before: a repeated request gets the same answer.
        told(both.over, tool, arguments)
    before = len(events(shell))
    here = told(both.beside, tool, asked[0])
    between = len(events(shell))
    there = told(both.over, tool, asked[1])
    assert alike(here) == alike(there)
    log = events(shell)
    assert [seen(event) for event in log[before:between]] == [seen(event) for event in log[between:]]


def id_of(shell: Shell, file: str) -> str:
    """Return the id of the identity whose token is in a file."""
    return shell.good("inspect", file, "--field", "id").strip()


def seen(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an event about the requester, the request and the outcome."""
    names = (
        "op",
        "by",
        "bearer",
        "agent",
        "task",
        "delegator",
        "rules",
        "scopes",
        "audiences",
        "holder",
        "reason",
    )
    found = {name: event[name] for name in names if name in event}
    return {**found, "reason": _ID.sub(r"\1", found["reason"])} if found.get("reason") else found


@pytest.mark.deep
def test_no_token_that_gives_no_right_is_one_there(shell: Shell, remote: Mapping[str, str]) -> None:
    """Both servers refuse all four tools. The server beside the ledger gives the reason."""
    for file, code in (("service.jwt", "shown"), ("gone.jwt", "invalid_credential")):
        beside, over = two(shell, remote, file)
        with beside, over:
            for tool, arguments in (
                ("whoami", {}),
                ("what_may_i_do", {}),
                ("request_identity", {"agent": "coder"}),
                ("hand_back", {"id": "jid_" + "0" * 26}),
            ):
                assert beside.refused(tool, **arguments)["code"] == code
                assert over.refused(tool, **arguments)["code"] == "unauthenticated"


@pytest.mark.deep
def test_what_a_target_made_below_it_is_ended_there_with_what_is_handed_back(shell: Shell) -> None:
    """The agent itself may not use the target. Its server revokes there, and reports the remaining credentials."""
    shop = Shop(shell.home / "shop")
    settings = shell.home / "settings.toml"
    settings.touch(0o600)
    settings.write_text(
        f'[target.shop]\nkind = "exec"\nprogram = "{shop.program}"\noptions = {{ shop = "{shop.folder}" }}\n'
    )
    shell.environment["JITID_CONFIG"] = str(settings)
    shell.permit_kinds()
    common = ("-q", "issue", "--task", "T5", "--delegator", "alice", "--may-kind", "exec:shop")
    shell.good(*common, "--may-audience", API, "--out", "lead.jwt")
    below = ("issue", "--parent-file", "lead.jwt", "--kind", "exec:shop", "--agent")
    with Server(shell, token="lead.jwt") as server:
        for agent in ("one", "two"):
            shell.good(*below, agent)
        assert len(shop.made) == 2
        one = shell.good("list", "--agent", "one", "--field", "id").strip()
        assert server.call("hand_back", id=one)["ended"] == 1
        assert len(shop.made) == 1
        own = server.call("whoami")["id"]
        assert server.call("hand_back", id=own)["ended"] == 2
        assert not shop.made
        assert server.end() == (0, "")


def test_whoever_starts_the_server_accepts_the_clock(shell: Shell) -> None:
    """An agent may not accept the clock. The event names the user of the server."""
    with sqlite3.connect(next(shell.ledger.glob("*.db"))) as db:
        db.execute("UPDATE clock_mark SET marked_at = marked_at - 300000")
    with Server(shell) as server:
        assert "clock" in server.refused("request_identity", agent="coder")["message"]
    with Server(shell, "--accept-clock") as server:
        server.call("request_identity", agent="coder")
    (accepted,) = [event for event in events(shell) if event["op"] == "accept-clock"]
    (issued,) = [event for event in events(shell) if event["op"] == "issue" and event["agent"] == "coder"]
    assert not accepted["by"].startswith("agent:")
    assert issued["by"] == "agent:planner"


def test_looking_leaves_no_trace(shell: Shell) -> None:
    before = Path(shell.ledger, "lock").stat().st_mtime_ns, events(shell)
    with Server(shell) as server:
        server.call("whoami")
        server.call("what_may_i_do")
        server.call("what_may_i_do", agent="deploybot", scopes=["repo:x"])
        assert server.end() == (0, "")
    assert (Path(shell.ledger, "lock").stat().st_mtime_ns, events(shell)) == before
