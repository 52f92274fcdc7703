"""Output at a terminal: tables that fit, colours, questions, progress."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.real import Shell, command, unfolded


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a ledger; each test uses different tasks."""
    made = Shell(tmp_path_factory.mktemp("home"))
    made.good("issue", "--task", "FIRST", "--delegator", "alice")
    return made


def states(shell: Shell, task: str) -> list[str]:
    """Return the states of a task's credentials, without repetitions."""
    return sorted(set(shell.good("list", "--task", task, "--field", "state").split()))


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A process at a terminal; the test types and reads there."""

    def __init__(
        self,
        shell: Shell,
        *arguments: str,
        stdout: int | None = None,
        more: Mapping[str, str] | None = None,
        own_session: bool = False,
        columns: int = 80,
    ) -> None:
        """Start the process. With `own_session`, it controls the terminal, and typed keys become signals."""
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._process = subprocess.Popen(
            command(*arguments),
            stdin=terminal,
            stdout=terminal if stdout is None else stdout,
            stderr=terminal,
            env={**shell.environment, "TERM": "xterm", **(more or {})},
            cwd=shell.home,
            preexec_fn=_take_terminal if own_session else None,
        )
        os.close(terminal)
        self.shown = ""

    def until(self, text: str) -> None:
        """Read until the process has written `text`."""
        while text not in unfolded(self.shown):
            self.shown += os.read(self._master, 4096).decode()

    def type(self, text: str, end: str = "\n") -> None:
        """Type a line."""
        os.write(self._master, f"{text}{end}".encode())

    def end(self) -> tuple[int, str]:
        """Return the exit status, and all output."""
        while True:
            try:
                piece = os.read(self._master, 4096)
            except OSError:
                break
            if not piece:
                break
            self.shown += piece.decode()
        os.close(self._master)
        return self._process.wait(), unfolded(self.shown).replace("\r\n", "\n")


def test_a_mass_revocation_at_a_terminal_asks_for_the_number(shell: Shell) -> None:
    """Any other answer revokes nothing."""
    shell.good("issue", "--task", "ASK", "--delegator", "carol", "--count", "3", "--kind", "opaque")
    for answer, status, after in (("y", 2, "active"), ("", 2, "active"), ("3", 0, "revoked")):
        terminal = Terminal(shell, "revoke", "--task", "ASK", "--max", "2")
        terminal.until("any other answer revokes none")
        terminal.type(answer)
        done, shown = terminal.end()
        assert done == status, shown
        assert "3 live credentials" in shown
        assert states(shell, "ASK") == [after]


def test_disabling_with_much_that_ends_asks_for_the_number(shell: Shell) -> None:
    shell.good("delegator", "add", "dora", "-q")
    shell.good("issue", "--task", "DORA", "--delegator", "dora", "--count", "3", "--kind", "opaque")
    for answer, status, after in (("y", 2, "active"), ("3", 0, "revoked")):
        terminal = Terminal(shell, "delegator", "disable", "dora", "--max", "2")
        terminal.until("any other answer revokes none")
        terminal.type(answer)
        assert terminal.end()[0] == status
        assert states(shell, "DORA") == [after]


def test_an_import_that_disables_many_asks_for_the_number(shell: Shell) -> None:
    everybody = "\n".join(["name", *(f"many-{number}" for number in range(4))])
    (shell.home / "many.csv").write_text(everybody)
    shell.good("delegator", "import", "many.csv", "-q")
    (shell.home / "few.csv").write_text("name\nmany-0\n")
    for answer, status, left in (("", 2, 4), ("y", 2, 4), ("3", 0, 1)):
        terminal = Terminal(shell, "delegator", "import", "few.csv", "--full", "--max", "2")
        terminal.until("any other answer changes nothing")
        terminal.type(answer)
        done, shown = terminal.end()
        assert done == status, shown
        assert "missing: user:many-1, user:many-2, user:many-3" in shown
        enabled = shell.good("delegator", "list", "--enabled", "--field", "name").split()
        assert sum(name.startswith("user:many-") for name in enabled) == left


def test_nobody_is_asked_with_no_input(shell: Shell) -> None:
    shell.good("issue", "--task", "ASK2", "--delegator", "carol", "--count", "3", "--kind", "opaque")
    status, shown = Terminal(shell, "revoke", "--task", "ASK2", "--max", "2", "--no-input").end()
    assert status == 2
    assert "--yes or --max 3" in shown


def test_bulk_shows_how_far_it_is_where_somebody_looks(shell: Shell) -> None:
    """Progress goes to standard error, and only if the lines themselves go elsewhere."""
    line = ("issue", "--task", "FAR", "--delegator", "carol", "--count", "2500", "--kind", "opaque")
    with (shell.home / "lines").open("wb") as lines:
        status, shown = Terminal(shell, *line, stdout=lines.fileno()).end()
        assert (status, shown.split("\r")[-1]) == (0, "jitid: issued 2500 of 2500\n")
        assert Terminal(shell, *line, "-q", stdout=lines.fileno()).end() == (0, "")
    assert shell.run(*line).stderr == ""


@pytest.fixture
def tree(shell: Shell) -> Iterator[Shell]:
    """Return the shell with two identities of long names."""
    if not (shell.home / "p.jwt").exists():
        shell.good("issue", "--task", "TREE", "--delegator", "alice", "--out", "p.jwt", "--agent", "planner")
        shell.good("issue", "--parent-file", "p.jwt", "--agent", "incident-triage-assistant.v2")
        rights = [word for name in ("deploy:*", "repo:acme/web:read") for word in ("--entitlement", name)]
        groups = [word for name in ("Site Reliability", "on-call") for word in ("--group", name)]
        shell.good("delegator", "add", "ellen", "--alias", "ellen@example.com", *rights, *groups)
        # A test that follows five events waits until there are five, independently of other tests.
        for task in ("LEAF-1", "LEAF-2", "LEAF-3"):
            shell.good("issue", "--task", task, "--delegator", "alice")
    yield shell


LOOKING = [
    "list --task TREE",
    "list --task TREE -v",
    "tree --task TREE",
    "inspect p.jwt",
    "trace -q p.jwt",
    "task list",
    "task show TREE",
    "delegator list",
    "delegator list -v",
    "delegator show ellen",
    "audit log --limit 5",
    "audit log --limit 5 -v --members",
    "audit log --follow --limit 5",
    "audit log --follow --limit 5 -v --members",
    "keys list",
    "keys list -v",
    "access list",
    "access list -v",
    "config show --origin",
    "doctor",
    "issue --task TREE --delegator alice --dry-run",
]


@pytest.mark.deep
@pytest.mark.parametrize("line", LOOKING)
def test_what_a_terminal_shows_fits_and_keeps_ids_whole(line: str, tree: Shell) -> None:
    """No line is wider than the terminal, and no id is folded."""
    status, shown = Terminal(tree, *line.split(), more={"NO_COLOR": "1"}).end()
    assert status == 0
    assert all(len(one) <= 80 for one in shown.split("\n") if "/" not in one), shown
    assert "\x1b" not in shown
    # Paths and addresses, which contain ids, may be folded.
    plain = "\n".join(one for one in shown.split("\n") if "spiffe:" not in one and "/" not in one)
    assert all(len(found) == 30 for found in re.findall(r"\bj(?:id|ti)_[0-9a-v]*", plain)), shown


@pytest.mark.deep
@pytest.mark.parametrize("columns", [40, 20])
@pytest.mark.parametrize("line", LOOKING)
def test_a_narrow_terminal_gets_ids_times_and_hashes_whole(line: str, columns: int, tree: Shell) -> None:
    """A word that is wider than the terminal is not split, so that it can be copied in one piece."""
    narrow = {"NO_COLOR": "1"}
    status, shown = Terminal(tree, *line.split(), more=narrow, columns=columns).end()
    assert status == 0
    wide = tree.good(*line.split(), "--format", "tsv")
    whole = (
        r"\bj(?:id|ti)_[0-9a-v]{26}\b|\b[0-9a-f]{64}\b|(?<![\w-])[\w-]{43}(?![\w-])|\d{4}-\d\d-\d\dT[\d:]{8}Z"
    )
    words = {word for one in wide.split() if "/" not in one for word in re.findall(whole, one)}
    # A brief table omits some of them; times near now differ from run to run.
    assert not [word for word in words if word[:17] in shown and word not in shown and "T" not in word[:12]]
    # Addresses, which contain ids, may be folded: remove all lines of them, which follow one another.
    plain = re.sub(r"spiffe:.*(?:\n {10,}\S.*)*", "", shown)
    assert not re.findall(r"\d{4}-\d\d-\d\dT(?![\d:]{8}Z)|\bj(?:id|ti)_(?![0-9a-v]{26})", plain)
    if not line.startswith("tree"):
        # A repair command is not split either.
        lines = [one for one in shown.split("\n") if not one.strip().startswith("repair: jitid")]
        lines = [one for one in lines if not one.startswith("jitid: note: ")]
        assert not [one for one in lines if len(one) > columns and " " in one.strip()], shown


def at_terminal(shell: Shell, *line: str) -> list[str]:
    """Return the lines that a terminal of 80 columns shows."""
    terminal = Terminal(shell, *line, more={"NO_COLOR": "1"})
    assert terminal.end()[0] == 0
    lines = terminal.shown.replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 80
    return lines


def test_a_table_has_the_task_of_a_session_whole(tmp_path: Path) -> None:
    """It is copied into other commands. Columns that matter less go, and the state that --live states already."""
    shell = Shell(tmp_path)
    task = "session/claude-code/s1-4c125d8d"
    shell.good("issue", "--task", task, "--delegator", "alice", "--agent", "claude-code/tester")
    shell.good("issue", "--task", "T2", "--delegator", "alice")
    for line in (("list", "--live"), ("list", "--by", "task")):
        lines = at_terminal(shell, *line)
        assert any(f"{task} " in each for each in lines), lines
    assert at_terminal(shell, "list", "--live", "--task", "T2")[0].split() == [
        "id", "task", "agent", "delegator", "left",
    ]  # fmt: skip


def test_a_leak_is_shown_with_the_time_until_no_verifier_accepts_it(tmp_path: Path) -> None:
    """The ledger refuses the token at once; that alone would flatter."""
    shell = Shell(tmp_path)
    (tmp_path / "leaked").write_text(shell.good("-q", "issue", "--task", "T1", "--delegator", "alice"))
    shell.good("leak", "add", "leaked", "--source", "log", "--revoke", "--reason", "test")
    head, row, *_ = at_terminal(shell, "leak", "list")
    assert head.split() == ["leak", "jti", "agent", "state", "exposure_verifiers"]
    assert re.fullmatch(r"(?:19|20)m\w*", row.split()[-1]), row
    shown = dict(line.split(maxsplit=1) for line in at_terminal(shell, "leak", "show", "1") if " " in line)
    assert shown["exposure_verifiers"] == row.split()[-1]
    assert "accepted_until" in shown
    assert "offline_until" not in shown
    assert "offline_until" in shell.good("leak", "show", "1", "--format", "json")


def test_doctor_says_what_it_is_at_where_a_ledger_is_large(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T", "--delegator", "carol", "--out", "t")
    said = "jitid: examining the ledger"
    assert said not in Terminal(shell, "doctor").end()[1]
    os.truncate(shell.ledger / "ledger.db", 64 << 20)
    shown = Terminal(shell, "doctor").end()[1]
    assert f"{said}\r{' ' * len(said)}\r" in shown
    assert said not in Terminal(shell, "doctor", "-q").end()[1]
    assert said not in shell.run("doctor").stderr


@pytest.mark.parametrize("stated", ["", "wide", "0", "-5", "1e3", "\uff18\uff10"])
def test_a_width_that_is_none_leaves_it_to_the_terminal(stated: str, tree: Shell) -> None:
    plain = {"NO_COLOR": "1"}
    line = "config", "show"
    usual = Terminal(tree, *line, more=plain).end()
    assert Terminal(tree, *line, more={**plain, "COLUMNS": stated}).end() == usual
    assert Terminal(tree, *line, more={**plain, "COLUMNS": "80"}, columns=20).end() == usual


def test_a_terminal_without_a_size_has_eighty_columns(tree: Shell) -> None:
    plain = {"NO_COLOR": "1"}
    # The remaining lifetime of a credential would differ a second later.
    line = "task", "list"
    assert Terminal(tree, *line, more=plain, columns=0).end() == Terminal(tree, *line, more=plain).end()


def test_a_width_beyond_all_reason_is_no_harm(tree: Shell) -> None:
    status, shown = Terminal(tree, "list", "-v", more={"COLUMNS": "9" * 300}).end()
    assert status == 0
    assert max(map(len, shown.split("\n"))) < 1_000


@pytest.mark.deep
@pytest.mark.parametrize(
    ("more", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "JITID_COLOR": "always"}, True),
        ({"JITID_COLOR": "never"}, False),
    ],
)
@pytest.mark.parametrize(
    "line", ["list --task TREE", "tree --task TREE", "doctor", "audit log --follow --limit 1"]
)
def test_colours_follow_the_surroundings(
    line: str, more: dict[str, str], coloured: bool, tree: Shell
) -> None:
    status, shown = Terminal(tree, *line.split(), more=more).end()
    assert status == 0
    assert ("\x1b[" in shown) is coloured
    assert "\x1b" not in Terminal(tree, *line.split(), "--no-color", more=more).end()[1]


@pytest.mark.deep
def test_a_pipe_gets_no_colours_unless_they_are_forced(tree: Shell) -> None:
    for line in ("list --format table", "tree --task TREE --format table", "doctor --format table"):
        assert "\x1b" not in tree.good(*line.split())
        assert "\x1b[" in tree.run(*line.split(), more={"FORCE_COLOR": "1"}).stdout


def test_the_configuration_of_a_vendor_is_broken_between_words(shell: Shell) -> None:
    """A terminal would break its long lines within words; a pipe gets each line whole."""
    terminal = Terminal(shell, "federate", "aws")
    status, _ = terminal.end()
    assert status == 0
    assert max(map(len, terminal.shown.splitlines())) <= 80
    piped = shell.good("federate", "aws")
    assert max(map(len, piped.splitlines())) > 80
    assert terminal.shown.split() == piped.split()
    # The rest of a long line is below the text of that line.
    assert re.search(r"^  lifetime   of a token.* without\r?\n {13}revocation", terminal.shown, re.MULTILINE)
    assert re.search(r"^  role {13}missing .* read\r?\n {19}as AWS_ROLE_ARN", terminal.shown, re.MULTILINE)
