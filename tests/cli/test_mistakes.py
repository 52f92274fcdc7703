"""Words and options of other programs, and typing errors: the hint names the right line, and ends nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jitid.cli import main, mistakes, typer_parser
from jitid.cli.invocation import GlobalOptions, Invocation
from jitid.cli.line import by_flag
from jitid.cli.verbs import GROUPS, all_verbs, next_words
from jitid.errors import UsageError
from jitid.system.message_lines import fitted
from tests.real import Shell

ENDING = {"revoke", "retire", "disable", "suspend", "unregister", "prune", "close", "end", "vacuum", "delete"}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("shell"))
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "planner.jwt")
    return shell


def hint(shell: Shell, line: str) -> str:
    """Return the hint after a line that is a usage error."""
    done = shell.run(*shlex.split(line))
    assert done.returncode in (2, 125), done.stderr
    return done.stderr.splitlines()[-1].removeprefix("jitid: hint: ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("auth", "did you mean `whoami`?"),
        ("log", "did you mean `audit log`?"),
        ("rotate", "did you mean `keys rotate`?"),
        ("agent create x", "did you mean `agent register`?"),
        ("config list", "did you mean `config show`?"),
        ("approve apr_1", "did you mean `approve show apr_1` or `approve grant apr_1`?"),
        ("'list --task T1'", "write the words without quotes around them all"),
        ("--task T1 issue", "the options of a verb follow it"),
        ("issue -task T1 -delegator alice", "type two hyphens: --task"),
        ("run -task T1 -- true", "type two hyphens: --task"),
        ("issue \u2013-task T1", "an option begins with hyphens (U+002D)"),
        ("issue T1 alice", "jitid issue --task NAME --delegator NAME"),
        ("issue task=T1", "an option begins with two hyphens: --task T1"),
        ("issue --role x", "did you mean `--scope`?"),
        ("issue --expires 1h", "did you mean `--ttl`?"),
        ("issue --parent planner.jwt", "did you mean `--parent-file`?"),
        ("issue --user alice", "did you mean `--delegator`?"),
        ("list --output json", "did you mean `--format`?"),
        ("verify --file planner.jwt", "the file needs no option: jitid verify FILE"),
        ("renew planner.jwt", "jitid renew --token-file planner.jwt"),
        ("renew T1", "only a token can be renewed"),
        ("verify planer.jwt", "did you mean `planner.jwt`?"),
        ("verify jid_06h31bok95ush1i440n767efq0", "an id is an argument, not a file"),
        ("issue --task T1 --delegator alice --scope a:b,c:d", "for several scopes, repeat the option"),
        ("issue --task T1 --delegator alice --audience 'https://a https://b'", "repeat the option"),
        ("issue --task T1 --delegator alice --audience https://a,https://b", "repeat --audience"),
        ("issue --task T1 --delegator ''", "if it is a variable, is it set?"),
        ("run true --task T1 --delegator alice", "put the options of `jitid run` before its command"),
        ("config set default-ttl 5m", "did you mean `ttl`?"),
        ("list --credential-file none", "add --remote URL"),
        ("audit log --since 2026-12-01", "write 2026-12-01T00:00:00Z for UTC"),
        ("audit log --since '2026-12-01 03:00'", "write 2026-12-01T03:00:00Z for UTC"),
        ("trace --yes", "omit them to look only"),
        ("sweep --yes", "omit them to look only"),
    ],
)
def test_a_mistake_leads_to_the_right_line(shell: Shell, line: str, expected: str) -> None:
    assert expected in hint(shell, line)


@pytest.mark.parametrize(
    "line", [("issue", ""), ("renew", "", "x"), ("",), ("agent", ""), ("list", "--tree", "")]
)
def test_an_empty_word_is_a_usage_error(shell: Shell, line: tuple[str, ...]) -> None:
    assert shell.run(*line).returncode == 2


def test_a_command_in_one_word_is_no_program(shell: Shell) -> None:
    done = shell.run("run", "--task", "T1", "--delegator", "alice", "--", "ls -l")
    assert done.returncode == 127
    assert "hint: separate the words of the command" in done.stderr


@pytest.mark.parametrize(
    "word", ["revok", "retrie", "prun", "delete", "rm", "kill", "disabel", "agent unregistr"]
)
def test_no_suggestion_ends_something(shell: Shell, word: str) -> None:
    """Nor does it name the opposite, or a verb that runs a program."""
    assert "did you mean" not in hint(shell, word)


@pytest.mark.parametrize(("word", "verb"), [*mistakes.MEANT_VERBS.items()])
def test_each_word_of_other_programs_leads_to_a_verb(word: str, verb: str) -> None:
    """The suggestion exists, it ends nothing, and no verb has that name."""
    names = [name for name in all_verbs() if verb == name or verb.startswith(f"{name} ")]
    assert names
    assert not ENDING & set(verb.split())
    group, _, last = word.rpartition(" ")
    assert not group or group in GROUPS
    assert last not in next_words(group)


@pytest.mark.parametrize("option", [*mistakes.MEANT_OPTIONS])
def test_each_option_of_other_programs_leads_to_one(option: str) -> None:
    flags = {flag for verb in all_verbs().values() for flag in by_flag(verb.fields)} | {"--format"}
    assert set(mistakes.MEANT_OPTIONS[option]) <= flags


@pytest.mark.parametrize("verb", [*all_verbs()])
def test_help_may_stand_before_the_verb(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run([*verb.split(), "--help"]) == 0
    expected = capfd.readouterr()
    assert main.run(["--help", *verb.split()]) == 0
    assert capfd.readouterr() == expected


def test_commands_of_hints_select_the_ledger_of_the_line(shell: Shell, tmp_path: Path) -> None:
    """A copy of the command acts on the same ledger, not on the default one."""
    home = {**shell.environment, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "jitid", "--ledger", str(shell.ledger), "agent", "resume", "nobody"],
        env={name: value for name, value in home.items() if not name.startswith("JITID_")},
        capture_output=True,
        text=True,
        check=False,
    )
    hint_ = done.stderr.splitlines()[-1]
    assert f"see: jitid --ledger {shell.ledger} agent list; " in hint_
    assert f"jitid --ledger {shell.ledger} list --agent nobody" in hint_


def test_lines_of_messages_end_between_words_and_keep_commands_whole() -> None:
    command = f"jitid revoke --dry-run {' '.join(['jti_06h31bhhg1sf303hjvn0iuinf4'] * 2)}"
    message = (
        f"jitid: hint: the identity is still valid; to revoke both of its credentials: {command}; or wait"
    )
    lines = fitted(message, 80).split("\n")
    assert all(len(line) <= 80 or line.strip() == f"{command};" for line in lines)
    assert " ".join(line.strip() for line in lines) == message
    assert any(command in line for line in lines)
    assert fitted("jitid: error: short", 80) == "jitid: error: short"


def test_the_name_of_a_task_shows_its_tree_even_if_an_agent_has_that_name(shell: Shell) -> None:
    """A sub-agent's name is chosen by an agent: it must not hide the task from a responder."""
    shell.good("issue", "--parent-file", "planner.jwt", "--agent", "T1")
    assert len(shell.good("list", "--tree", "T1").splitlines()) == 2


@pytest.mark.parametrize("line", [("list",), ("list", "--tree")])
def test_a_file_never_hides_a_name(shell: Shell, line: tuple[str, ...]) -> None:
    """Another user may have written into the folder, such as an agent into a repository."""
    shell.good("issue", "--task", "MINE", "--delegator", "mallory", "--out", "other.jwt")
    shell.good("issue", "--task", "KEPT", "--delegator", "rita", "-q")
    for name in ("KEPT", "user:rita"):
        (shell.home / name).write_text((shell.home / "other.jwt").read_text())
        assert "MINE" not in shell.good(*line, name)
        assert "KEPT" in shell.good(*line, name)
        (shell.home / name).unlink()


@pytest.mark.parametrize("line", [("list",), ("list", "--tree")])
def test_a_file_without_a_token_is_not_read_as_one(shell: Shell, line: tuple[str, ...]) -> None:
    """It may be a private key or a password, and the authority may be remote."""
    (shell.home / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n")
    (shell.home / "password").write_text("correct horse battery staple\n")
    for name in ("key.pem", "password"):
        done = shell.run(*line, name)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"`{name}` is a file without a token" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:s3cretpw@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=u&password=s3cretpw",
        "postgresql:///x?host=127.0.0.1&port=1&password=s3cretpw",
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_commands_of_hints_have_no_password(shell: Shell, address: str, form: tuple[str, ...]) -> None:
    done = shell.run("--ledger", address, *form, "revoke", "NOPE")
    assert "for ids: jitid --ledger " in done.stderr
    assert "s3cretpw" not in done.stderr


def test_the_trees_that_a_limit_leaves_out_are_named(shell: Shell) -> None:
    for number in range(3):
        shell.good("issue", "--task", f"MANY-{number}", "--delegator", "zoe", "-q")
    done = shell.run("list", "--tree", "zoe", "--limit", "2")
    assert len(done.stdout.splitlines()) == 2
    assert "only the trees of the newest 2 credentials are shown; for more: --limit N" in done.stderr
    assert "newest" not in shell.run("list", "--tree", "zoe").stderr


@pytest.mark.parametrize("line", [("list",), ("list", "--tree")])
def test_lists_take_the_file_of_a_token(shell: Shell, line: tuple[str, ...]) -> None:
    assert "T1" in shell.good(*line, "planner.jwt")
    assert os.fspath(shell.home) not in shell.good(*line, "planner.jwt")


def test_the_tree_of_a_delegator_or_an_agent_is_of_all_its_identities(shell: Shell) -> None:
    shell.good("issue", "--task", "T2", "--delegator", "dora", "--agent", "solo")
    for name in ("dora", "user:dora", "solo"):
        assert [line.split("\t")[4] for line in shell.good("list", "--tree", name).splitlines()] == ["T2"]


def test_reasons_are_those_of_a_credential(shell: Shell) -> None:
    message = shell.run("inspect", "--why", "alice").stderr
    assert "`user:alice` is a delegator, and --why explains the decision about one credential" in message
    assert "jitid list --delegator user:alice" in message


def test_a_member_of_a_field_is_a_field(shell: Shell) -> None:
    """As a terminal shows it."""
    assert (
        shell.good("inspect", "planner.jwt", "--field", "task.name", "--field", "sub") == "T1\tuser:alice\n"
    )
    done = shell.run("inspect", "planner.jwt", "--field", "act.nothing")
    assert done.returncode == 2
    assert "the fields are: act.sub" in done.stderr


def test_old_names_follow_joined_short_options(shell: Shell) -> None:
    assert shell.good("-qv", "tree", "T1") == shell.good("list", "--tree", "T1")
    assert "live" in shell.good("-qv")


def valued() -> list[tuple[str, str]]:
    """Return each verb with each of its options that has a value."""
    return [
        (name, flag)
        for name, verb in all_verbs().items()
        for flag, field in by_flag({**GlobalOptions.fields, **verb.fields}).items()
        if field.type is not None
    ]


@pytest.mark.parametrize(("verb", "option"), valued(), ids=" ".join)
def test_no_option_is_the_value_of_another(verb: str, option: str) -> None:
    """A shell removes `$EMPTY`: `revoke --reason $EMPTY --dry-run` must not revoke."""
    fields = by_flag({**GlobalOptions.fields, **all_verbs()[verb].fields})
    for following in [*fields][:: max(len(fields) // 4, 1)]:
        for words in ([option, following], [option, f"{following}=x"]):
            with pytest.raises(UsageError, match=f"the value of `{option}` is missing: `{following}` is an"):
                typer_parser.read([*verb.split(), *words], Invocation())


@pytest.mark.parametrize(
    "line",
    [
        ("revoke", "--task", "T1", "--reason", "--dry-run"),
        ("retire", "--reason", "--dry-run", "T1"),
        ("issue", "--task", "--dry-run", "--delegator", "alice"),
        ("issue", "--task", "T1", "--agent", "bot", "--delegator", "--dry-run"),
        ("run", "--delegator", "alice", "--task", "--scope", "ls", "--", "true"),
        ("--ledger", "--json", "list"),
        ("audit", "--ledger", "--json", "log"),
        ("revoke", "-nt", "--yes"),
        ("revoke", "-qt", "--dry-run"),
        ("-q", "revoke", "-t", "-n"),
    ],
    ids=" ".join,
)
def test_an_empty_variable_changes_nothing(shell: Shell, line: tuple[str, ...]) -> None:
    before = shell.good("audit", "log", "--field", "hash")
    done = shell.run(*line)
    assert done.returncode in (2, 125)
    assert done.stdout == ""
    assert "if it is a variable, is it set? to pass that value: " in done.stderr
    assert shell.good("audit", "log", "--field", "hash") == before


def test_a_value_may_look_like_an_option_if_it_is_joined(shell: Shell) -> None:
    """Or if the verb has no such option."""
    shell.good("revoke", "--task", "T1", "--dry-run", "--reason=--dry-run")
    shell.good("revoke", "--task", "T1", "--dry-run", "--reason", "--not-an-option")


@pytest.mark.parametrize("option", ["--token", "--parent", "-x"])
def test_a_token_beside_an_unknown_option_is_exposed(shell: Shell, option: str) -> None:
    token = (shell.home / "planner.jwt").read_text().strip()
    for words in ((option, token), (f"{option}={token}",)):
        done = shell.run("issue", *words)
        assert done.returncode == 2
        assert "in the shell's history now: revoke it by `jitid trace --revoke`" in done.stderr
        assert token[:20] not in done.stderr


def test_actions_of_any_name(shell: Shell) -> None:
    for action in ("repo:read", "repo:write"):
        shell.run("authorize", "--token-file", "planner.jwt", "--action", action, "--resource", "acme")
    line = ("audit", "log", "--task", "T1", "--field", "action", "--action")
    assert shell.good(*line, "*") == "repo:read\nrepo:write\n"
    assert shell.good(*line, "repo:read") == "repo:read\n"


@pytest.mark.parametrize(
    ("line", "revoking", "recording"),
    [
        (("delegator", "disable", "alice"), "--delegator user:alice", "delegator add user:alice"),
        (("agent", "suspend", "bot"), "--agent bot", "agent register bot --owner DELEGATOR --purpose TEXT"),
    ],
)
def test_stopping_what_has_no_record_leads_to_its_credentials(
    shell: Shell, line: tuple[str, ...], revoking: str, recording: str
) -> None:
    done = shell.run(*line)
    assert done.returncode == 3
    assert f"to revoke its credentials: jitid revoke --dry-run {revoking}; " in done.stderr
    assert f"record it first: jitid {recording}\n" in done.stderr


def test_a_token_that_is_cut_in_its_signature_is_named(shell: Shell) -> None:
    token = (shell.home / "planner.jwt").read_text().strip()
    # The other lengths of base64url have digits without a meaning, which the decoder refuses.
    for length in (2, 6):
        done = shell.run("verify", stdin=token[:-length])
        assert done.returncode == 8
        assert "copy the whole token" in done.stderr


def test_an_empty_text_is_named(shell: Shell) -> None:
    done = shell.run("trace", stdin="")
    assert done.returncode == 3
    assert "the text is empty" in done.stderr
