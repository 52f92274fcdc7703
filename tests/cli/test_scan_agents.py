"""`jitid scan --agents`: the files of seven agents, with session, time, tool and command; hostile files."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.scan import chat_store
from jitid.capabilities.scan.agent_places import found_places
from jitid.capabilities.scan.agent_source import AgentSource
from jitid.capabilities.scan.file_source import PART
from jitid.capabilities.scan.hits import Item, Searcher
from tests import scanners
from tests.cli.agent_files import AGENTS, OTHER, SESSION, claude, cursor, opencode
from tests.real import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return the command line of a user with a ledger and a token, without files of agents."""
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T", "--delegator", "alice", "--kind", "opaque", "--out", "token")
    return shell


def token(shell: Shell) -> str:
    """Return the user's token."""
    return (shell.home / "token").read_text().strip()


def found(shell: Shell, *options: str, status: int = 10) -> list[dict[str, Any]]:
    """Return the evidence of each finding, and assert that no output has the token."""
    done = shell.run("scan", "--agents", "--format", "json", *options)
    assert done.returncode == status, done.stderr + done.stdout
    assert token(shell) not in done.stdout + done.stderr
    return [each["evidence"] for each in json.loads(done.stdout)["findings"]]


@pytest.mark.parametrize("agent", AGENTS)
def test_a_printed_token_is_found_with_its_session_time_tool_and_command(shell: Shell, agent: str) -> None:
    path = AGENTS[agent](shell.home, f"é{'x' * 9_000}\nTOKEN={token(shell)}\n")
    evidence = next(each for each in found(shell) if each["path"] == str(path))
    sessions = {"codex": OTHER, "opencode": "ses_dce788117ffep5kD3up0g3inlx"}
    assert evidence["client"] == agent
    assert evidence["session"] == sessions.get(agent, SESSION)
    assert evidence["written_at"].startswith("2026-12-01T12:14:")
    assert evidence["command"] == "cat notes"
    assert evidence["tool"] in {
        "Bash",
        "shell",
        "bash",
        "run_shell_command",
        "run_terminal_cmd",
        "run_in_terminal",
    }
    assert (evidence["task"], evidence["state"]) == ("T", "active")


def test_the_tsv_has_the_fields_of_sessions_behind_the_usual_ones(shell: Shell) -> None:
    claude(shell.home, token(shell))
    row = shell.run("scan", "--agents", "--format", "tsv").stdout.split("\n")[0].split("\t")
    assert row[-5:] == ["claude-code", SESSION, "2026-12-01T12:14:52Z", "Bash", "cat notes"]
    assert (
        len(shell.run("scan", ".claude", "--format", "tsv").stdout.split("\n")[0].split("\t")) == len(row) - 5
    )


def test_a_long_transcript_in_utf_16_has_each_place_once_in_its_line(shell: Shell) -> None:
    """The search of its parts by several processes would count offsets with NULs, and lines without."""
    path = claude(shell.home, "x")
    lines = ["x" * 63] * (20 << 20 >> 7)
    numbers = [10, PART // 128 - 2, PART // 128 + 700, len(lines) - 1]
    for number in numbers:
        lines[number - 1] = f"TOKEN={token(shell)}"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-16-le"))
    assert sorted(each["line"] for each in found(shell) if each["path"] == str(path)) == numbers


def test_utf_16_in_a_later_part_of_a_text_does_not_move_its_places(shell: Shell) -> None:
    path = claude(shell.home, "x")
    before = b"x" * 63 + b"\n"
    wide = ("y" * 63 + "\n").encode("utf-16-le") * 4_000
    text = before * (PART // 64 - 64) + wide + before + f"TOKEN={token(shell)}\n".encode()
    path.write_bytes(text)
    (place,) = [each for each in found(shell) if each["path"] == str(path)]
    assert (place["line"], place["offset"]) == (text.count(b"\n"), text.index(b"jitid_"))


def test_a_command_is_shown_without_secrets(shell: Shell) -> None:
    secret = "aQ7!x/+Zp0_kLmW9e"
    shell.good("adopt", "add", "db", "--owner", "alice", "--place", "x", "--purpose", "p", stdin=secret)
    line = f"curl -u bob:{secret} -H 'Authorization: Bearer {token(shell)}' --password s3 https://a:b@h/ {'x1' * 20}"
    claude(shell.home, token(shell), command=line)
    texts = [each["command"] for each in found(shell)]
    for text in texts:
        assert text is None or not any(part in text for part in (secret, "s3 ", "a:b@", "x1x1"))


def test_a_session_that_is_called_like_a_secret_is_not_shown(shell: Shell) -> None:
    path = claude(shell.home, token(shell), session=token(shell))
    path.rename(path.with_name("transcript.jsonl"))
    assert {each["session"] for each in found(shell)} == {None}


def test_a_record_that_nests_deeply_costs_no_more_than_others(shell: Shell) -> None:
    path = claude(shell.home, "x")
    depth = 100_000
    path.write_text('{"sessionId":"s","a":' + "[" * depth + f'"{token(shell)}"' + "]" * depth + "}\n")
    (evidence,) = found(shell)
    assert evidence["line"] == 1


def test_a_database_that_begins_to_have_a_log_is_reported(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new rows are in the log, which was not there when the search began."""
    path = cursor(shell.home, "x")
    read = chat_store.rows

    def growing(*given: Any) -> Iterator[Any]:
        path.with_name("state.vscdb-wal").write_bytes(b"x")
        return read(*given)

    monkeypatch.setattr(chat_store, "rows", growing)
    searcher = Searcher()
    descriptor = os.open(path, os.O_RDONLY)
    list(chat_store.search(searcher, descriptor, Item(str(path))))
    os.close(descriptor)
    assert searcher.take().tally.missed == {chat_store.CHANGED: 1}


def test_the_variables_of_agents_name_their_folders(shell: Shell) -> None:
    path = claude(shell.home, token(shell))
    moved = shell.home / "elsewhere"
    (shell.home / ".claude").rename(moved)
    assert found(shell, status=0) == []
    shell.environment["CLAUDE_CONFIG_DIR"] = str(moved)
    assert [each["path"] for each in found(shell)] == [str(moved / path.relative_to(shell.home / ".claude"))]


def test_the_folders_of_projects_are_searched_for_configurations(shell: Shell) -> None:
    """The transcript names the project, and its own text is clean."""
    claude(shell.home, "nothing")
    (shell.home / "work").mkdir()
    (shell.home / "work" / ".mcp.json").write_text(json.dumps({"headers": {"Authorization": token(shell)}}))
    (shell.home / "work" / "source.py").write_text(token(shell))
    (evidence,) = found(shell)
    assert evidence["path"] == str(shell.home / "work" / ".mcp.json")
    assert evidence["client"] == "project"


def test_a_row_in_the_log_of_a_database_is_found_and_nothing_is_changed(shell: Shell) -> None:
    path = opencode(shell.home, token(shell))
    before = {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in path.parent.iterdir()}
    assert f"{path}" in {each["path"] for each in found(shell)}
    assert {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in path.parent.iterdir()} == before


def test_a_log_without_its_index_is_searched_as_bytes_and_reported(shell: Shell) -> None:
    """SQLite would make the index beside the file of the user."""
    path = opencode(shell.home, token(shell))
    path.with_name("opencode.db-shm").unlink()
    assert {each["path"] for each in found(shell, status=11)} == {f"{path}-wal"}
    assert not path.with_name("opencode.db-shm").exists()


def test_a_locked_database_is_read_and_its_client_is_not_blocked(shell: Shell) -> None:
    path = cursor(shell.home, token(shell))
    database = sqlite3.connect(path, timeout=0)
    database.execute("BEGIN EXCLUSIVE")
    assert [each["path"] for each in found(shell)] == [str(path)]
    database.execute("INSERT INTO cursorDiskKV VALUES ('a', 'b')")
    assert found(shell, status=11)[0]["path"] == str(path), "a change has begun: only bytes are certain"
    database.commit()


def test_a_deleted_row_is_still_found(shell: Shell) -> None:
    path = cursor(shell.home, "nothing")
    database = sqlite3.connect(path)
    database.execute("PRAGMA secure_delete = off")
    database.execute("INSERT INTO cursorDiskKV VALUES ('gone', ?)", (token(shell),))
    database.commit()
    database.execute("DELETE FROM cursorDiskKV WHERE key = 'gone'")
    database.commit()
    database.close()
    (evidence,) = found(shell)
    assert evidence["inside"] is None


def test_a_damaged_database_is_reported_and_its_bytes_are_searched(shell: Shell) -> None:
    path = cursor(shell.home, "x" * 20_000)
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(2_000) + token(shell).encode() + os.urandom(2_096 - len(token(shell)))
    path.write_bytes(content)
    assert found(shell, status=11)[0]["path"] == str(path)


def test_links_pipes_and_devices_are_no_places(shell: Shell) -> None:
    claude(shell.home, token(shell))
    (shell.home / ".bash_history").symlink_to("/dev/zero")
    os.mkfifo(shell.home / ".zsh_history")
    os.mkfifo(shell.home / ".claude" / "history.jsonl")
    (shell.home / ".claude" / "debug").symlink_to("/proc")
    (shell.home / ".codex").symlink_to(shell.home / "nowhere")
    assert len(found(shell)) == 1


def test_a_place_that_is_a_link_to_a_folder_is_searched(shell: Shell) -> None:
    claude(shell.home, token(shell))
    (shell.home / ".claude").rename(shell.home / "dotfiles")
    (shell.home / ".claude").symlink_to("dotfiles")
    (evidence,) = found(shell)
    assert evidence["client"] == "claude-code"


@pytest.mark.parametrize("target", ["..", "/", "../other/notes.txt"])
@pytest.mark.parametrize("name", [".env", ".envrc", ".mcp.json", "opencode.json"])
def test_a_link_of_a_project_leads_nowhere(shell: Shell, name: str, target: str) -> None:
    """A repository chooses its links: they would lead the search out of the places."""
    claude(shell.home, "nothing")
    (shell.home / "other").mkdir()
    (shell.home / "other" / "notes.txt").write_text(token(shell))
    (shell.home / "work").mkdir()
    (shell.home / "work" / name).symlink_to(target)
    assert found(shell, status=0) == []


def test_a_folder_of_a_project_that_is_a_link_leads_nowhere(shell: Shell) -> None:
    claude(shell.home, "nothing")
    (shell.home / "other").mkdir()
    (shell.home / "other" / "settings.json").write_text(token(shell))
    (shell.home / "work").mkdir()
    (shell.home / "work" / ".claude").symlink_to("../other")
    (shell.home / "work" / ".env").mkdir()
    (shell.home / "work" / ".env" / "file").write_text(token(shell))
    assert found(shell, status=0) == []


def test_a_project_with_a_hostile_name_hides_no_other_place(shell: Shell) -> None:
    folders = ["/\ud800", "/" + "x" * 5_000, "/loop", str(shell.home / "work")]
    (shell.home / ".claude.json").write_text(json.dumps({"projects": {each: {} for each in folders}}))
    (shell.home / "work").mkdir()
    (shell.home / "work" / ".env").write_text(token(shell))
    assert [Path(each["path"]).name for each in found(shell)] == [".env"]


def test_a_file_of_a_project_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    """The link is made between the list of the places and the search."""
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / ".env"
    path.write_text("x")
    claude(tmp_path, "nothing")
    source = AgentSource(found_places(str(tmp_path), {}), spared=frozenset())
    path.unlink()
    path.symlink_to(tmp_path)
    source.prepare(1)
    searcher = Searcher()
    list(source.search(searcher))
    assert list(searcher.take().tally.missed.values()) == [1]


def test_an_agent_s_own_place_wins_over_that_of_a_project(shell: Shell) -> None:
    """The home folder itself is a project."""
    claude(shell.home, "nothing")
    (shell.home / ".claude.json").write_text(json.dumps({"projects": {str(shell.home): {}}}))
    (shell.home / ".claude" / "settings.json").write_text(token(shell))
    (shell.home / ".env").write_text(token(shell))
    clients = {Path(each["path"]).name: each["client"] for each in found(shell)}
    assert clients == {"settings.json": "claude-code", ".env": "shell"}


def test_a_shell_s_file_that_is_a_link_to_a_folder_is_no_place(shell: Shell) -> None:
    (shell.home / ".env").symlink_to(shell.home / "work")
    (shell.home / "work").mkdir()
    (shell.home / "work" / "source.py").write_text(token(shell))
    assert found(shell, status=0) == []


def test_hostile_names_and_records_act_on_no_terminal(shell: Shell) -> None:
    path = claude(shell.home, token(shell), command="\x1b[31m‮rm", session="\x1b]0;x\x07")
    path.rename(path.with_name("\x1b[2J.jsonl"))
    done = shell.run("scan", "--agents", "--format", "table")
    assert done.returncode == 10
    assert "\x1b" not in done.stdout + done.stderr
    assert "‮" not in done.stdout


def test_the_last_line_may_be_half_written(shell: Shell) -> None:
    path = claude(shell.home, token(shell))
    text = path.read_text()
    path.write_text(text[: text.rindex(token(shell)) + len(token(shell))])
    (evidence,) = found(shell)
    assert (evidence["line"], evidence["session"]) == (2, SESSION)


def test_a_place_in_a_later_part_of_a_long_transcript_has_its_line(shell: Shell) -> None:
    path = claude(shell.home, token(shell))
    record = path.read_text()
    filler = json.dumps({"type": "user", "message": {"content": "word " * 2_000}}) + "\n"
    count = (1 << 26) // len(filler)
    with path.open("w") as file:
        for _ in range(count):
            file.write(filler)
        file.write(record)
    (evidence,) = found(shell)
    assert evidence["line"] == count + 2
    assert evidence["command"] == "cat notes"


def test_the_ledger_s_own_folder_is_skipped(shell: Shell) -> None:
    claude(shell.home, "nothing")
    shell.ledger = shell.home / ".claude" / "ledger"
    shell.environment["JITID_LEDGER"] = str(shell.ledger)
    (shell.home / "ledger").rename(shell.ledger)
    (shell.ledger / "token").write_text(token(shell))
    assert found(shell, status=0) == []


def test_agents_excludes_paths(shell: Shell) -> None:
    assert shell.run("scan", "--agents", ".").returncode == 2
    assert shell.run("scan", "--agents", "--git").returncode == 2


def test_other_scanners_find_the_secrets_of_others_at_the_same_places(shell: Shell) -> None:
    foreign = "glpat-" + "xK4mZ9pQ2wR7tY1vB5nC"
    claude(shell.home, f"{token(shell)}\nTOKEN={foreign}\n")
    for name, program in (("betterleaks", scanners.betterleaks()), ("kingfisher", scanners.kingfisher())):
        folder = shell.home / name
        folder.mkdir()
        (folder / name).symlink_to(program)
        line = ("scan", "--agents", "--rules", name)
        done = shell.run(*line, "--out", f"{name}.json", more={"PATH": f"{folder}:{os.environ['PATH']}"})
        assert done.returncode == 0, done.stderr
        report = shell.home / f"{name}.json"
        assert report.stat().st_mode & 0o777 == 0o600
        assert foreign in report.read_text()
        assert f"jitid leak add --from {name}.json" in done.stderr
        added = shell.good("leak", "add", "--from", f"{name}.json", "--source", name, "--format", "jsonl")
        assert json.loads(added.splitlines()[0])["task"] == "T"
        # The same report on standard output, for a pipe.
        assert foreign in shell.run(*line, more={"PATH": f"{folder}:{os.environ['PATH']}"}).stdout


@pytest.mark.parametrize("folder", [".claude", "work"])
def test_a_file_that_hides_findings_from_betterleaks_is_reported(shell: Shell, folder: str) -> None:
    """A repository may have one, for its file with settings."""
    value = "glpat-" + "xK4mZ9pQ2wR7tY1vB5nC"
    claude(shell.home, "nothing")
    (shell.home / "work").mkdir()
    path = shell.home / folder / ("settings.json" if folder == ".claude" else ".env")
    path.write_text(f"TOKEN={value}\n")
    tools = shell.home / "tools"
    tools.mkdir()
    (tools / "betterleaks").symlink_to(scanners.betterleaks())
    line = ("scan", "--agents", "--rules", "betterleaks")
    done = shell.run(*line, more={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert (done.returncode, value in done.stdout) == (0, True), done.stderr
    ignoring = shell.home / folder / ".betterleaksignore"
    ignoring.write_text(hashlib.sha256(value.encode()).hexdigest() + "\n")
    done = shell.run(*line, more={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert (done.returncode, value in done.stdout) == (11, False)
    assert "names: remove that file" in done.stderr
    assert str(ignoring) in done.stderr


def test_a_scanner_that_is_absent_or_has_no_such_search_is_a_usage_error(shell: Shell) -> None:
    done = shell.run("scan", "--agents", "--rules", "betterleaks", more={"PATH": "/nowhere"})
    assert (done.returncode, "betterleaks is not on PATH" in done.stderr) == (2, True)
    assert shell.run("scan", "--agents", "--rules", "gitleaks").returncode == 2
    assert shell.run("scan", "--agents", "--rules", "betterleaks", "--revoke").returncode == 2
