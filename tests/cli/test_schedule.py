"""Schedules for systemd and cron: both parse the requested command, and mistakes are reported now, not at night."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.formats import systemd_unit
from tests.real import Shell, need
from tests.values.hostile import NAUGHTY

HOSTILE = [
    "a b",
    "50%",
    "%h",
    "$HOME",
    "${USER}",
    'q"q',
    "it's",
    "a;b",
    ";",
    "back\\slash",
    "\\%",
    "\\\\",
    "*",
    "é",
    "#",
]
# Any character that a path or a value may contain; control characters are refused earlier.
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1) | st.sampled_from(HOSTILE)
lines = st.lists(words, min_size=1, max_size=5)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell whose user has a ledger."""
    shell = Shell(tmp_path)
    shell.good("-q", "issue", "--task", "T1", "--delegator", "alice")
    return shell


# Units.


def parsed_by_systemd(text: str) -> list[str]:
    """Return the words of a value: systemd.syntax(7), section "Quoting", then systemd.unit(5), section "Specifiers"."""
    found: list[str] = []
    rest = text
    while rest:
        if rest[0] == '"':
            quoted = re.match(r'"((?:[^"\\]|\\.)*)"(?: |$)', rest, re.DOTALL)
            assert quoted is not None
            found.append(re.sub(r"\\(.)", r"\1", quoted[1]))
            # The lines use only these two escapes.
            assert set(re.findall(r"\\(.)", quoted[1])) <= {"\\", '"'}
            rest = rest[quoted.end() :]
        else:
            bare, _, rest = rest.partition(" ")
            assert not set(bare) & set("\"'\\; ")
            found.append(bare)
    assert all(not re.search("%", each.replace("%%", "")) for each in found)
    return [each.replace("%%", "%") for each in found]


@given(lines)
def test_systemd_reads_the_words_that_were_asked_for(asked: list[str]) -> None:
    assert parsed_by_systemd(systemd_unit.line(asked)) == asked


def values(text: str, name: str) -> list[str]:
    """Return the values of a setting of a unit."""
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


def units(shell: Shell, folder: Path, *arguments: str) -> tuple[Path, Path]:
    """Write both units into a folder and return them."""
    folder.mkdir(exist_ok=True)
    shell.good("-q", "schedule", "systemd", "--out", str(folder), *arguments)
    service, timer = sorted(folder.iterdir())
    return service, timer


def verified(*files: Path) -> str:
    """Return the problems that systemd finds in units."""
    done = subprocess.run(
        [need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", *map(str, files)],
        capture_output=True, text=True, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip
    return done.stderr + done.stdout + (f"status {done.returncode}" if done.returncode else "")


def test_systemd_takes_the_units(shell: Shell, tmp_path: Path) -> None:
    files = units(shell, tmp_path / "units", "--every", "5m", "--", "--fix", "--fail-on", "low")
    assert verified(*files) == ""
    assert [file.stat().st_mode & 0o777 for file in files] == [0o644, 0o644]
    assert values(files[1].read_text(), "OnUnitActiveSec") == ["300s"]
    assert values(files[0].read_text(), "SuccessExitStatus") == ["10"]


def test_a_mistake_in_a_unit_would_be_found(shell: Shell, tmp_path: Path) -> None:
    service, timer = units(shell, tmp_path / "units")
    service.write_text(service.read_text().replace("ProtectSystem=strict", "ProtectSystem=very"))
    assert "very" in verified(service, timer)


def test_the_service_is_well_confined(shell: Shell, tmp_path: Path) -> None:
    """An exposure below 5.0 is OK to systemd; the temporary folder of this unit's files makes it somewhat worse."""
    service, _ = units(shell, tmp_path / "units")
    done = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=true", "--no-pager", "--threshold=49", str(service)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-600:]
    overall = re.search(r"exposure level for .*: ([\d.]+) (\w+)", done.stdout)
    assert overall is not None
    assert overall[2] == "OK"


def test_the_service_sees_the_processes_of_others(shell: Shell) -> None:
    text = shell.good("schedule", "systemd")
    for setting in ("ProtectProc", "ProcSubset", "PrivatePIDs", "PrivateUsers"):
        assert not values(text, setting)
        assert setting in text


@pytest.mark.deep
@pytest.mark.parametrize("name", ["".join(HOSTILE[first::3]) for first in range(3)])
def test_paths_of_any_name_are_kept(name: str, shell: Shell, tmp_path: Path) -> None:
    """This holds for the ledger's path and for a folder that is written to; systemd checks the path of the program."""
    folder = tmp_path / f"d{name}"
    folder.mkdir()
    shell.ledger.rename(folder / "ledger")
    out = str(folder / "out.sarif")
    line = ["--ledger", str(folder / "ledger"), "schedule"]
    asked = ["sweep", "--format", "sarif", "--out", out]
    text = shell.good(*line, "systemd", "--", *asked[1:])
    (command,) = values(text, "ExecStart")
    words = parsed_by_systemd(command)
    assert words[words.index("sweep") :] == asked
    assert words[words.index("--ledger") + 1] == str(folder / "ledger")
    (writes,) = values(text, "ReadWritePaths")
    assert parsed_by_systemd(writes) == [f"-{folder}/ledger", f"-{folder}"]
    # The command that cron runs works, too.
    cron = shell.good(*line, "cron", "--", *asked[1:])
    subprocess.run(["/bin/sh", "-c", by_cron(cron)], env=shell.environment, check=True, cwd="/")
    assert Path(out).exists()
    files = units(Shell(tmp_path, folder / "ledger"), tmp_path / "units", "--", *asked[1:])
    assert verified(*files) == ""


def test_a_program_of_any_name_is_found_by_systemd(tmp_path: Path) -> None:
    for number, name in enumerate([each for each in HOSTILE if not set(each) & set("\"'\\")]):
        program = tmp_path / f"bin{name}" / "jitid"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        job = systemd_unit.Job(
            "Try", [str(program), "x"], "root", ["/"], reaches_homes=False, reaches_temporary=True
        )
        file = tmp_path / f"try{number}.service"
        file.write_text(systemd_unit.service(job))
        assert verified(file) == "", name


def test_a_program_that_systemd_cannot_start_is_refused(shell: Shell, tmp_path: Path) -> None:
    program = tmp_path / "it's" / "jitid"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    code = "import sys; sys.argv[0] = sys.argv.pop(1); from jitid.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(program), "schedule", "systemd"],
        capture_output=True, text=True, env=shell.environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "systemd cannot start a program" in done.stderr


def test_where_the_ledger_lies_decides_what_is_hidden(shell: Shell) -> None:
    assert values(shell.good("schedule", "systemd"), "PrivateTmp") == ["no"]
    job = systemd_unit.Job("Try", ["/x"], "ops", ["/x"], reaches_homes=False, reaches_temporary=False)
    hidden = systemd_unit.service(job)
    assert (values(hidden, "PrivateTmp"), values(hidden, "ProtectHome")) == (["yes"], ["yes"])
    assert values(hidden, "CapabilityBoundingSet") == [""]
    seen = systemd_unit.service(job._replace(reaches_homes=True))
    assert values(seen, "ProtectHome") == ["read-only"]


def test_a_limit_that_a_sweep_would_refuse_is_told_now(shell: Shell) -> None:
    for value in ("soon", "2h"):
        done = shell.run("schedule", "cron", "--", "--target-timeout", value)
        assert (done.returncode, done.stdout) == (2, "")


def test_what_asks_targets_has_a_network(shell: Shell, tmp_path: Path) -> None:
    assert values(shell.good("schedule", "systemd"), "PrivateNetwork") == ["yes"]
    path = tmp_path / "targets.toml"
    path.touch(0o600)
    path.write_text('[target.db]\nkind = "postgres-role"\ndsn = "postgresql:///orders"\n')
    text = shell.good("--config", str(path), "schedule", "systemd")
    assert (values(text, "PrivateNetwork"), values(text, "IPAddressDeny")) == ([], [])
    files = units(shell, tmp_path / "units", "--every", "1h")
    assert verified(*files) == ""


# Crontabs.


def by_cron(line: str, *, collapses: bool = True) -> str:
    """Return the text that cron passes to the shell; some versions turn two backslashes into one, and some do not."""
    command = line.removesuffix("\n").split(" ", 5)[5]
    assert not re.search(r"(?<!\\)%", command)
    shown = command.replace("\\%", "%")
    return shown.replace("\\\\", "\\") if collapses else shown


@pytest.mark.parametrize("collapses", [True, False])
@given(asked=lines)
def test_cron_and_the_shell_read_the_words_that_were_asked_for(collapses: bool, asked: list[str]) -> None:
    assert shlex.split(by_cron(systemd_unit.crontab_line(600, asked), collapses=collapses)) == asked


def test_a_real_shell_reads_them_alike() -> None:
    asked = [*HOSTILE, *(each for each in NAUGHTY if each and each.isprintable())]
    command = by_cron(systemd_unit.crontab_line(60, ["printf", "%s\\n", *asked]))
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True)
    assert done.stdout.decode().split("\n")[:-1] == asked


def accepted(line: str, folder: Path) -> bool:
    """Return whether the real cron accepts a line."""
    file = folder / "crontab"
    file.write_text(line)
    return subprocess.run([need("crontab"), "-n", str(file)], capture_output=True).returncode == 0


def test_cron_takes_every_interval_that_it_is_said_to(tmp_path: Path) -> None:
    assert all(
        accepted(systemd_unit.crontab_line(every, ["/bin/true"]), tmp_path) for every in systemd_unit.TIMES
    )
    assert not accepted("*/70 0 32 * * /bin/true\n", tmp_path)


def test_cron_takes_the_line(shell: Shell, tmp_path: Path) -> None:
    for every in ("1m", "10m", "6h", "1d", "7d"):
        line = shell.good("schedule", "cron", "--every", every, "--", "--fix", "--out", "50% of 'it'")
        assert accepted(line, tmp_path)
        assert line.count("\n") == 1


def fires() -> Iterator[tuple[int, list[int]]]:
    """Yield each interval with the minutes of a week at which cron starts its line."""
    for every, times in systemd_unit.TIMES.items():
        minute, hour, *_, day = times.split()
        yield every, [
            at
            for at in range(7 * 1440)
            if all(
                field == "*" or (at // size % turn) % int(field[2:]) == 0 if field[:1] == "*" and field != "*"
                else field == "*" or at // size % turn == int(field)
                for field, size, turn in ((minute, 1, 60), (hour, 60, 24), (day, 1440, 7))
            )
        ]  # fmt: skip


def test_every_interval_is_as_long_as_it_says() -> None:
    """The week is circular: after the last run comes the first."""
    for every, found in fires():
        turns = [*found, found[0] + 7 * 1440]
        assert {(after - before) * 60 for before, after in pairwise(turns)} == {every}


@given(st.integers(1, 2_000_000))
def test_the_nearest_interval_is_none_farther_than_another(every: int) -> None:
    nearest = systemd_unit.nearest_interval(every)
    assert all(abs(nearest - every) <= abs(each - every) for each in systemd_unit.TIMES)


# Mistakes.


@pytest.mark.deep
@pytest.mark.parametrize("manner", ["systemd", "cron"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--fxi"], "no option `--fxi`"),
        (["--rule"], "requires a value"),
        (["--max", "many"], "not a whole number"),
        (["stray"], "stray"),
        (["--out", " "], "blank"),
        (["--help"], "does nothing"),
        (["--version"], "does nothing"),
        (["--ledger", "/x"], "the ledger of this command"),
        (["--config=/x"], "the ledger of this command"),
        (["--accept-clock"], "cannot be scheduled"),
        (["--out", "a\nb"], "control character"),
        (["--out", "a\x1bb"], "control character"),
    ],
)
def test_what_would_fail_at_night_fails_now(manner: str, options: list[str], told: str, shell: Shell) -> None:
    done = shell.run("schedule", manner, "--", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_ledger_with_a_newline_in_its_path_is_refused(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "new\nline"
    shell.ledger.rename(folder)
    for manner in ("systemd", "cron"):
        done = shell.run("--ledger", str(folder), "schedule", manner)
        assert (done.returncode, done.stdout) == (2, "")
        assert "control character" in done.stderr


@pytest.mark.deep
@pytest.mark.parametrize(
    "options",
    [
        ["--rule", "typo"],
        ["--skip", "typo"],
        ["--fail-on", "fatal"],
        ["--since", "yesterday"],
        ["--yes"],
        ["--fix", "--yes", "--max", "3"],
        ["--update-baseline"],
        ["--head-out", "head", "--skip", "audit-gap"],
    ],
)
@pytest.mark.parametrize("verb", ["systemd", "cron"])
def test_what_the_sweep_would_refuse_at_night_is_refused_now(
    shell: Shell, verb: str, options: list[str]
) -> None:
    done = shell.run("schedule", verb, "--", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == shell.run("sweep", *options).stderr


def test_a_line_that_is_too_long_for_cron_is_refused(shell: Shell) -> None:
    done = shell.run("schedule", "cron", "--", "--out", "/x/" + "y" * 1_000)
    assert done.returncode == 2
    assert "longer than cron's limit of" in done.stderr


@pytest.mark.deep
@pytest.mark.parametrize("name", ["a b", "../x", "-x", "a@b", "é", "x\n", "%h"])
def test_a_name_that_is_none_of_a_unit_is_refused(name: str, shell: Shell) -> None:
    done = shell.run("schedule", "systemd", "--name", name)
    assert done.returncode == 2
    assert "is not a valid unit name" in done.stderr


def test_paths_are_as_they_are_meant_here(shell: Shell, tmp_path: Path) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--out", "t.jwt")
    shell.good("sweep", "--baseline", "known", "--update-baseline")
    line = shell.good("schedule", "cron", "--", "--baseline=known", "--out=--out", "--head-out", "-")
    assert shlex.split(line)[-4:] == [
        f"--baseline={tmp_path}/known", f"--out={tmp_path}/--out", "--head-out", "-",
    ]  # fmt: skip


def test_the_configuration_in_force_is_named(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "my config.toml"
    file.write_text("[profile.ci]\nmax = 7\n")
    file.chmod(0o600)
    line = shell.good("--config", str(file), "--profile", "ci", "schedule", "cron")
    words = shlex.split(line)
    assert words[words.index("--config") + 1] == str(file)
    assert words[words.index("--profile") + 1] == "ci"


def test_a_variable_that_will_not_be_there_is_warned_of(shell: Shell) -> None:
    done = shell.run("schedule", "cron", more={"JITID_TIMEOUT": "5s"})
    assert "JITID_TIMEOUT is set here, but not where the sweep runs" in done.stderr


@pytest.mark.deep
@pytest.mark.parametrize("text", [None, "", '{"schema": "jitid.baseline/2"}\n'])
@pytest.mark.parametrize("kind", ["cron", "systemd"])
def test_a_baseline_that_the_sweep_would_refuse_is_refused_now(
    shell: Shell, kind: str, text: str | None
) -> None:
    if text is not None:
        Path(shell.home, "known").write_text(text)
    done = shell.run("schedule", kind, "--", "--baseline", "known")
    assert (done.returncode, done.stdout) == (2, "")
    assert shell.run("schedule", kind, "--", "--baseline", "-").returncode == 2


def test_a_baseline_that_is_to_be_made_need_not_be_there(shell: Shell) -> None:
    shell.good("schedule", "cron", "--", "--baseline", "known", "--update-baseline")
