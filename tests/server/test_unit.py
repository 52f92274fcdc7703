"""The systemd unit of `jitid serve`, and its notifications to systemd."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from pwd import getpwuid

from tests.cli.test_schedule import values, verified
from tests.real import Shell, need, need_root
from tests.serving import serving


def _unit(tmp_path: Path, *arguments: str) -> tuple[Shell, Path]:
    shell = Shell(tmp_path)
    shell.good("-q", "issue", "--task", "T1", "--delegator", "alice")
    file = tmp_path / "jitid.service"
    file.write_text(shell.good("serve", *arguments, "--print-unit"))
    return shell, file


def test_systemd_takes_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    _, file = _unit(tmp_path, "--socket", "/run/jitid/jitid.sock", "--workers", "2")
    assert verified(file) == ""
    (line,) = values(file.read_text(), "ExecStart")
    assert line.endswith(" serve --socket /run/jitid/jitid.sock --workers 2")
    assert values(file.read_text(), "RuntimeDirectory") == ["jitid"]
    done = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=true", "--threshold=50", str(file)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_unit_names_paths_as_they_are_meant_here(tmp_path: Path) -> None:
    _, file = _unit(tmp_path, "--tls-cert", "server.pem", "--tls-key", "server.key")
    (line,) = values(file.read_text(), "ExecStart")
    assert f"--tls-cert {tmp_path}/server.pem --tls-key {tmp_path}/server.key" in line
    assert f"--ledger {tmp_path}/ledger" in line


def test_an_address_with_a_password_comes_into_no_unit(tmp_path: Path) -> None:
    done = Shell(tmp_path).run("--ledger", "postgresql://u:secret@db/j", "serve", "--print-unit")
    assert done.returncode == 2
    assert "secret" not in done.stdout + done.stderr


def test_a_service_over_a_database_writes_where_its_keys_are(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    (tmp_path / "config.toml").write_text(
        f"home = '{tmp_path}/home'\nledger = 'postgresql://u:secret@db/j'\n"
    )
    del shell.environment["JITID_LEDGER"]
    done = shell.run("--config", "config.toml", "serve", "--print-unit")
    assert done.returncode == 0, done.stderr
    assert values(done.stdout, "ReadWritePaths") == [f"-{tmp_path}"]
    assert "secret" not in done.stdout


def test_systemd_is_told_when_it_listens_and_when_it_ends(tmp_path: Path) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place))
        told.settimeout(30)
        with serving(tmp_path, more={"NOTIFY_SOCKET": str(place)}) as served:
            assert told.recv(100) == b"READY=1"
            os.kill(served.process.pid, 15)
            assert told.recv(100) == b"STOPPING=1"
            assert served.process.wait(30) == 0


def test_a_unit_can_be_printed_before_there_is_a_ledger(tmp_path: Path) -> None:
    """It runs as the owner of the parent folder, and may make the ledger there."""
    need_root()
    place = tmp_path / "var"
    place.mkdir(0o700)
    os.chown(place, 65534, 65534)
    text = Shell(tmp_path, place / "ledger").good("serve", "--print-unit")
    assert values(text, "User") == [getpwuid(65534).pw_name]
    assert values(text, "ReadWritePaths") == [f"-{place}"]
