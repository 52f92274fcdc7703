"""`jitid scan --agents --scrub`: secrets that no verifier accepts become stars, and no other byte changes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.scan.hits import AgentContext, Hit
from jitid.search.find import mark
from jitid.values.secret import fingerprint
from tests.cli.agent_files import claude, codex, cursor
from tests.real import Shell, faked, need, need_root

SECRET = "aQ7!x/+Zp0_kLmW9e&q"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return the command line of a user with a live and a revoked token."""
    shell = Shell(tmp_path)
    for name in ("live", "dead"):
        shell.good("issue", "--task", name, "--delegator", "alice", "--kind", "opaque", "--out", name)
    shell.good("revoke", "--task", "dead")
    return shell


def token(shell: Shell, name: str = "dead") -> str:
    """Return one of the tokens."""
    return (shell.home / name).read_text().strip()


def old(path: Path) -> Path:
    """Give a file the time of an hour ago; return it."""
    os.utime(path, (time.time() - 3_600,) * 2)
    return path


def scrubbed(shell: Shell, *options: str, status: int = 0) -> list[dict[str, Any]]:
    """Return the result for each file, and assert that no output has a token."""
    done = shell.run("scan", "--agents", "--scrub", "--format", "jsonl", *(options or ("--yes",)))
    assert done.returncode == status, done.stderr + done.stdout
    assert token(shell) not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_dead_secret_becomes_stars_and_a_live_one_stays(shell: Shell) -> None:
    path = claude(shell.home, f"{token(shell)} {token(shell, 'live')}", command=f"echo {token(shell)}")
    path.chmod(0o640)
    before, status = path.read_text(), old(path).stat()
    (result,) = scrubbed(shell, status=9)
    assert result == {
        "state": "scrubbed",
        "path": str(path),
        "client": "claude-code",
        "places": 2,
        "reason": "1 secret stays: still valid, revoke it first",
    }
    assert path.read_text() == before.replace(token(shell), "*" * len(token(shell)))
    assert token(shell, "live") in path.read_text()
    assert (path.stat().st_mode, path.stat().st_mtime_ns) == (status.st_mode, status.st_mtime_ns)
    assert [json.loads(line)["type"] for line in path.read_text().splitlines()] == ["assistant", "user"]
    (result,) = scrubbed(shell, status=9)
    assert (result["state"], result["places"]) == ("kept", 0)
    shell.good("revoke", "--task", "live")
    assert scrubbed(shell)[0]["places"] == 1
    assert scrubbed(shell) == []


def test_a_live_secret_alone_is_reported_and_kept(shell: Shell) -> None:
    path = old(claude(shell.home, token(shell, "live")))
    kept(shell, path, "1 secret stays: still valid, revoke it first")
    (result,) = scrubbed(shell, "--dry-run", status=9)
    assert (result["state"], result["reason"]) == ("kept", "1 secret stays: still valid, revoke it first")


def test_a_live_secret_in_a_database_and_a_private_key_are_reported(shell: Shell) -> None:
    shell.good("issue", "--task", "k", "--delegator", "alice", "--kind", "x509-svid", "--out", "svid")
    key = next(path for path in shell.home.glob("svid*") if "PRIVATE KEY" in path.read_text())
    (shell.home / "key").write_text(key.read_text())
    database = cursor(shell.home, token(shell, "live"))
    history = shell.home / ".bash_history"
    history.write_text(key.read_text())
    old(database)
    old(history)
    results = {each["path"]: each["reason"] for each in scrubbed(shell, status=9)}
    assert results == {
        str(database): "1 secret stays: still valid, revoke it first",
        str(history): "1 secret stays: still valid, revoke it first",
    }
    shell.good("revoke", "--task", "k")
    reasons = {each["path"]: each["reason"] for each in scrubbed(shell, status=9)}
    assert "1 secret stays" in reasons[str(history)]


def test_a_token_of_another_ledger_is_counted(shell: Shell) -> None:
    other = ("--ledger", str(shell.home / "other" / "ledger.db"))
    shell.good(*other, "issue", "--task", "o", "--delegator", "alice", "--kind", "opaque", "--out", "foreign")
    old(claude(shell.home, token(shell, "foreign")))
    done = shell.run("scan", "--agents", "--scrub", "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 secret in jitid's form stays: this ledger does not know it" in done.stderr


def test_a_secret_that_offline_verifiers_accept_is_not_dead(shell: Shell) -> None:
    shell.good(
        "issue", "--task", "S", "--delegator", "alice", "--audience", "https://s.example", "--out", "signed"
    )
    shell.good("revoke", "--task", "S")
    path = old(claude(shell.home, token(shell, "signed")))
    kept(shell, path, "1 secret stays: verifiers that do not query this ledger may accept it until 20")
    assert "; repeat then" in scrubbed(shell, status=9)[0]["reason"]


def test_an_adopted_secret_with_escapes_is_replaced_after_its_end(shell: Shell) -> None:
    shell.good("adopt", "add", "db", "--owner", "alice", "--place", "x", "--purpose", "p", stdin=SECRET)
    path = claude(shell.home, f"KEY={SECRET}\n")
    path.write_text(path.read_text().replace("&", "\\u0026").replace(r"/+Z", r"\/+Z"))
    before = json.loads(old(path).read_text().splitlines()[1])["message"]["content"][0]["content"]
    kept(shell, path, "1 secret stays: adopted and live, end it first: jitid adopt end")
    shell.good("adopt", "end", "db", "--proof", "rotated")
    (result,) = scrubbed(shell)
    assert result["places"] == 1
    after = json.loads(path.read_text().splitlines()[1])["message"]["content"][0]["content"]
    assert after == before.replace(SECRET, "*" * (len(SECRET) + 1 + 5))


def test_a_dry_run_changes_nothing_and_a_pipe_needs_yes(shell: Shell) -> None:
    path = old(claude(shell.home, token(shell)))
    before = path.read_bytes(), path.stat().st_ino, sorted(path.parent.iterdir())
    assert scrubbed(shell, "--dry-run")[0]["state"] == "would-scrub"
    assert shell.run("scan", "--agents", "--scrub").returncode == 2
    assert shell.run("scan", "--scrub", "--yes", ".").returncode == 2
    assert shell.run("scan", "--agents", "--scrub", "--yes", "--revoke").returncode == 2
    assert (path.read_bytes(), path.stat().st_ino, sorted(path.parent.iterdir())) == before


def kept(shell: Shell, path: Path, reason: str) -> None:
    """Assert that a file is left alone for a reason."""
    before = path.read_bytes()
    (result,) = scrubbed(shell, status=9)
    assert (result["state"], result["path"]) == ("kept", str(path))
    assert reason in result["reason"]
    assert path.read_bytes() == before


def test_a_file_that_has_just_changed_is_kept(shell: Shell) -> None:
    kept(shell, claude(shell.home, token(shell)), "in use: changed")


def test_a_file_that_a_process_has_open_is_kept(shell: Shell) -> None:
    path = old(claude(shell.home, token(shell)))
    with path.open("a"):
        kept(shell, path, f"in use: process {os.getpid()} has it open")


@contextmanager
def running(
    shell: Shell,
    code: str = "",
    *,
    script: str | None = None,
    options: Sequence[str] = ("-B",),
    folder: Path | None = None,
    **more: str,
) -> Iterator[int]:
    """Run a program with the name of an agent, and some code in it; yield its process.

    With a script, the program is the interpreter that runs it. The folder is the working folder of the agent.
    """
    program = shell.home / ("claude" if script is None else "node")
    program.symlink_to(sys.executable)
    words = ["-c", f"{code}\nprint(flush=True); input()"]
    if script is not None:
        path = shell.home / script
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words[1])
        words = [*options, str(path)]
    process = subprocess.Popen(
        [str(program), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        env=shell.environment | more,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.communicate()
        program.unlink()


def test_a_file_whose_agent_runs_is_kept(shell: Shell) -> None:
    path = old(claude(shell.home, token(shell)))
    with running(shell) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")
    assert scrubbed(shell)[0]["state"] == "scrubbed"


@pytest.mark.parametrize(
    "script",
    [
        "lib/node_modules/@anthropic-ai/claude-code/cli.js",
        "lib/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs",
        "bin/claude",
    ],
)
def test_a_file_whose_agent_runs_as_a_script_of_its_package_is_kept(shell: Shell, script: str) -> None:
    """An extension of an editor runs it so: the process has the name of the interpreter."""
    path = old(claude(shell.home, token(shell)))
    with running(shell, script=script) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")
    with running(shell, script="lib/node_modules/other/cli.js"):
        assert scrubbed(shell)[0]["state"] == "scrubbed"


def test_a_file_is_kept_whatever_options_the_interpreter_of_its_agent_has(shell: Shell) -> None:
    """The value of an option comes before the script, as with `node --require FILE`."""
    path = old(claude(shell.home, token(shell)))
    with running(
        shell, script="lib/@anthropic-ai/claude-code/cli.js", options=("-B", "-W", "ignore")
    ) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")


@pytest.mark.parametrize("spelling", ["{}/", "{}/./work/..", "{}/alias"])
def test_an_agent_runs_however_its_home_folder_is_spelled(shell: Shell, spelling: str) -> None:
    path = old(claude(shell.home, token(shell)))
    (shell.home / "work").mkdir()
    (shell.home / "alias").symlink_to(".")
    with running(shell, HOME=spelling.format(shell.home)) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")


def test_an_agent_of_another_home_folder_may_use_the_same_place(shell: Shell) -> None:
    path = old(claude(shell.home, token(shell)))
    (shell.home / "second").mkdir()
    second = str(shell.home / "second")
    with running(shell, HOME=second, CLAUDE_CONFIG_DIR=str(shell.home / ".claude")) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")
    with running(shell, HOME=second):
        assert scrubbed(shell)[0]["state"] == "scrubbed"


def test_an_agent_that_hides_its_memory_is_seen(shell: Shell) -> None:
    """As Codex does, with PR_SET_DUMPABLE: only capabilities show the environment of such a process."""
    need_root()
    path = old(claude(shell.home, token(shell)))
    plain = [need("setpriv"), "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "jitid"]
    line = [*plain, "scan", "--agents", "--scrub", "--yes", "--format", "jsonl"]
    with running(shell, "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)"):
        done = subprocess.run(
            line, env=shell.environment, cwd=shell.home, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 9, done.stdout + done.stderr
        # Without capabilities, other processes of root hide theirs too, such as those of tests beside this one.
        assert re.fullmatch(r"in use: its agent runs as process \d+", json.loads(done.stdout)["reason"])
    assert token(shell) in path.read_text()


def test_a_file_of_a_project_is_kept_while_an_agent_runs(shell: Shell) -> None:
    claude(shell.home, "nothing")
    (shell.home / "work").mkdir()
    path = shell.home / "work" / ".env"
    path.write_text(token(shell))
    old(path)
    with running(shell) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")
    assert scrubbed(shell)[0]["client"] == "project"


@pytest.mark.parametrize("folder", ["work", "work/src", "."])
def test_a_file_of_a_project_is_kept_while_an_agent_of_another_home_folder_works_there(
    shell: Shell, folder: str
) -> None:
    claude(shell.home, "nothing")
    (shell.home / "work/src").mkdir(parents=True)
    (shell.home / "second").mkdir()
    path = shell.home / "work" / ".env"
    path.write_text(token(shell))
    old(path)
    second = shell.home / "second"
    with running(shell, folder=shell.home / folder, HOME=str(second)) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")
    with running(shell, folder=second, HOME=str(second)):
        assert scrubbed(shell)[0]["state"] == "scrubbed"


def test_a_link_of_a_project_hides_no_running_agent_and_leads_to_no_other_file(shell: Shell) -> None:
    path = old(claude(shell.home, token(shell)))
    (shell.home / "work").mkdir()
    (shell.home / "work" / ".env").symlink_to("..")
    (shell.home / "notes.txt").write_text(token(shell))
    old(shell.home / "notes.txt")
    with running(shell) as process:
        kept(shell, path, f"in use: its agent runs as process {process}")
    (result,) = scrubbed(shell)
    assert (result["path"], result["client"]) == (str(path), "claude-code")
    assert (shell.home / "notes.txt").read_text() == token(shell)


@pytest.mark.parametrize("linked", [".claude", ".claude/projects", "home"])
def test_files_behind_links_of_the_user_are_scrubbed_if_they_were_searched(shell: Shell, linked: str) -> None:
    """Dotfiles are often links, and so is a home folder on another disk; below a place no link is followed."""
    path = old(claude(shell.home, token(shell)))
    if linked == "home":
        (shell.home / "home").symlink_to(shell.home)
        shell.environment["HOME"] = str(shell.home / "home")
    else:
        (shell.home / linked).rename(shell.home / "moved")
        (shell.home / linked).symlink_to(shell.home / "moved")
    results = scrubbed(shell)
    assert [each["state"] for each in results] == ([] if linked == ".claude/projects" else ["scrubbed"])
    assert (token(shell) in path.read_text()) is (linked == ".claude/projects")


def test_a_file_outside_of_the_places_is_kept(shell: Shell) -> None:
    """Its folder was replaced by a link after the search."""
    from jitid.capabilities.scan.scrub import Scrub

    path = claude(shell.home, token(shell))
    (shell.home / "other").mkdir()
    path.rename(shell.home / "other" / path.name)
    path.parent.rmdir()
    path.parent.symlink_to(shell.home / "other")
    old(path)
    (result,) = Scrub(None, str(shell.home), dry_run=False).files([hit(shell, path)])
    assert (result.state, result.reason) == ("kept", "not in a place of an agent")
    assert token(shell) in path.read_text()


def hit(shell: Shell, path: Path) -> Hit:
    """Return the last place of the revoked token in a transcript."""
    return Hit(
        mark("opaque", fingerprint(token(shell))),
        "opaque",
        str(path),
        2,
        None,
        path.read_text().index(token(shell)),
        None,
        None,
        AgentContext("claude-code"),
    )


def test_links_hard_links_and_databases_are_kept(shell: Shell) -> None:
    path = old(claude(shell.home, token(shell)))
    os.link(path, shell.home / "second")
    kept(shell, path, "hard links")
    (shell.home / "second").unlink()
    old(codex(shell.home, "nothing"))
    path.rename(shell.home / "history")
    (shell.home / ".bash_history").symlink_to("history")
    kept(shell, shell.home / ".bash_history", "a link")
    (shell.home / ".bash_history").unlink()
    kept(shell, old(cursor(shell.home, token(shell))), "a database")


def test_the_file_of_another_user_is_kept(shell: Shell) -> None:
    need_root()
    path = old(claude(shell.home, token(shell)))
    os.chown(path, 65534, -1)
    kept(shell, path, "another user")


def test_bytes_that_are_not_text_are_kept(shell: Shell) -> None:
    path = claude(shell.home, token(shell))
    path.write_bytes(b"x" * 100 + b"\0" + path.read_bytes())
    kept(shell, old(path), "not a text file")


def test_an_encoded_secret_stays_and_is_reported(shell: Shell) -> None:
    from base64 import b64encode

    encoded = b64encode(f"token: {token(shell)} and more".encode()).decode()
    path = old(claude(shell.home, f"{token(shell)} {encoded}"))
    (result,) = scrubbed(shell, status=9)
    assert (result["state"], result["reason"]) == ("scrubbed", "1 in another encoding stay")
    assert encoded in path.read_text()
    assert token(shell) not in path.read_text()


def test_a_file_that_changes_during_the_copy_is_left_alone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client appends a line after the copy was made."""
    from jitid.capabilities.scan import scrub

    path = old(claude(shell.home, token(shell)))
    text = path.read_text()
    real = scrub._star

    def appending(*given: Any) -> None:
        real(*given)
        with path.open("a") as file:
            file.write("{}\n")

    monkeypatch.setattr(scrub, "_star", appending)
    (result,) = scrub.Scrub(None, str(shell.home), dry_run=False).files([hit(shell, path)])
    assert (result.state, result.reason) == ("kept", "it changed meanwhile")
    assert path.read_text() == text + "{}\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_process_that_opens_the_file_at_the_last_moment_keeps_it(shell: Shell) -> None:
    """The lease is refused, even where the list of open files was read before."""
    from jitid.capabilities.scan.scrub import _alone, _KeptError

    path = claude(shell.home, token(shell))
    holder = subprocess.Popen(["tail", "-f", str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.read(1)
        with path.open("rb") as file, pytest.raises(_KeptError, match="in use"), _alone(file.fileno()):
            pytest.fail("the lease was given")
    finally:
        holder.kill()
        holder.communicate()
    with path.open("rb") as file, _alone(file.fileno()):
        pass


def test_a_secret_across_two_pieces_is_replaced_at_each_place(shell: Shell) -> None:
    path = claude(shell.home, token(shell))
    filler = "x" * ((1 << 20) - 20)
    text = f"{filler}{token(shell)}{filler[:-24]}{token(shell)}{token(shell)}\n"
    path.write_text(text)
    old(path)
    (result,) = scrubbed(shell)
    assert result["places"] == 3
    assert path.read_text() == text.replace(token(shell), "*" * len(token(shell)))


def adopted_and_ended(shell: Shell, old_one: str, *others: str, prefix: str | None = None) -> None:
    """Adopt secrets, and end the first one."""
    stated = ("--prefix", prefix) if prefix else ()
    for number, secret in enumerate((old_one, *others)):
        place = ("--owner", "alice", "--place", "vault db", "--purpose", "db", *stated)
        shell.good("adopt", "add", f"db{number}", *place, stdin=secret)
    shell.good("adopt", "end", "db0", "--proof", "password changed")


@pytest.mark.parametrize("prefix", [None, "s3c"])
@pytest.mark.parametrize("after", ["2", "-unadopted", "_x", "+x"])
@pytest.mark.parametrize("before", ["", "x"])
def test_a_secret_within_another_one_stays(shell: Shell, prefix: str | None, after: str, before: str) -> None:
    """A rotated secret may be the old one with a suffix; only the whole word is replaced, adopted or not."""
    ended = "s3cret-Passw0rd-for-db"
    adopted_and_ended(shell, ended, f"s3cret-Passw0rd-for-db{after}", prefix=prefix)
    path = shell.home / ".env"
    text = f"OLD={ended}\nNEW={ended}{after}\nOTHER={before}{ended}-live\nQUOTED='{ended}'\n"
    path.write_text(text)
    old(path)
    (result,) = scrubbed(shell, status=9)
    assert (result["state"], result["places"]) == ("scrubbed", 2)
    stars = "*" * len(ended)
    assert path.read_text() == text.replace(f"OLD={ended}\n", f"OLD={stars}\n").replace(
        f"'{ended}'", f"'{stars}'"
    )


@pytest.mark.parametrize("live", ["{}.live-part", "live-part/{}", "live=part&{}&more-of-it"])
def test_a_dead_secret_that_is_a_word_of_a_live_one_stays(shell: Shell, live: str) -> None:
    ended = "s3cret-Passw0rd-for-db"
    adopted_and_ended(shell, ended, live.format(ended))
    path = shell.home / ".env"
    path.write_text(f"OLD={ended}\nNEW={live.format(ended)}\n")
    old(path)
    (result,) = scrubbed(shell, status=9)
    assert path.read_text() == f"OLD={'*' * len(ended)}\nNEW={live.format(ended)}\n"
    assert "1 within another string stay" in result["reason"]
    assert "1 secret stays: adopted and live" in result["reason"]


def test_a_dead_token_signed_with_rsa_is_replaced(shell: Shell) -> None:
    shell.good("issue", "--task", "first", "--delegator", "alice", "--out", "first")
    shell.good("config", "set", "algorithm.audience.https://s.example", "RS256")
    request = ("--task", "rsa", "--delegator", "alice", "--audience", "https://s.example", "--ttl", "5m")
    shell.good("issue", *request, "--out", "rsa")
    path = old(claude(shell.home, f"a {token(shell, 'rsa')}"))
    assert len(token(shell, "rsa").split(".")[2]) == 342
    done = shell.run("scan", "--agents", "--scrub", "--yes", "--format", "jsonl", before=faked("+2h"))
    assert (done.returncode, json.loads(done.stdout)["places"]) == (0, 1)
    assert token(shell, "rsa") not in path.read_text()
