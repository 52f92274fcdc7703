"""`jitid doctor` on sound and on damaged installations."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.integrity import examination
from jitid.doctor import installation_check
from jitid.model.ledger_condition import Status
from tests.programs import Shop
from tests.real import Shell, command, need, other_user, reachable, tmpfs

ISSUE = ("issue", "--task", "T", "--delegator", "alice")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a ledger that no test changes."""
    shell = Shell(tmp_path_factory.mktemp("home"))
    shell.good(*ISSUE, "--count", "300", "--kind", "opaque")
    return shell


@pytest.fixture
def shell(template: Shell, tmp_path: Path) -> Shell:
    """Return a shell with a copy of that ledger, which a test may damage."""
    shutil.copytree(template.ledger, tmp_path / "ledger", copy_function=shutil.copy2)
    (tmp_path / "ledger").chmod(0o700)
    made = Shell(tmp_path)
    # No shells are installed whose completions could be missing.
    made.environment["PATH"] = str(tmp_path)
    return made


def diagnose(shell: Shell, *arguments: str, before: Sequence[str] = ()) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and the rows; every check has a row, even if others failed."""
    done = shell.run("doctor", "--format", "json", *arguments, before=before)
    document = json.loads(done.stdout)
    rows: list[dict[str, Any]] = document["items"]
    assert document["schema"] == "jitid.doctor/1"
    assert all(list(row) == ["check", "status", "detail", "repair"] for row in rows)
    of_ledger = [name for name, _ in examination.CHECKS]
    of_machine = [name for name, _ in installation_check.CHECKS if name != "examination"]
    assert {row["check"] for row in rows} == {*of_machine, *of_ledger}
    assert (done.returncode == 0) is all(row["status"] != "failure" for row in rows)
    assert (done.stderr == "") is (done.returncode == 0), done.stderr
    return done.returncode, rows


def test_completions_and_pages_are_looked_for_where_shells_and_man_look(shell: Shell) -> None:
    programs = {name: need(name) for name in ("bash", "zsh", "fish", "man")}
    shell.environment["PATH"] = os.pathsep.join({str(Path(path).parent) for path in programs.values()})
    shell.environment["MANPATH"] = f"{shell.home}/.local/share/man"

    def found() -> list[tuple[str, str | None]]:
        return [(row["status"], row["repair"]) for row in diagnose(shell)[1] if row["check"] == "completions"]

    assert found() == [("warning", "jitid completion install")] * 4
    shell.good("completion", "install")
    assert found() == [("ok", None)]
    (shell.home / ".local/share/man/man1/jitid-run.1").write_text("of another version")
    assert found() == [("warning", "jitid completion install"), ("ok", None)]


def failures(rows: list[dict[str, Any]]) -> list[str]:
    """Return the checks that failed."""
    return [row["check"] for row in rows if row["status"] == "failure"]


def change(shell: Shell, statement: str) -> None:
    """Change the ledger's database directly."""
    db = sqlite3.connect(shell.ledger / "ledger.db", isolation_level=None)
    try:
        db.execute(statement)
    finally:
        db.close()


def standing(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return the mode, time of the last change and content of each file in a folder."""
    return {
        str(each): (
            each.stat().st_mode,
            each.stat().st_mtime_ns,
            each.read_bytes() if each.is_file() else b"",
        )
        for each in path.rglob("*")
    }


def test_a_sound_installation_is_ok_from_top_to_bottom(shell: Shell) -> None:
    status, rows = diagnose(shell)
    assert status == 0
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["repair"] for row in rows} == {None}


def test_nothing_is_changed(shell: Shell) -> None:
    before = standing(shell.ledger)
    diagnose(shell)
    assert standing(shell.ledger) == before


def test_where_there_is_no_ledger_yet_none_is_made(tmp_path: Path) -> None:
    """A warning names the first step; a check that was not examined is not `ok`."""
    shell = Shell(tmp_path)
    status, rows = diagnose(shell)
    assert status == 0
    found = {row["check"]: row for row in rows}
    assert "jitid issue" in found["ledger"]["repair"]
    for name, _ in examination.CHECKS:
        assert (found[name]["status"], found[name]["detail"]) == (
            "warning",
            "not examined: there is no ledger yet",
        )
    assert found["policy"]["status"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_every_offence_has_a_line_and_its_command_repairs_it(shell: Shell) -> None:
    (shell.ledger / "lock").chmod(0o666)
    (shell.ledger / "keys").chmod(0o755)
    (shell.ledger / "policy").chmod(0o750)
    database = shell.ledger / "ledger.db"
    database.rename(shell.home / "it's elsewhere")
    database.symlink_to(shell.home / "it's elsewhere")
    os.mkfifo(shell.ledger / "a pipe", 0o600)
    (shell.ledger / "mine").write_text("")
    (shell.ledger / "mine").chmod(0)
    status, rows = diagnose(shell)
    assert status == 7
    told = [row for row in rows if row["status"] == "failure"]
    assert [row["check"] for row in told] == ["permissions"] * 6
    for row in told:
        subprocess.run(["/bin/sh", "-c", row["repair"].replace("rm -i", "rm")], check=True)
    assert diagnose(shell)[0] == 0
    shell.good("audit", "verify")


def test_a_policy_that_others_may_only_read_is_a_warning(shell: Shell) -> None:
    """Issuing accepts such a policy, too."""
    file = shell.ledger / "policy" / "default.cedar"
    file.chmod(0o644)
    status, rows = diagnose(shell)
    told = [(row["check"], row["status"], row["repair"]) for row in rows if row["status"] != "ok"]
    assert (status, told) == (0, [("permissions", "warning", f"chmod 600 {file}")])
    shell.good(*ISSUE)
    file.chmod(0o664)
    status, rows = diagnose(shell)
    failed = [(row["check"], row["repair"]) for row in rows if row["status"] == "failure"]
    assert (status, failed) == (7, [("permissions", f"chmod go-w {file}"), ("policy", f"chmod go-w {file}")])


def test_a_folder_that_is_no_ledger_is_not_walked(tmp_path: Path) -> None:
    """It may be a home folder, and doctor must not advise closing that to other users."""
    (tmp_path / "ledger").mkdir(mode=0o755)
    (tmp_path / "ledger" / "letter").write_text("")
    status, rows = diagnose(Shell(tmp_path))
    assert (status, failures(rows)) == (2, ["ledger"])
    assert not any("chmod" in str(row["repair"]) for row in rows)


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("ledger.db", ["ledger"]),
        ("keys", ["ledger", "keys"]),
        ("lock", ["ledger"]),
        ("policy", ["policy"]),
        ("policy/default.cedar", ["policy"]),
    ],
)
def test_a_missing_part_is_a_failure(name: str, failed: list[str], shell: Shell) -> None:
    path = shell.ledger / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    status, rows = diagnose(shell)
    assert (status, failures(rows)) == (2 if name == "policy/default.cedar" else 7, failed)


@pytest.mark.parametrize("damage", ["half", "garbage", "empty"])
def test_a_damaged_database_is_7_and_left_as_it_is(damage: str, shell: Shell) -> None:
    for suffix in ("-wal", "-shm"):
        (shell.ledger / f"ledger.db{suffix}").unlink(missing_ok=True)
    database = shell.ledger / "ledger.db"
    data = database.read_bytes()
    database.write_bytes(
        {"half": data[: len(data) // 2], "garbage": b"no database\n" * 5000, "empty": b""}[damage]
    )
    before = standing(shell.ledger)
    status, rows = diagnose(shell)
    assert (status, failures(rows)) == (7, ["ledger" if damage == "empty" else "integrity"])
    assert standing(shell.ledger) == before


def test_a_log_that_is_none_is_told_once(shell: Shell) -> None:
    (shell.ledger / "ledger.db-wal").write_bytes(b"garbage" * 9999)
    (shell.ledger / "ledger.db-wal").chmod(0o600)
    before = standing(shell.ledger)
    status, rows = diagnose(shell)
    assert (status, failures(rows)) == (7, ["integrity"])
    assert next(row["repair"] for row in rows if row["status"] == "failure").startswith(
        "jitid ledger restore"
    )
    assert standing(shell.ledger) == before


def test_the_gravest_failure_gives_the_status(shell: Shell) -> None:
    """The status of a newer schema is 2, and an integrity failure outranks it."""
    change(shell, "PRAGMA user_version = 99")
    assert diagnose(shell)[0] == 2
    error = json.loads(shell.run("doctor", "--format", "json").stderr)["error"]
    assert (error["code"], error["message"]) == ("newer_schema", "failed checks: schema")
    (shell.ledger / "lock").chmod(0o644)
    status, rows = diagnose(shell)
    assert (status, failures(rows)) == (7, ["permissions", "schema"])


def test_warnings_do_not_change_the_status(shell: Shell) -> None:
    (shell.ledger / "keys" / "notes").touch(mode=0o600)
    status, rows = diagnose(shell)
    assert status == 0
    assert [row["check"] for row in rows if row["status"] == "warning"] == ["keys"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("permit (principal, action", "the file ends within a rule"),
        ('@id("x") permit (principal, action, resource) when { context.depth < "a" };', "rule `x`"),
        ('@id("x") permit (principal, action, resource) when { context.nothing };', "unknown fact"),
    ],
)
def test_a_policy_that_does_not_hold_is_2_with_its_line(text: str, word: str, shell: Shell) -> None:
    (shell.ledger / "policy" / "more.cedar").touch(mode=0o600)
    (shell.ledger / "policy" / "more.cedar").write_text(f"// mine\n{text}\n")
    status, rows = diagnose(shell)
    assert (status, failures(rows)) == (2, ["policy"])
    (row,) = [row for row in rows if row["check"] == "policy"]
    assert row["detail"].startswith(f"{shell.ledger}/policy/more.cedar:2:")
    assert word in row["detail"]
    assert str(shell.ledger / "policy") in row["repair"]


@pytest.mark.parametrize("text", ["", "// nothing", '@id("no") forbid (principal, action, resource);'])
def test_a_policy_that_permits_nothing_is_a_warning(text: str, shell: Shell) -> None:
    (shell.ledger / "policy" / "default.cedar").write_text(text)
    status, rows = diagnose(shell)
    assert status == 0
    (row,) = [row for row in rows if row["status"] != "ok"]
    assert (row["check"], row["status"]) == ("policy", "warning")
    assert "every issue is denied" in row["detail"]
    assert shell.run(*ISSUE).returncode == 4


def test_a_repair_is_for_the_ledger_that_was_asked_about(shell: Shell) -> None:
    """Without the flag, the repair command would act on another ledger."""
    change(shell, "UPDATE signing_key SET retired_at = 1")
    moved = shell.home / "it's mine"
    shell.ledger.rename(moved)
    quoted = shlex.quote("it's mine")
    (shell.home / "my.toml").write_text("[profile.p]\n")
    for flags, said in (
        (["--ledger", str(moved)], f"--ledger {shlex.quote(str(moved))} "),
        (
            ["--ledger", "it's mine", "--profile", "p", "--config", "my.toml"],
            f"--config my.toml --profile p --ledger {quoted} ",
        ),
    ):
        assert [row["repair"] for row in diagnose(shell, *flags)[1] if row["check"] == "keys"][:1] == [
            f"jitid {said}keys rotate"
        ]
    shell.environment["JITID_LEDGER"] = str(moved)
    assert [row["repair"] for row in diagnose(shell)[1] if row["check"] == "keys"][:1] == [
        "jitid keys rotate"
    ]


@pytest.mark.parametrize(
    ("script", "look"),
    [("kill -KILL $PPID; exec sleep 60", True), ('chmod 755 "$0"', False)],
    ids=["an orphan", "a credential that could not be ended"],
)
def test_what_is_left_is_ended_in_the_ledger_that_holds_it(script: str, look: bool, shell: Shell) -> None:
    ledger = ("--ledger", str(shell.ledger))
    run = ("run", "--task", "R", "--delegator", "alice", "--", "/bin/sh", "-c", script, str(shell.ledger))
    path = {"PATH": "/bin:/usr/bin"}
    said = shell.run(*ledger, *run, more=path).stderr
    if look:
        said = shell.run(*ledger, "list", "--task", "R").stderr
    assert f": jitid --ledger {shell.ledger} revoke jid_" in said


def test_a_configuration_that_cannot_be_used_keeps_no_check_from_running(shell: Shell) -> None:
    """Parts that it may configure are not examined: the policy, and the ledger unless a flag or a variable names it."""
    file = shell.home / ".config" / "jitid" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("ttl = [")
    status, rows = diagnose(shell)
    found = {row["check"]: row for row in rows}
    assert (status, failures(rows)) == (2, ["configuration"])
    assert found["audit"]["status"] == "ok"
    assert found["policy"]["detail"] == "not examined: the configuration is invalid"
    del shell.environment["JITID_LEDGER"]
    status, rows = diagnose(shell)
    assert (status, failures(rows)) == (2, ["configuration"])
    assert [row["check"] for row in rows if row["status"] == "ok"] == ["versions", "completions"]


def test_a_misspelt_flag_is_a_usage_error_and_no_report(shell: Shell) -> None:
    for line in ("--field nothing", "--format xml", "--timeout soon", "now"):
        done = shell.run("doctor", *line.split())
        assert (done.returncode, done.stdout) == (2, ""), line


def test_a_project_file_that_is_not_heeded_is_a_warning(shell: Shell) -> None:
    (shell.home / ".jitid.toml").write_text("ledger = '/elsewhere'\n")
    done = shell.run("doctor", "--field", "status")
    assert (done.returncode, done.stdout.split().count("warning")) == (0, 1)


def test_another_user_hears_what_is_out_of_reach(shell: Shell) -> None:
    prefix = other_user()
    with reachable(shell.home) as home:
        shutil.copytree(shell.ledger, home / "ledger")
        (home / "ledger").chmod(0o700)
        done = subprocess.run(
            [*prefix, *command("doctor", "--format", "json")],
            env={**shell.environment, "HOME": str(home), "JITID_LEDGER": str(home / "ledger")},
            cwd="/",
            capture_output=True,
            text=True,
        )
    assert done.returncode == 6, done.stderr
    rows = json.loads(done.stdout)["items"]
    assert failures(rows) == ["ledger"]
    assert {row["check"] for row in rows if row["status"] == "ok"} == {
        "versions",
        "completions",
        "configuration",
        "confinement",
        "targets",
    }
    (state,) = [row["detail"] for row in rows if row["check"] == "confinement"]
    assert state.startswith("confined: this user can neither read nor write ")


def test_a_read_only_disk_can_be_diagnosed(shell: Shell) -> None:
    with tmpfs(shell.home / "disk", "size=80m") as disk:
        shutil.copytree(shell.ledger, disk / "ledger", copy_function=shutil.copy2)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        status, rows = diagnose(shell, "--ledger", str(disk / "ledger"))
    assert status == 0
    assert [row["check"] for row in rows if row["status"] == "warning"] == ["ledger"]


def test_a_full_disk_is_a_warning_and_no_obstacle(shell: Shell) -> None:
    with tmpfs(shell.home / "disk", "size=1m") as disk:
        shutil.copytree(shell.ledger, disk / "ledger", copy_function=shutil.copy2)
        with (disk / "fill").open("wb", buffering=0) as fill, pytest.raises(OSError, match="No space"):
            while True:
                fill.write(bytes(4096))
        status, rows = diagnose(shell, "--ledger", str(disk / "ledger"))
    assert status == 0
    assert [row["check"] for row in rows if row["status"] == "warning"] == ["size"]


@pytest.mark.parametrize("where", ['"$@" >/dev/full', '"$@" >&-'])
def test_a_report_that_cannot_be_written_is_74(where: str, shell: Shell) -> None:
    """The findings do not matter."""
    (shell.ledger / "lock").chmod(0o644)
    assert shell.run("doctor", before=["/bin/sh", "-c", where, "sh"]).returncode == 74


def test_a_pipe_gets_a_line_a_check_and_a_table_has_the_repair_below(shell: Shell) -> None:
    (shell.ledger / "lock").chmod(0o644)
    lines = shell.run("doctor").stdout.splitlines()
    assert {line.count("\t") for line in lines} == {3}
    lock = shell.ledger / "lock"
    assert f"permissions\tfailure\t{lock} is open to others (mode 644)\tchmod 600 {lock}" in lines
    table = shell.run("doctor", "--format", "table").stdout.splitlines()
    assert len(table) == len(lines) + 1
    (repair,) = [number for number, line in enumerate(table) if line.endswith(f"repair: chmod 600 {lock}")]
    assert table[repair - 1].startswith("failure  permissions")


def test_versions_are_judged_one_by_one() -> None:
    old = list(
        installation_check.judge_versions({"Python": "3.12.0", "SQLite": "3.39.4", "cedarpy": "4.8.10"})
    )
    assert [(check.status, "SQLite 3.39.4" in check.detail) for check in old] == [
        (Status.OK, True),
        (Status.WARNING, True),
    ]


def test_the_oldest_versions_are_those_that_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={installation_check.LEAST['Python']}"
    assert any(
        each.startswith(f"cedarpy>={installation_check.LEAST['cedarpy']},")
        for each in project["dependencies"]
    )


def test_targets_are_visited_each_by_itself(shell: Shell, tmp_path: Path) -> None:
    """An invalid or unreachable target does not stop visits to others; credentials that may remain are reported."""
    shop, down = Shop(tmp_path / "shop"), Shop(tmp_path / "down")
    file = shell.home / ".config" / "jitid" / "config.toml"
    file.parent.mkdir(parents=True)
    tables = [
        f'[target.{name}]\nkind = "exec"\nprogram = "{one.program}"\noptions = {{ shop = "{one.folder}" }}\n'
        for name, one in (("shop", shop), ("down", down))
    ]
    file.write_text("".join([*tables, '[target.odd]\nkind = "exec"\nprogramme = "/x"\n']))
    shell.good("issue", "--task", "W", "--delegator", "alice")
    rule = '@id("shop") permit (principal, action, resource) when { context.kind == "exec:shop" };'
    (shell.ledger / "policy" / "shop.cedar").write_text(rule)
    shell.good("issue", "--task", "X", "--delegator", "alice", "--kind", "exec:shop")
    shop.fail("down", "revoke")
    assert shell.run("revoke", "--task", "X").returncode == 9
    down.fail("down")
    status, rows = diagnose(shell)
    assert status == 2
    told = {row["detail"].partition(":")[0]: row for row in rows if row["check"] == "targets"}
    assert [(name, row["status"]) for name, row in told.items()] == [
        ("shop", "ok"),
        ("down", "failure"),
        ("odd", "failure"),
        ("1 ended credential may still work at a target", "warning"),
    ]
    assert "did you mean `program`?" in told["odd"]["repair"]
    assert shell.good("list", "--live", "--kind", "exec:shop", "--field", "jti") == ""
