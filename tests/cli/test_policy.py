"""Policy verbs: a policy that cannot be read permits nothing, and hostile text has no effect."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitid.values.text import safe
from tests.real import Shell, command, other_user, reachable

PERMIT = '@id("all") permit (principal, action, resource);\n'


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a user with a policy in `~/policy`, and with a token in `~/token`."""
    shell = Shell(tmp_path)
    (tmp_path / "policy").mkdir()
    # The umask of the test run must not matter.
    (tmp_path / "policy").chmod(0o755)
    _put(tmp_path / "policy", PERMIT)
    shell.environment["JITID_POLICY"] = str(tmp_path / "policy")
    shell.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--scope", "a:b", "--out", "token")
    yield shell
    # After every test, the ledger is intact.
    shell.good("audit", "verify")


DECIDING = {
    "issue": ["issue", "--task", "T2", "--delegator", "alice"],
    "dry-run": ["issue", "--task", "T2", "--delegator", "alice", "--dry-run"],
    "child": ["issue", "--parent-file", "token"],
    "run": ["run", "--task", "T2", "--delegator", "alice", "--", "touch", "ran"],
    "renew": ["renew", "--token-file", "token"],
    "authorize": ["authorize", "--token-file", "token", "--action", "a:b", "--resource", "x"],
}


Breaking = Callable[[Path], object]


def _put(folder: Path, text: str | bytes, name: str = "p.cedar") -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / name).chmod(0o644)


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _pipe(folder: Path) -> None:
    (folder / "p.cedar").unlink()
    os.mkfifo(folder / "p.cedar", 0o644)


def _link(folder: Path) -> None:
    (folder / "p.cedar").rename(folder / "elsewhere")
    (folder / "p.cedar").symlink_to("elsewhere")


def _folder(folder: Path) -> None:
    (folder / "p.cedar").unlink()
    (folder / "p.cedar").mkdir()


BROKEN: dict[str, tuple[Breaking, int]] = {
    "syntax": (lambda folder: _put(folder, "permit (principal"), 2),
    "a second file": (lambda folder: _put(folder, "permit (principal", "q.cedar"), 2),
    "no name": (lambda folder: _put(folder, "permit (principal, action, resource);"), 2),
    "a name twice": (lambda folder: _put(folder, PERMIT, "q.cedar"), 2),
    "no such fact": (lambda folder: _put(folder, PERMIT.replace(";", " when { context.colour == 1 };")), 2),
    "a template": (
        lambda folder: _put(folder, '@id("x") permit (principal == ?principal, action, resource);'),
        2,
    ),
    "too deep": (
        lambda folder: _put(
            folder, f'@id("x") permit (principal, action, resource) when {{ {"(" * 10**5} }};'
        ),
        2,
    ),
    "no file": (lambda folder: (folder / "p.cedar").unlink(), 2),
    "no folder": (_remove, 2),
    "no UTF-8": (lambda folder: _put(folder, b"// caf\xe9\n" + PERMIT.encode()), 2),
    "a byte order mark": (lambda folder: _put(folder, "\ufeff" + PERMIT), 2),
    "NUL": (lambda folder: _put(folder, PERMIT + "\0"), 2),
    "a pipe": (_pipe, 7),
    "a link": (_link, 7),
    "a folder for a file": (_folder, 7),
    "written by others": (lambda folder: (folder / "p.cedar").chmod(0o646), 7),
    "a folder of everybody": (lambda folder: folder.chmod(0o777), 7),
}


@pytest.mark.deep
@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_read_stops_whatever_it_decides(what: str, shell: Shell) -> None:
    """No other policy replaces it, not even the default policy, which would permit all of these."""
    breaking, status = BROKEN[what]
    breaking(shell.home / "policy")
    before = shell.good("list", "--field", "jti")
    token = (shell.home / "token").read_text()
    for verb, line in DECIDING.items():
        done = shell.run(*line)
        assert done.returncode == (125 if verb == "run" else status), (verb, done.stderr)
        assert done.stdout == ""
        assert "polic" in done.stderr or "p.cedar" in done.stderr or "q.cedar" in done.stderr
        assert "internal error" not in done.stderr
    assert shell.good("list", "--field", "jti") == before
    assert (shell.home / "token").read_text() == token
    assert not (shell.home / "ran").exists()
    # Existing credentials can still be inspected and revoked.
    shell.good("verify", "token")
    shell.good("explain", "token")
    shell.good("revoke", "--token-file", "token")


def test_a_policy_that_is_closed_to_the_user_stops_it(tmp_path: Path) -> None:
    prefix = other_user()
    with reachable(tmp_path) as place:
        folder = place / "policy"
        folder.mkdir(mode=0o755)
        _put(folder, PERMIT)
        home = place / "home"
        home.mkdir()
        os.chown(home, 65534, 65534)
        shell = Shell(home)
        shell.environment["JITID_POLICY"] = str(folder)
        assert shell.run(*DECIDING["issue"], before=prefix).returncode == 0
        (folder / "p.cedar").chmod(0o600)
        done = shell.run(*DECIDING["issue"], before=prefix)
        assert (done.returncode, done.stdout) == (5, "")
        folder.chmod(0o700)
        done = shell.run(*DECIDING["issue"], before=prefix)
        assert (done.returncode, done.stdout) == (5, "")
        assert "permission denied" in done.stderr.lower()
        assert shell.run("explain", "--event", "2", before=prefix).returncode == 0


NAMES = (
    "it's",
    'a"b',
    "a\\b",
    "a\nb",
    "a b",
    "[red]x[/]",
    "<b>",
    "\x1b[31m",
    "\u202eevil",
    "é",
    "x" * 65,
    "",
)


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_of_a_rule_is_refused_and_harmless_to_read(name: str, shell: Shell) -> None:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    for written in {f'@id("{escaped}")', f'@id("{name}")'}:
        _put(shell.home / "policy", f"{written} permit (principal, action, resource);")
        for line in (
            ["policy", "check"],
            ["policy", "show"],
            ["policy", "show", name or "x"],
            DECIDING["issue"],
        ):
            done = shell.run(*line)
            assert done.returncode == 2, (line, done.stderr)
            _is_harmless(done)


def _is_harmless(done: subprocess.CompletedProcess[str]) -> None:
    for shown in (done.stdout, done.stderr):
        assert all(each in "\n\t" or safe(each) == each for each in shown), shown
    assert "internal error" not in done.stderr


def test_a_hostile_text_acts_on_no_terminal(shell: Shell) -> None:
    """A pipe gets the text of the files unchanged; JSON has each rule unchanged."""
    text = f'// \x1b]0;owned\x07 \u202e [bold]\n{PERMIT.replace(";", "")} when {{ context.task != "\x1b[31m[red]" }};\n'
    _put(shell.home / "policy", text)
    assert shell.good("policy", "show", "--text") == f"// p.cedar\n{text}"
    rule = shell.good("policy", "show", "all", "--format", "json")
    assert "\\u001b[31m[red]" in rule
    for words in (("--text",), ("all",), ()):
        line = " ".join(command("policy", "show", *words))
        done = subprocess.run(
            ["script", "-qec", f"stty cols 80; {line}", "/dev/null"],
            env={**shell.environment, "NO_COLOR": "1", "TERM": "xterm"},
            cwd=shell.home,
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        assert all(each in "\r\n" or safe(each) == each for each in done.stdout), done.stdout
    done = shell.run("issue", "--task", "T2", "--delegator", "alice", "--out", "second")
    assert done.returncode == 0
    _is_harmless(shell.run("explain", "second"))


def test_lines_are_counted_whatever_ends_them(shell: Shell) -> None:
    for end in ("\n", "\r\n", "\r"):
        text = f'// one{end}@id("x"){end}permit (principal, action, resource){end}when {{ context.hours == 1 }};{end}'
        _put(shell.home / "policy", text)
        done = shell.run("policy", "check")
        assert done.stderr.startswith(f"{shell.home}/policy/p.cedar:4:8: error: rule `x`: "), end


@pytest.mark.deep
def test_a_megabyte_of_policy_is_checked_shown_and_asked(shell: Shell) -> None:
    rules = "".join(
        f'@id("r{number}") forbid (principal == Agent::"agent-{number}", action, resource) '
        f"when {{ context.hour == {number % 24} }};\n"
        for number in range(10_000)
    )
    _put(shell.home / "policy", PERMIT + rules)
    assert len(rules) > 900_000
    place = f"{shell.home}/policy"
    assert (
        shell.good("policy", "check") == f"10,001 rules in 1 file of the policy in force, {place}: in order\n"
    )
    assert shell.good("policy", "check", place) == "10,001 rules in 1 file: in order\n"
    assert shell.good("policy", "show", "--field", "rule").count("\n") == 10_001
    shell.good(*DECIDING["issue"])
    assert "nothing would change" in shell.run("policy", "diff", "current", "current").stderr


CASES = {
    b"[[case]\n": "invalid TOML",
    b"a = " + b"[" * 10_000: "nested too deeply",
    b"\xff\xfe": "not UTF-8",
    b"": "the file has no `[[case]]`",
    b"[[case]]\nname = 7\n": "case 1 has no name",
    b'case = "x"\n': "the file has no `[[case]]`",
    b'case = ["x"]\n': "case 1 must be a table",
    b'[[case]]\nname = "x"\n[case.expect]\ndecision = "perhaps"\n': "unknown decision `perhaps`",
    b'[[case]]\nname = "x"\n[case.request]\nat = 2026-11-24T10:00:00Z\n': "`request.at` must be text",
    b'[[case]]\nname = "x"\n[case.request]\ndepth = true\n': "`request.depth` must be a whole number",
    b'[[case]]\nname = "x"\nexpect.decision = "deny"\n[case.request]\nzone = "../../etc/passwd"\n': "no time zone",
    b'[[case]]\nname = "x"\nexpect.decision = "deny"\n[case.request]\nscopes = ["a b"]\n': "scope",
    b'[[case]]\nname = "\\u001b[31m\\n"\n[case.request]\nwhat = 1\n': "unknown member",
    b"# " + b"x" * 10_000_000: "the file has no `[[case]]`",
}


@pytest.mark.deep
@pytest.mark.parametrize("text", CASES, ids=list(map(str, range(len(CASES)))))
def test_cases_that_cannot_be_meant_are_told_with_their_place(text: bytes, shell: Shell) -> None:
    _put(shell.home / "policy", text, "p.test.toml")
    done = shell.run("policy", "test", "policy")
    assert (done.returncode, done.stdout) == (2, "")
    last = text.count(b"\n") + 1
    assert any(f"policy/p.test.toml:{line}:" in done.stderr for line in range(1, last + 1))
    assert CASES[text] in done.stderr
    _is_harmless(done)


def test_a_file_of_cases_that_is_no_file_is_told(shell: Shell) -> None:
    os.mkfifo(shell.home / "policy" / "p.test.toml")
    done = shell.run("policy", "test", "policy")
    assert done.returncode == 2
    assert "`policy/p.test.toml` is not a regular file" in done.stderr


def test_a_token_in_the_place_of_a_path_is_not_repeated(shell: Shell) -> None:
    token = (shell.home / "token").read_text().strip()
    for line in (
        ["init", token],
        ["check", token],
        ["check", f"{token}.cedar"],
        ["test", f"{token}.test.toml"],
        ["test", "--policy", token],
        ["show", token],
        ["show", "--digest", token],
        ["diff", token, "current"],
        ["diff", "current", f"{token}.cedar"],
    ):
        done = shell.run("policy", *line)
        assert done.returncode in (2, 3, 74), line
        assert token[10:50] not in done.stdout + done.stderr, line
    done = shell.run("explain", token)
    assert done.returncode == 2
    assert token[10:50] not in done.stderr


def test_a_name_of_a_case_is_harmless_to_read(shell: Shell) -> None:
    _put(
        shell.home / "policy",
        '[[case]]\nname = "[red]\\u001b[31m\\u202e<b>"\nexpect = { decision = "deny", rules = ["\\u001b"] }\n',
        "p.test.toml",
    )
    done = shell.run("policy", "test")
    assert done.returncode == 10
    _is_harmless(done)
    assert "[red]" in done.stdout


@pytest.mark.deep
@pytest.mark.parametrize(
    "line",
    [
        ["policy", "show"],
        ["policy", "show", "--text"],
        ["policy", "show", "all"],
        ["policy", "check"],
        ["policy", "diff", "current", "default", "--format", "json"],
        ["explain", "token"],
    ],
    ids=" ".join,
)
def test_where_nobody_can_read_the_answer_the_status_says_so(line: list[str], shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*line),
            env=shell.environment,
            cwd=shell.home,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 74
    assert b"standard output cannot be written" in done.stderr
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command(*line)],
        env=shell.environment,
        cwd=shell.home,
        capture_output=True,
        check=False,
    )
    assert closed.returncode == 74


def test_a_beginning_leaves_nothing_where_it_cannot_be_written(shell: Shell) -> None:
    """Neither part of a new policy nor a change to existing files is left."""
    done = shell.run("policy", "init", "nowhere/new")
    assert done.returncode == 74
    (shell.home / "full").mkdir()
    (shell.home / "full" / "mine").write_text("x")
    assert shell.run("policy", "init", "full").returncode == 2
    assert [path.name for path in (shell.home / "full").iterdir()] == ["mine"]
    limited = ["sh", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "sh"]
    done = shell.run("policy", "init", "new", before=limited)
    assert done.returncode == 74, done.stderr
    assert not (shell.home / "new").exists()


def test_a_beginning_can_be_read_by_who_issues_whatever_the_umask(shell: Shell) -> None:
    for umask in (0o000, 0o002, 0o077):
        assert shell.run("policy", "init", f"new{umask}", umask=umask).returncode == 0
        folder = shell.home / f"new{umask}"
        assert folder.stat().st_mode & 0o777 == 0o755
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
        shell.environment["JITID_POLICY"] = str(folder)
        assert shell.run("policy", "check").returncode == 0


def test_what_is_declared_of_uses_counts_for_the_doctor_too(shell: Shell) -> None:
    """A rule needs no `has` test for an attribute that the declaration requires."""
    head = '@id("in") forbid (principal, action == Action::"authorize", resource)'
    rule = f"{head} when {{ !context.use.ip.isLoopback() }};\n"
    _put(shell.home / "policy", PERMIT + rule)
    assert shell.run("policy", "check").returncode == 2
    assert shell.run("doctor").returncode == 2
    _put(shell.home / "policy", "type Use = { ip: ipaddr };\n", "use.cedarschema")
    assert shell.good("policy", "check").startswith("2 rules in 1 file of the policy in force, ")
    assert "policy\tok\t2 rules in p.cedar" in shell.run("doctor").stdout
    for text, answer in (('{"ip":{"__extn":{"fn":"ip","arg":"127.0.0.1"}}}', "allow"), ("{}", "deny")):
        done = shell.run(*DECIDING["authorize"], "--context", text, "--field", "decision")
        assert done.stdout == f"{answer}\n", done.stderr
