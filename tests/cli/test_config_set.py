"""`config set` refuses a value with which every command would fail; `config get issuer` reads it from the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import Shell, need, need_root


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir(mode=0o700)
    (broken / "a.cedar").write_text("permit (")
    (broken / "a.cedar").chmod(0o600)
    return shell


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("policy", "missing", "the policy folder"),
        ("policy", "empty", "has no policy"),
        ("policy", "broken", "a.cedar"),
        ("policy", "file", "policy"),
        ("ledger", "file", "is not a folder"),
        ("ledger", "file/below", "not a folder"),
        ("ledger", "broken", "no ledger"),
        ("remote_ca", "missing", "not a file that this user can read"),
        ("remote_ca", "empty", "not a file that this user can read"),
        ("remote_credential_file", "missing", "not a file that this user can read"),
    ],
)
def test_a_value_that_no_command_could_use_is_refused(
    shell: Shell, tmp_path: Path, key: str, value: str, reason: str
) -> None:
    done = shell.run("config", "set", key, str(tmp_path / value))
    assert done.returncode == 2
    assert f"error: `{key}`: " in done.stderr
    assert reason in done.stderr
    assert "nothing was changed" in done.stderr
    assert not (tmp_path / ".config").exists()


def test_values_that_commands_can_use_are_stored(shell: Shell, tmp_path: Path) -> None:
    shell.good("issue", "--task", "T", "--delegator", "alice")
    for key, value in {
        "policy": Path(str(shell.ledger), "policy"),
        "remote_ca": tmp_path / "file",
    }.items():
        shell.good("config", "set", key, str(value))
        assert shell.good("config", "get", key).strip() == str(value)


def test_the_issuer_is_that_of_the_ledger_unless_it_is_set(shell: Shell) -> None:
    assert shell.run("config", "get", "issuer").returncode == 5
    token = shell.good("issue", "--task", "T", "--delegator", "alice")
    issuer = shell.good("inspect", "--field", "iss", stdin=token)
    assert shell.good("config", "get", "issuer") == issuer


@pytest.mark.parametrize(
    ("key", "value"), [("issuer", "https://jitid.example"), ("trust_domain", "other.example")]
)
def test_a_name_that_the_ledger_does_not_have_is_refused(shell: Shell, key: str, value: str) -> None:
    """Before the first use it is a choice; then the ledger has it, and no command could open that."""
    shell.good("config", "set", key, value)
    shell.good("issue", "--task", "T", "--delegator", "alice")
    done = shell.run("config", "set", key, f"{value}.test")
    assert done.returncode == 2
    assert f"but the ledger has `{value}`; nothing was changed" in done.stderr
    assert shell.good("config", "get", key) == f"{value}\n"
    shell.good("list")


def test_a_read_only_file_is_not_replaced(shell: Shell, tmp_path: Path) -> None:
    """Its folder would permit that."""
    need_root()
    path = tmp_path / "read-only.toml"
    path.write_text('ttl = "5m"\n')
    path.chmod(0o444)
    # Not even root may write every file then.
    unable = [need("setpriv"), "--bounding-set=-dac_override"]
    for line in (("set", "ttl", "6m"), ("unset", "ttl")):
        done = shell.run("--config", str(path), "config", *line, before=unable)
        assert (done.returncode, path.read_text()) == (2, 'ttl = "5m"\n')
        assert "is read-only; nothing was changed" in done.stderr
    assert path.stat().st_mode & 0o777 == 0o444
