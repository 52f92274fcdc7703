"""`helper token` and `helper headers`: the token for a client that runs a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.components.helping import ASKING, asked, is_for
from tests.real import Shell, command

LLM, MCP = "https://llm.example", "https://mcp.example"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger."""
    made = Shell(tmp_path)
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    return made


def _in_run(shell: Shell, *words: str, **variables: str) -> str:
    """Return the output of a jitid inside of a run that may reach all services of `example`."""
    run = command("run", *ASKING, "--may-audience", "https://*.example", "--scope", "read:a", "--")
    done = asked(shell, *run, *command(*words), **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _live(shell: Shell) -> int:
    return len(shell.good("list", "--live").splitlines())


def test_the_output_is_one_token_for_the_audience(shell: Shell) -> None:
    """Standard output has only the token."""
    text = shell.good("helper", "token", *ASKING, "--audience", LLM)
    assert text == f"{text.strip()}\n"
    assert is_for(shell, text, LLM)
    assert not is_for(shell, text, MCP)


def test_the_output_is_one_json_object_with_the_token(shell: Shell) -> None:
    """The audience is the origin of the server's address."""
    done = asked(
        shell, *command("helper", "headers", *ASKING), CLAUDE_CODE_MCP_SERVER_URL=f"{MCP}/mcp?q=1#top"
    )
    headers = json.loads(done.stdout)
    assert [*headers] == ["Authorization"]
    scheme, _, token = headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    assert is_for(shell, token, MCP)


@pytest.mark.parametrize("verb", ["token", "headers"])
def test_without_an_audience_nothing_is_made(shell: Shell, verb: str) -> None:
    """An identity token never goes to a client."""
    before = _live(shell)
    done = shell.run("helper", verb, *ASKING)
    assert (done.returncode, done.stdout) == (2, "")
    assert "an audience is required" in done.stderr
    assert _live(shell) == before


def test_a_variable_names_no_other_audience_than_the_server(shell: Shell) -> None:
    """The server could use a token for another service there; the line decides, a variable does not."""
    variables = {"CLAUDE_CODE_MCP_SERVER_URL": f"{MCP}/mcp", "JITID_AUDIENCE": LLM}
    token = json.loads(asked(shell, *command("helper", "headers", *ASKING), **variables).stdout)[
        "Authorization"
    ].removeprefix("Bearer ")
    assert is_for(shell, token, MCP)
    assert not is_for(shell, token, LLM)
    stated = asked(shell, *command("helper", "headers", *ASKING, "--audience", LLM), **variables).stdout
    assert is_for(shell, json.loads(stated)["Authorization"].removeprefix("Bearer "), LLM)


@pytest.mark.parametrize(
    "address", ["http://mcp.example/mcp", "mcp.example", "file:///etc/passwd", "https://a@b"]
)
def test_a_server_that_a_token_must_not_reach_gets_no_headers(shell: Shell, address: str) -> None:
    """The address is another party's text."""
    before = _live(shell)
    done = asked(shell, *command("helper", "headers", *ASKING), CLAUDE_CODE_MCP_SERVER_URL=address)
    assert (done.returncode, done.stdout) == (2, "")
    assert _live(shell) == before


@pytest.mark.parametrize("verb", ["token", "headers"])
def test_within_a_run_it_belongs_to_the_identity_of_the_run(shell: Shell, verb: str) -> None:
    """With its scopes, and without a further identity."""
    before = len(shell.good("list").splitlines())
    text = _in_run(shell, "helper", verb, "--audience", LLM)
    token = text if verb == "token" else json.loads(text)["Authorization"].removeprefix("Bearer ")
    claims = json.loads(shell.run("inspect", "-", "--json", stdin=token).stdout)
    assert claims["aud"] == [LLM]
    assert claims["scope"] == "read:a"
    assert claims["parent"] is None
    assert len(shell.good("list").splitlines()) == before + 2  # the identity token and this one


def test_within_a_run_another_agent_is_a_child(shell: Shell) -> None:
    """Its token has no scope that is not stated."""
    token = _in_run(shell, "helper", "token", "--audience", LLM, "--agent", "reviewer")
    claims = json.loads(shell.run("inspect", "-", "--json", stdin=token).stdout)
    assert (claims["client_id"], claims["scope"]) == ("reviewer", "")
    assert claims["parent"] is not None


def test_a_service_that_the_run_may_not_reach_is_denied(shell: Shell) -> None:
    """The grant of the run decides."""
    run = command("run", *ASKING, "--may-audience", LLM, "--")
    done = asked(shell, *run, *command("helper", "token", "--audience", MCP))
    assert (done.returncode, done.stdout) == (4, "")


@pytest.mark.parametrize("kind", ["x509-svid", "ssh-cert", "aws-sts"])
def test_a_kind_that_is_not_a_token_is_refused_before_it_is_made(shell: Shell, kind: str) -> None:
    """A client can only send a token."""
    done = shell.run("helper", "token", *ASKING, "--audience", LLM, "--kind", kind)
    assert done.returncode == 2
    assert "is not a token" in done.stderr
