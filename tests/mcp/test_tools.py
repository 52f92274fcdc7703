"""The tools: an agent gets only identities that its own credential can delegate, and no answer contains a token."""

from __future__ import annotations

import json
import shutil
import stat
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from jitid.mcp import tool_answers
from jitid.mcp.methods import TOOLS
from jitid.system.processes import process_of
from tests.builders import World
from tests.capabilities.issue.office import Office
from tests.mcp.asking import Server, events, states, verifies
from tests.mcp.conftest import AUDIENCES
from tests.real import Shell, missing


@pytest.fixture
def server(shell: Shell) -> Iterator[Server]:
    """Return a server for the agent."""
    with Server(shell) as server:
        yield server


def inspected(shell: Shell, file: str) -> dict[str, Any]:
    """Return the output of `inspect` for the token in a file."""
    found: dict[str, Any] = json.loads(shell.good("inspect", file, "--format", "json"))
    return found


def test_an_agent_learns_who_it_is(shell: Shell, server: Server) -> None:
    told, known = server.call("whoami"), inspected(shell, "own.jwt")
    assert {name: told[name] for name in ("id", "jti", "depth", "sensitivity", "purpose")} == {
        name: known[name] for name in ("id", "jti", "depth", "sensitivity", "purpose")
    }
    assert (told["agent"], told["task"], told["delegator"]) == ("planner", "T1", "user:alice")
    assert told["chain"] == ["user:alice", "planner"]
    assert (told["scopes"], tuple(told["may_audience"])) == (["repo:*"], AUDIENCES)
    assert told["audiences"] == known["aud"]
    assert (told["handed_out"], told["most"]) == ([], 100)
    assert len(events(shell)) == 3


def test_an_identity_is_delegated_from_the_agents_own(shell: Shell, server: Server) -> None:
    own = server.call("whoami")
    given = server.call(
        "request_identity",
        agent="coder",
        scopes=["repo:acme"],
        audiences=[AUDIENCES[1]],
        ttl="2m",
        task="T1/tests",
        purpose="run the tests",
    )
    known = inspected(shell, given["token_file"])
    assert known["active"]
    assert (known["id"], known["jti"], known["parent"]) == (given["id"], given["jti"], own["id"])
    assert known["chain"] == ["user:alice", "planner", "coder"]
    assert (known["scope"], known["aud"]) == ("repo:acme", [AUDIENCES[1]])
    assert (known["txn"], known["purpose"], known["delegator_proof"]) == (
        "T1/tests",
        "run the tests",
        "asserted",
    )
    assert known["exp"] - known["iat"] == 120
    assert (known["process"]["pid"], known["process"]["state"]) == (server.process.pid, "alive")
    (listed,) = server.call("whoami")["handed_out"]
    assert listed == {name: given[name] for name in listed}


def test_the_token_is_in_a_file_for_its_owner_alone_and_nowhere_else(shell: Shell, server: Server) -> None:
    arguments = {"agent": "coder", "audiences": [AUDIENCES[0]]}
    answer = server.ask("tools/call", {"name": "request_identity", "arguments": arguments})
    path = Path(answer["result"]["structuredContent"]["token_file"])
    token = path.read_text().strip()
    assert path.is_relative_to(shell.environment["XDG_RUNTIME_DIR"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for part in token.split("."):
        assert part not in json.dumps(answer)
    status, talk = server.end()
    assert (status, talk) == (0, "")


@pytest.mark.deep
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"scopes": ["repo:acme", "db:x"]}, "does not hold scope `db:x`"),
        ({"scopes": ["*"]}, "does not hold scope `*`"),
        ({"scopes": ["repo:a:b"]}, "does not hold scope `repo:a:b`"),
        ({"audiences": ["https://other.example"]}, "does not hold audience `https://other.example`"),
    ],
)
def test_nothing_is_given_that_the_agent_does_not_hold(
    shell: Shell, server: Server, arguments: dict[str, Any], reason: str
) -> None:
    """The tool gives the same reason as `jitid issue`, and so does the preview."""
    arguments = {"audiences": [AUDIENCES[0]], **arguments}
    refused = server.refused("request_identity", agent="coder", **arguments)
    assert reason in refused["message"]
    assert refused["code"] == "policy_denied"
    assert refused["hint"].startswith("stay within the parent's ")
    assert not refused["retryable"]
    words = [
        word for name, values in arguments.items() for value in values for word in (f"--{name[:-1]}", value)
    ]
    same = shell.run("issue", "--parent-file", "own.jwt", "--agent", "coder", *words)
    assert same.returncode == 4
    assert refused["message"] in same.stderr
    first, second = [event for event in events(shell) if event["op"] == "denial"]
    process = first.pop("process")
    assert process["pid"] == server.process.pid
    # With a local ledger too, the agent is the requester, not the user of its server.
    asked = (first.pop("by"), first.pop("bearer"))
    assert first.pop("by_id") == inspected(shell, "own.jwt")["id"]
    assert asked == ("agent:planner", inspected(shell, "own.jwt")["jti"])
    assert not second.pop("by").startswith("agent:")
    for event in (first, second):
        del event["seq"], event["at"], event["hash"]
    assert first == second
    foreseen = server.call("what_may_i_do", agent="coder", **arguments)
    assert not foreseen["permitted"]
    assert (foreseen["reason"], foreseen["hint"]) == (
        refused["message"].removeprefix("denied: "),
        refused["hint"],
    )
    assert foreseen["rules"] == ["attenuation"]
    assert len([event for event in events(shell) if event["op"] == "denial"]) == 2


def test_nothing_outlives_the_agents_own_credential(server: Server) -> None:
    own = server.call("whoami")
    given = server.call("request_identity", agent="coder", ttl="7d")
    assert given["expires_at"] <= own["expires_at"]
    assert "limited by" in given["notes"][0]


def test_what_may_be_done_is_told_without_doing_it(shell: Shell, server: Server) -> None:
    before = len(events(shell))
    told = server.call("what_may_i_do", scopes=["repo:acme"], ttl="2m", task="T1/7")
    assert told["permitted"]
    assert (told["scopes"], told["lifetime"], told["task"], told["depth"]) == (
        ["repo:acme"],
        "2m",
        "T1/7",
        1,
    )
    assert server.call("what_may_i_do")["permitted"]
    assert len(events(shell)) == before
    assert states(shell) == ["active", "active"]


def test_without_an_agent_it_is_asked_for_the_agents_own_name(shell: Shell, server: Server) -> None:
    (shell.ledger / "policy" / "default.cedar").write_text(
        '@id("own") permit (principal == Agent::"planner", action, resource);'
    )
    told = server.call("what_may_i_do")
    assert (told["permitted"], told["agent"]) == (True, "planner")
    assert not server.call("what_may_i_do", agent="coder")["permitted"]


def test_an_argument_that_is_none_is_named_if_it_is_short(server: Server) -> None:
    error = server.refused("request_identity", agent="x", scope=["a:b"])
    assert error["message"] == "the argument `scope` is unknown to this tool"
    assert error["hint"] == "its arguments: agent, scopes, audiences, ttl, purpose, task, may_kind"
    for hostile in ("x" * 32, "", "a b", "\x1b[31m", "jitid_" + "0" * 38):
        error = server.refused("whoami", **{hostile: 1})
        assert error["message"] == "an argument is unknown to this tool"


def test_the_policy_of_the_moment_decides(shell: Shell, server: Server) -> None:
    server.call("request_identity", agent="coder")
    policy = shell.ledger / "policy" / "default.cedar"
    more = '@id("no-coder") forbid (principal == Agent::"coder", action, resource);\n'
    policy.write_text(policy.read_text() + more)
    assert "no-coder" in server.refused("request_identity", agent="coder")["message"]
    assert server.call("what_may_i_do", agent="coder")["rules"] == ["no-coder"]
    policy.write_text("permit (")
    assert server.refused("request_identity", agent="coder")["code"] == "configuration"
    assert server.call("whoami")["agent"] == "planner"


def test_what_is_handed_back_is_dead_with_all_below_it(shell: Shell, server: Server) -> None:
    given = server.call("request_identity", agent="coder", scopes=["repo:acme"])
    shell.good("issue", "--parent-file", given["token_file"], "--agent", "tool", "--out", "below.jwt")
    other = server.call("request_identity", agent="writer")
    done = server.call("hand_back", id=given["id"])
    assert (done["id"], done["ended"], done["identities"]) == (given["id"], 2, 2)
    assert done["offline_until"] == given["expires_at"]
    assert not Path(given["token_file"]).exists()
    assert not verifies(shell, "below.jwt")
    assert verifies(shell, other["token_file"])
    again = server.call("hand_back", id=given["jti"])
    assert (again["id"], again["ended"]) == (given["id"], 0)
    assert [one["id"] for one in server.call("whoami")["handed_out"]] == [other["id"]]
    (event,) = [event for event in events(shell) if event["op"] == "revoke"]
    assert (event["holder"], event["count"]) == (server.call("whoami")["id"], 2)


def test_what_hangs_below_may_be_handed_back_though_it_was_not_given_here(
    shell: Shell, server: Server
) -> None:
    shell.good("issue", "--parent-file", "own.jwt", "--agent", "a", "--out", "a.jwt")
    shell.good("issue", "--parent-file", "a.jwt", "--agent", "b", "--out", "b.jwt")
    below = inspected(shell, "b.jwt")["id"]
    assert server.call("hand_back", id=below)["ended"] == 1
    assert verifies(shell, "a.jwt")
    assert not verifies(shell, "b.jwt")


def test_nobody_elses_identity_can_be_handed_back(shell: Shell) -> None:
    """It may be an ancestor's, a sibling's or a stranger's. The answer does not show whether the identity exists."""
    own = inspected(shell, "own.jwt")["id"]
    for name in ("one", "two"):
        shell.good("issue", "--parent-file", "own.jwt", "--agent", name, "--out", f"{name}.jwt")
    unknown = "jid_" + "0" * 26
    others = [own, inspected(shell, "two.jwt")["id"], inspected(shell, "other.jwt")["jti"], unknown]
    with Server(shell, token="one.jwt") as server:
        told = [server.refused("hand_back", id=other) for other in others]
        assert {error["code"] for error in told} == {"policy_denied"}
        assert (
            len({error["message"].replace(other, "") for error, other in zip(told, others, strict=True)}) == 1
        )
    assert states(shell) == ["active"] * 4
    denials = [event for event in events(shell) if event["op"] == "denial"]
    assert [event["hand_back"] for event in denials] == others
    assert {event["agent"] for event in denials} == {"one"}


def test_the_revocation_of_one_identity_does_not_end_the_work_of_the_server(shell: Shell) -> None:
    """The server only hands identities out. Its process is not the client that a leak is about."""
    with Server(shell) as server:
        leaked, other = (server.call("request_identity", agent=name) for name in ("coder", "writer"))
        assert "no other identity" not in shell.good("revoke", leaked["id"])
        assert verifies(shell, other["token_file"])
        assert verifies(shell, server.call("request_identity", agent="coder")["token_file"])
        assert server.end() == (0, "")
    assert states(shell, "--live") == ["active"] * 2
    shell.good("audit", "verify")


def test_the_agents_own_credential_is_not_blamed_for_a_refused_process(shell: Shell, server: Server) -> None:
    """A program may have bound an identity to the server's process, as to a client's."""
    process = process_of(server.process.pid)
    assert process is not None
    world = World(shell.ledger, now=int(time.time()))
    made = world.issue(process=process)
    world.close()
    assert "no other identity" in shell.good("revoke", made.id)
    assert server.call("whoami")["agent"] == "planner"
    error = server.refused("request_identity", agent="coder")
    assert error["code"] == "invalid_credential"
    assert error["message"].startswith(f"an identity of the process {server.process.pid} was revoked")
    assert "start the program again" in error["hint"]


def test_an_agent_may_end_itself_and_the_server_goes_on(shell: Shell, server: Server) -> None:
    given = server.call("request_identity", agent="coder")
    own = server.call("whoami")["id"]
    assert server.call("hand_back", id=own)["ended"] == 2
    for tool, arguments in (
        ("whoami", {}),
        ("what_may_i_do", {}),
        ("request_identity", {"agent": "x"}),
        ("hand_back", {"id": given["id"]}),
    ):
        error = server.refused(tool, **arguments)
        assert error["code"] == "invalid_credential"
        assert error["message"].startswith("your own credential is not valid: the credential was revoked at ")
        assert "the program that started you" in error["hint"]
    assert server.end() == (0, "")
    assert not list(Path(shell.environment["XDG_RUNTIME_DIR"]).iterdir())


def test_an_expired_credential_is_told_and_a_new_one_in_its_place_is_used(
    shell: Shell, server: Server
) -> None:
    assert server.call("whoami")["agent"] == "planner"
    own = shell.home / "own.jwt"
    # The next writer records the due ends. An expiry that has passed takes effect without that.
    shell.good("issue", "--task", "T3", "--delegator", "alice", "--ttl", "1s", "--out", "own.jwt")
    while verifies(shell, own):
        pass
    assert "expired" in server.refused("request_identity", agent="coder")["message"]
    shell.good("renew", "--token-file", "other.jwt")
    (shell.home / "other.jwt").replace(own)
    assert server.call("whoami")["agent"] == "stranger"
    own.write_text("no token at all")
    assert server.refused("whoami")["code"] == "invalid_credential"
    own.write_text("")
    assert server.refused("whoami")["message"] == "the agent's own token is empty"
    own.unlink()
    assert "no such file" in server.refused("request_identity", agent="coder")["message"]


def test_a_ledger_that_is_not_there_is_told_and_used_when_it_is_back(shell: Shell, server: Server) -> None:
    away = shell.home / "away"
    shutil.move(shell.ledger, away)
    for tool, arguments in (("whoami", {}), ("request_identity", {"agent": "x"}), ("what_may_i_do", {})):
        error = server.refused(tool, **arguments)
        assert error["code"] == "storage"
        assert error["retryable"]
    assert not shell.ledger.exists()
    shutil.move(away, shell.ledger)
    assert server.call("request_identity", agent="x")["agent"] == "x"


HOSTILE: list[tuple[str, dict[str, Any]]] = [
    ("request_identity", {}),
    ("request_identity", {"agent": 1}),
    ("request_identity", {"agent": None}),
    ("request_identity", {"agent": ["x"]}),
    ("request_identity", {"agent": ""}),
    ("request_identity", {"agent": "  "}),
    ("request_identity", {"agent": "a b"}),
    ("request_identity", {"agent": "x\x1b[31m\u202e\0"}),
    ("request_identity", {"agent": "x" * 129}),
    ("request_identity", {"agent": "x", "delegator": "bob"}),
    ("request_identity", {"agent": "x", "parent": "y"}),
    ("request_identity", {"agent": "x", "scopes": "repo:a"}),
    ("request_identity", {"agent": "x", "scopes": [1]}),
    ("request_identity", {"agent": "x", "scopes": [["repo:a"]]}),
    ("request_identity", {"agent": "x", "scopes": [""]}),
    ("request_identity", {"agent": "x", "scopes": ["repo:a"] * 65}),
    ("request_identity", {"agent": "x", "scopes": ["r" * 257]}),
    ("request_identity", {"agent": "x", "audiences": {"0": "a"}}),
    ("request_identity", {"agent": "x", "audiences": ["https://a b"]}),
    ("request_identity", {"agent": "x", "ttl": 900}),
    ("request_identity", {"agent": "x", "ttl": "-1s"}),
    ("request_identity", {"agent": "x", "ttl": "0s"}),
    ("request_identity", {"agent": "x", "ttl": "soon"}),
    ("request_identity", {"agent": "x", "purpose": "x" * 1_001}),
    ("request_identity", {"agent": "x", "purpose": " "}),
    ("request_identity", {"agent": "x", "purpose": "another one"}),
    ("request_identity", {"agent": "x", "task": "../../etc"}),
    ("request_identity", {"agent": "x", "task": "a\nb"}),
    ("what_may_i_do", {"agent": False}),
    ("what_may_i_do", {"ttl": {}}),
    ("hand_back", {}),
    ("hand_back", {"id": ""}),
    ("hand_back", {"id": "*"}),
    ("hand_back", {"id": ["jid_" + "0" * 26]}),
    ("hand_back", {"id": "jid_" + "0" * 25}),
    ("hand_back", {"id": "jid_" + "0" * 25 + "1"}),
    ("hand_back", {"id": "jid_" + "0" * 26, "all": True}),
    ("whoami", {"id": "x"}),
]


UNEXPRESSED = ("-1s", "0s", "soon", "jid_" + "0" * 25 + "1")
"""Values that no schema refuses: invalid lifetimes, and an id with an invalid last bit."""


def test_arguments_that_cannot_be_meant_are_refused_and_change_nothing(shell: Shell, server: Server) -> None:
    before = len(events(shell))
    for tool, arguments in HOSTILE:
        if arguments.get("task") == "../../etc":
            continue  # This is a valid name: see below.
        error = server.refused(tool, **arguments)
        assert error["code"] == "usage", (tool, arguments)
        assert error["message"].isprintable()
    assert len(events(shell)) == before


def test_a_name_like_a_path_leads_nowhere(shell: Shell, server: Server) -> None:
    given = server.call("request_identity", agent="../x", task="T1/../../etc")
    assert Path(given["token_file"]).name == given["id"]


@pytest.fixture(scope="session")
def validators() -> dict[str, Any]:
    """Return validators for the answers, by the tools' published schemas."""
    try:
        jsonschema: Any = import_module("jsonschema")
    except ImportError:
        missing("jsonschema is not installed")
    made = {}
    for name, tool in TOOLS.items():
        for each in (tool_answers.schema_of(tool.takes), tool.gives):
            jsonschema.Draft202012Validator.check_schema(each)
        made[name] = jsonschema.Draft202012Validator(tool.gives)
    return made


def test_the_tools_are_listed_with_what_they_take_and_give(server: Server) -> None:
    listed = {tool["name"]: tool for tool in server.ask("tools/list", {})["result"]["tools"]}
    assert listed.keys() == {"whoami", "what_may_i_do", "request_identity", "hand_back"}
    for tool in listed.values():
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"
        assert tool["inputSchema"]["additionalProperties"] is False
        assert len(tool["description"]) > 40
    hints = {name: tool["annotations"] for name, tool in listed.items()}
    assert [name for name in hints if hints[name]["readOnlyHint"]] == ["whoami", "what_may_i_do"]
    assert [name for name in hints if hints[name]["destructiveHint"]] == ["hand_back"]


def test_every_answer_fits_the_schema_of_its_tool(
    shell: Shell, server: Server, validators: dict[str, Any]
) -> None:
    """Errors fit too, since a client may validate them by the same schema."""
    given = server.call("request_identity", agent="coder", scopes=["repo:a"], ttl="7d")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("whoami", {}),
        ("request_identity", {"agent": "coder", "task": "T8"}),
        ("request_identity", {"agent": "coder", "scopes": ["db:x"]}),
        ("what_may_i_do", {}),
        ("what_may_i_do", {"scopes": ["db:x"]}),
        ("hand_back", {"id": given["id"]}),
        ("hand_back", {"id": given["id"]}),
        *HOSTILE,
    ]
    for name, arguments in calls:
        result = server.ask("tools/call", {"name": name, "arguments": arguments})["result"]
        found = [str(error) for error in validators[name].iter_errors(result["structuredContent"])]
        assert not found, (name, arguments)
        assert result["isError"] == ("error" in result["structuredContent"])


def test_what_a_schema_says_is_what_is_checked(validators: dict[str, Any]) -> None:
    """On every argument that is tried here, jitid's own check and the reference validator agree.

    Only blank text, and the values of `UNEXPRESSED`, fit a schema and are refused nevertheless.
    """
    jsonschema: Any = import_module("jsonschema")
    from jitid.errors import UsageError

    for name, arguments in HOSTILE:
        takes = TOOLS[name].takes
        fits = jsonschema.Draft202012Validator(tool_answers.schema_of(takes)).is_valid(arguments)
        try:
            tool_answers.read(arguments, takes)
        except UsageError:
            assert not fits or any(
                isinstance(value, str) and (not value.strip() or value in UNEXPRESSED)
                for value in arguments.values()
            )
        else:
            assert fits


@pytest.mark.deep
def test_what_was_renewed_is_still_out(shell: Shell) -> None:
    longer = '@id("renewed-longer") @renew_ttl("2m") permit (principal, action, resource);'
    (shell.ledger / "policy" / "renew.cedar").write_text(longer)
    with Server(shell, "--most", "1") as server:
        given = server.call("request_identity", agent="coder", ttl="2s")
        shell.good("renew", "--token-file", given["token_file"], "--ttl", "2m")
        # The first credential of the identity expires; its successor stays live.
        while shell.good("inspect", given["jti"], "--field", "active").strip() == "true":
            pass
        error = server.refused("request_identity", agent="writer")
        assert error["code"] == "limit"
        assert verifies(shell, given["token_file"])
        server.end()
    assert shell.good("list", "--agent", "coder", "--live") == ""


def test_what_needs_an_approval_passes_once_it_is_granted(shell: Shell, server: Server) -> None:
    policy = shell.ledger / "policy" / "approval.cedar"
    policy.write_text(
        '@id("acme-needs-security") @approval("security")\n'
        'forbid (principal, action == Action::"grant", resource) when { context.scope == "repo:acme" };\n'
    )
    asked = {"agent": "coder", "scopes": ["repo:acme"], "ttl": "2m"}
    foreseen = server.call("what_may_i_do", **asked)
    assert (foreseen["permitted"], foreseen["hint"]) == (False, "request_identity requests this approval")
    error = server.refused("request_identity", **asked)
    (id_,) = error["approvals"]
    assert error["code"] == "needs_approval"
    assert (
        error["hint"]
        == f"a member of `security` must approve: jitid approve grant {id_}; then repeat this call unchanged"
    )
    with Office(shell.ledger, now=int(time.time())) as office:
        office.grant(id_)
    given = server.call("request_identity", **asked)
    assert any("approved by" in note for note in given["notes"])
    assert server.refused("request_identity", **asked)["code"] == "needs_approval"
