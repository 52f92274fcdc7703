"""The error that a new user meets names the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import Shell

READING = ("verify", "inspect", "explain", "scan", "revoke")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell in a new home, without a ledger."""
    return Shell(tmp_path)


@pytest.fixture
def held(shell: Shell) -> Shell:
    """Return a shell with a service token, and with a token of another ledger."""
    shell.good(
        "issue", "--task", "L-4", "--delegator", "alice", "--audience", "https://a.example", "--out", "p.jwt"
    )
    other = ("--ledger", "./other", "--task", "L-5", "--delegator", "alice", "--out", "other.jwt")
    shell.good("issue", *other)
    return shell


def refused(shell: Shell, *words: str, status: int) -> tuple[str, str]:
    """Return the message and the hint of a refusal."""
    done = shell.run(*words)
    assert done.returncode == status, done
    message, hint = done.stderr.rstrip("\n").splitlines()[-2:]
    return message.removeprefix("jitid: error: "), hint.removeprefix("jitid: hint: ")


@pytest.mark.parametrize("verb", READING)
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_token_on_the_command_line_is_said_to_be_given_away(held: Shell, kind: str, verb: str) -> None:
    token = held.good("issue", "--task", "L-4", "--delegator", "alice", "--kind", kind).strip()
    message, hint = refused(held, verb, token, status=2)
    assert "pass a token in a file or a pipe; if you typed it, it is in the shell's history now" in hint
    assert token[:20] not in message + hint


def test_a_token_for_another_audience_names_its_own(held: Shell) -> None:
    message, hint = refused(held, "verify", "p.jwt", status=8)
    assert message == "the token is for another audience"
    assert hint == "to verify it for that service: --audience https://a.example"
    held.good("verify", "p.jwt", "--audience", "https://a.example")


def test_many_audiences_are_bounded(held: Shell) -> None:
    many = [word for number in range(9) for word in ("--audience", f"https://{number}.example/{'x' * 200}")]
    held.good("issue", "--task", "L-4", "--delegator", "alice", *many, "--out", "many.jwt")
    _, hint = refused(held, "verify", "many.jwt", status=8)
    assert "and 4 more: " in hint
    assert len(hint) < 600


def test_the_audience_of_an_opaque_token_stays_with_the_ledger(held: Shell) -> None:
    held.good("issue", "--task", "L-4", "--delegator", "alice", "--kind", "opaque", "--out", "o.tok")
    message, hint = refused(held, "verify", "o.tok", "--audience", "https://b.example", status=8)
    assert (message, hint) == (
        "the credential is for another audience",
        "name the audience that it is for: --audience URL",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "other.jwt"),
        ("inspect", "other.jwt"),
        ("explain", "other.jwt"),
        ("revoke", "--token-file", "other.jwt"),
        ("renew", "--token-file", "other.jwt"),
        ("issue", "--parent-file", "other.jwt"),
    ],
)
def test_a_token_of_another_ledger_asks_for_that(held: Shell, words: tuple[str, ...]) -> None:
    message, hint = refused(held, *words, status=8)
    assert message.endswith("the token is from another issuer")
    assert hint == "it may be another ledger's: name it with --ledger"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("revoke", "p.jwt"), "for the token in that file: --token-file p.jwt"),
        (("revoke", "L-4"), "jitid revoke --task L-4"),
        (("renew", "p.jwt"), "for the token in that file: jitid renew --token-file p.jwt"),
        (("revoke", "a b\x1b"), "for ids: jitid list"),
        (("inspect", "NOPE"), "to find it: jitid list"),
        (
            ("inspect", "no.jwt"),
            "an id is jid_ or jti_ and 26 characters of 0-9 and a-v; to list them: jitid list",
        ),
        (
            ("explain", "a b"),
            "an id is jid_ or jti_ and 26 characters of 0-9 and a-v; to list them: jitid list",
        ),
    ],
)
def test_a_word_that_is_no_id_leads_to_the_option_that_takes_it(
    held: Shell, words: tuple[str, ...], hint: str
) -> None:
    assert refused(held, *words, status=2)[1] == hint


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ('{"scopes": ["a:b"]}', 2, "line 2: unknown member `scopes`; nothing was issued"),
        ("xx", 2, "line 2: it does not parse at character 1; nothing was issued"),
        (
            '{"agent": "no!"}',
            2,
            "line 2: the agent name `no!` has an invalid character; nothing was issued",
        ),
        ('{"sensitivity": "critical"}', 4, "line 2: denied: "),
    ],
)
def test_a_list_that_is_refused_says_that_nothing_was_issued(
    held: Shell, line: str, status: int, message: str
) -> None:
    (held.home / "list").write_text(f'{{"task": "N-1"}}\n{line}\n')
    done = held.run("issue", "--task", "N-2", "--delegator", "alice", "--from-file", "list")
    assert (done.returncode, done.stdout) == (status, "")
    said = done.stderr.splitlines()[0].removeprefix("jitid: error: ")
    assert said.startswith(message)
    assert said.endswith("; nothing was issued")
    assert ("did you mean `scope`?" in done.stderr) == ("scopes" in line)
    assert held.good("list", "--task", "N-1") == ""


def test_a_short_option_is_refused_as_a_long_one(shell: Shell) -> None:
    assert refused(shell, "list", "-n", "5", status=2) == (
        "there is no option `-n`",
        "see: jitid list --help",
    )


@pytest.mark.parametrize(
    ("words", "stdin", "advice"),
    [
        (("token", "--audience", "https://a.example"), "", "add --task TASK --delegator NAME to its line"),
        (("git", "get"), "protocol=https\nhost=git.example\n\n", "jitid setup git … --task TASK"),
        (("aws", "--template", "deploy"), "", "jitid setup aws … --task TASK"),
        (("docker", "get"), "registry.example\n", "set JITID_TASK and JITID_DELEGATOR"),
    ],
)
def test_a_helper_without_an_identity_names_a_way_to_one(
    held: Shell, words: tuple[str, ...], stdin: str, advice: str
) -> None:
    """No user types the line of a helper."""
    done = held.run("helper", *words, stdin=stdin)
    assert done.returncode == 2
    assert "no session of a client and no `jitid run` is above this process" in done.stderr
    assert "start the program by `jitid run --task TASK --delegator NAME -- PROGRAM`" in done.stderr
    assert advice in done.stderr
