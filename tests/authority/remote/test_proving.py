"""Authentication of both sides: the authority by its certificate, the client by its own credential."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitid.authority import remote
from jitid.config.effective import load
from jitid.errors import IntegrityError
from tests.authority.remote.conftest import EVERYTHING
from tests.real import Shell, command
from tests.server.test_tls import certificate
from tests.serving import Served, serving


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """Return a certificate for loopback and its key."""
    return certificate(tmp_path)


@pytest.fixture
def encrypted(tmp_path: Path, made: tuple[Path, Path]) -> Iterator[Served]:
    """Yield an authority that listens over TLS, and on a Unix socket for setup."""
    config = tmp_path / "authority.toml"
    config.write_text(EVERYTHING)
    options = ("--tls-cert", str(made[0]), "--tls-key", str(made[1]), "--bind", "127.0.0.1:0")
    more = {"JITID_CONFIG": str(config)}
    with serving(tmp_path / "authority", *options, "--socket", str(tmp_path / "s"), more=more) as found:
        yield found


@pytest.fixture
def shell(tmp_path: Path, encrypted: Served) -> Shell:
    """Return a command line that uses the authority over TLS and has an agent's credential."""
    shell = Shell(tmp_path / "client")
    shell.home.mkdir()
    del shell.environment["JITID_LEDGER"]
    issued = shell.run("issue", "--task", "T1", "--remote", f"unix://{encrypted.socket}")
    assert issued.returncode == 0, issued.stderr
    credential = shell.home / "credential"
    credential.write_text(issued.stdout)
    credential.chmod(0o600)
    shell.environment |= {"JITID_REMOTE": encrypted.url, "JITID_REMOTE_CA": str(tmp_path / "server.pem")}
    return shell


def test_a_credential_in_a_file_proves_who_asks(shell: Shell) -> None:
    credential = shell.home / "credential"
    done = shell.run("verify", "--credential-file", str(credential), stdin=credential.read_text())
    assert done.returncode == 0, done.stderr


@pytest.mark.deep
@pytest.mark.parametrize(
    "variable", ["JITID_REMOTE_CREDENTIAL_FILE", "JITID_PARENT_FILE", "CREDENTIALS_DIRECTORY"]
)
def test_a_credential_is_found_where_it_is_kept(shell: Shell, variable: str) -> None:
    credential = shell.home / "credential"
    place = credential
    if variable == "CREDENTIALS_DIRECTORY":
        place = shell.home / "credentials"
        place.mkdir()
        (place / "jitid-credential").write_text(credential.read_text())
        (place / "jitid-credential").chmod(0o440)
    done = shell.run("verify", stdin=credential.read_text(), more={variable: str(place)})
    assert done.returncode == 0, done.stderr


def test_a_credential_comes_through_a_descriptor(shell: Shell) -> None:
    line = " ".join(command("verify", "--credential-fd", "3"))
    done = subprocess.run(
        ["sh", "-c", f"{line} 3<credential <credential"],
        cwd=shell.home,
        env=shell.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_credential_from_a_pipe_serves_all_requests_of_a_command(shell: Shell) -> None:
    """The hint about a task that was not found needs a second authority."""
    line = " ".join(command("--credential-fd", "3", "retire", "nothing"))
    done = subprocess.run(
        ["bash", "-c", f"exec 3< <(cat credential); {line}"],
        cwd=shell.home,
        env=shell.environment,
        capture_output=True,
        text=True,
    )
    assert "descriptor" not in done.stderr
    assert done.returncode == 3, done.stderr


def test_a_credential_that_others_may_read_is_not_used(shell: Shell, encrypted: Served) -> None:
    credential = shell.home / "credential"
    credential.chmod(0o640)
    before = len(encrypted.lines())
    done = shell.run("verify", "--credential-file", str(credential), stdin=credential.read_text())
    assert done.returncode == 7
    assert "chmod 600" in done.stderr
    assert len(encrypted.lines()) == before


PLACES: dict[str, Callable[[Path], dict[str, str]]] = {
    "named": lambda file: {"JITID_REMOTE_CREDENTIAL_FILE": str(file)},
    "of the agent": lambda file: {"JITID_PARENT_FILE": str(file)},
    "of systemd": lambda file: {"CREDENTIALS_DIRECTORY": str(file.parent)},
}


@pytest.mark.parametrize("place", PLACES)
def test_who_else_may_open_the_file_makes_it_refused(tmp_path: Path, place: str) -> None:
    """Each right of the group or of others is refused. systemd alone may let its group read, as the mask of an ACL."""
    file = tmp_path / "jitid-credential"
    file.write_text("secret\n")
    environ = {"HOME": str(tmp_path), **PLACES[place](file)}
    bearer = remote.credential(load(environ=environ), environ)
    assert bearer is not None
    for others in range(0o100):
        file.chmod(0o600 | others)
        if others == 0 or (place == "of systemd" and others == 0o040):
            assert bearer.read().reveal() == "secret"
        else:
            with pytest.raises(IntegrityError, match=f"mode 6{others:02o}"):
                bearer.read()


@pytest.mark.deep
@pytest.mark.parametrize("content", ["", "two\nlines\n", "header: injected\r\nx", "a b"])
def test_what_is_no_credential_is_not_sent(shell: Shell, content: str) -> None:
    file = shell.home / "other"
    file.write_text(content)
    file.chmod(0o600)
    done = shell.run("list", "--credential-file", str(file))
    assert done.returncode == 2
    assert "is invalid" in done.stderr


def test_nobody_is_served_without_one(shell: Shell) -> None:
    done = shell.run("list")
    assert done.returncode == 6
    assert "--credential-file" in done.stderr


def test_one_that_has_ended_is_refused(shell: Shell, encrypted: Served) -> None:
    """The refusal is immediate: neither side caches the credential."""
    file = str(shell.home / "credential")
    token = (shell.home / "credential").read_text()
    assert shell.run("verify", "--credential-file", file, stdin=token).returncode == 0
    assert shell.run("retire", "T1", "--remote", f"unix://{encrypted.socket}").returncode == 0
    assert shell.run("verify", "--credential-file", file, stdin=token).returncode == 6


def test_a_certificate_that_nobody_vouches_for_is_refused(shell: Shell) -> None:
    del shell.environment["JITID_REMOTE_CA"]
    done = shell.run("list", "--credential-file", str(shell.home / "credential"))
    assert done.returncode == 7
    assert "did not prove its identity" in done.stderr


def test_a_certificate_of_another_host_is_refused(shell: Shell, tmp_path: Path) -> None:
    made, key = certificate(tmp_path, "other", "DNS:example.com")
    with serving(tmp_path / "other", "--tls-cert", str(made), "--tls-key", str(key)) as served:
        done = shell.run("list", "--remote", served.url, more={"JITID_REMOTE_CA": str(made)})
        assert done.returncode == 7
        assert "nothing was sent" in done.stderr
        assert not [line for line in served.lines() if line["event"] == "request"]


def test_who_speaks_no_tls_is_refused(shell: Shell, tmp_path: Path) -> None:
    with serving(tmp_path / "plain") as served:
        done = shell.run("list", "--remote", served.url.replace("http://", "https://"))
        assert done.returncode == 7
        assert "TLS" in done.stderr


@pytest.mark.deep
@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("--remote", "https://127.0.0.1:1", "--ledger", "x"), {}),
        ((), {"JITID_LEDGER": "x"}),
        (("--remote", "http://192.0.2.1"), {}),
        (("--remote", "https://user@127.0.0.1"), {}),
        (("--remote", "https://127.0.0.1/?a"), {}),
        (("--remote", "https://127.0.0.1/a/../b"), {}),
        (("--remote", "ftp://127.0.0.1"), {}),
        (("--remote", "unix://relative"), {}),
        (("--credential-fd", "3x"), {}),
        (("--credential-fd", "3", "--credential-file", "x"), {}),
        (("--credential-file", "missing"), {}),
        ((), {"JITID_REMOTE_CA": "/dev/null"}),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    shell: Shell, arguments: tuple[str, ...], more: dict[str, str]
) -> None:
    done = shell.run("list", *arguments, more=more)
    assert done.returncode == 2, done.stderr


def test_what_is_nearer_counts(shell: Shell) -> None:
    """A flag takes precedence over the environment: a local ledger is used although JITID_REMOTE is set."""
    done = shell.run("issue", "--task", "T9", "--delegator", "bob", "--ledger", str(shell.home / "here"))
    assert done.returncode == 0, done.stderr
    assert (shell.home / "here" / "ledger.db").exists()
