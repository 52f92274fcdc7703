"""Certificates at a real sshd: accepted; refused when expired or revoked; limited to their principals and options."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.crypto import openssh
from jitid.issuers.issuer import Ids, Order
from jitid.issuers.ssh_cert import SshCertIssuer, serial_of
from jitid.keys.keyring import Signer
from tests.issuers.test_sshcert import draft, new_ids, signer
from tests.sshd import Sshd, sshd

OURS = signer()
THEIRS = signer(b"\2" * 32)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        server.authorities.write_text(openssh.line(openssh.ED25519, openssh.public_blob(OURS.public)) + "\n")
        server.principals.write_text("agent:deployer\nweb:restart\n")
        yield server


@pytest.fixture
def server(running: Sshd) -> Sshd:
    """Return the server, with an empty revocation list."""
    running.revoked.write_bytes(b"")
    return running


def certified(folder: Path, names: Ids | None = None, by: Signer = OURS, **changes: Any) -> Path:
    """Return the file of a key, with its certificate beside it."""
    now = int(time.time())
    asked = draft(**{"issued_at": now, "expires_at": now + 900, **changes})
    (made,) = SshCertIssuer(by).mint([Order(asked, [names or new_ids()])])
    path = folder / "key"
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(made.secret.reveal("key"))
    (folder / "key-cert.pub").write_text(made.secret.reveal("certificate") + "\n")
    return path


def template(**options: Any) -> dict[str, Any]:
    return {"template": "web", "options": {"principals": ["web:restart"], **options}}


def test_a_certificate_lets_in_and_the_log_has_its_id(server: Sshd, tmp_path: Path) -> None:
    names = new_ids()
    done = server.run(certified(tmp_path, names), "echo", "in")
    assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr + server.log
    assert f"ID {names.jti} (serial {serial_of(names.jti)})" in server.log


@pytest.mark.parametrize(
    "changes",
    [
        {"issued_at": int(time.time()) - 900, "expires_at": int(time.time()) - 1},
        {"issued_at": int(time.time()) + 86_400, "expires_at": int(time.time()) + 90_000},
        {"agent": "another", "task": "INC-2"},
        {"template": "web", "options": {"principals": ["root"]}},
        {"template": "web", "options": {"principals": [getpass.getuser()]}},
        {"by": THEIRS},
        template(source_address=["192.0.2.0/24"]),
    ],
    ids=["expired", "not yet", "of another", "a login", "the login", "another authority", "from elsewhere"],
)
def test_no_other_certificate_lets_in(server: Sshd, tmp_path: Path, changes: dict[str, Any]) -> None:
    done = server.run(certified(tmp_path, **changes), "echo", "in")
    assert (done.returncode, done.stdout) == (255, "")
    assert "Permission denied (publickey)" in done.stderr


def test_a_revoked_certificate_is_refused_and_its_sibling_is_not(server: Sshd, tmp_path: Path) -> None:
    names = new_ids()
    (tmp_path / "other").mkdir()
    key, other = certified(tmp_path, names), certified(tmp_path / "other")
    assert server.run(key, "true").returncode == 0
    blob = openssh.public_blob(OURS.public)
    revoked = [openssh.RevokedCertificate(serial_of(names.jti), names.jti)]
    server.revoked.write_bytes(openssh.encode_krl({blob: revoked}, (), int(time.time()), "test"))
    assert server.run(key, "true").returncode == 255
    assert "revoked by file" in server.log
    assert server.run(other, "true").returncode == 0
    server.revoked.write_bytes(openssh.encode_krl({}, [blob], int(time.time()), "test"))
    assert server.run(other, "true").returncode == 255


def test_only_the_forced_command_runs(server: Sshd, tmp_path: Path) -> None:
    forced = certified(tmp_path, **template(force_command='echo "$SSH_ORIGINAL_COMMAND was asked for"'))
    assert server.run(forced, "id").stdout == "id was asked for\n"
    assert server.run(forced, "true; id").stdout == "true; id was asked for\n"


def test_it_works_from_its_own_network(server: Sshd, tmp_path: Path) -> None:
    key = certified(tmp_path, **template(source_address=["127.0.0.0/8", "::1"]))
    assert server.run(key, "true").returncode == 0


def test_nothing_is_permitted_besides_unless_the_template_says_so(server: Sshd, tmp_path: Path) -> None:
    asked = "test -t 0 && echo terminal"
    bare = server.run(certified(tmp_path, **template()), asked, options=["-tt"])
    assert "PTY allocation request failed" in bare.stderr
    assert bare.stdout == ""
    permitted = server.run(certified(tmp_path, **template(extensions=["permit-pty"])), asked, options=["-tt"])
    assert permitted.stdout.strip() == "terminal", permitted.stderr


def test_an_agent_of_the_name_of_a_login_is_not_let_in_as_that(tmp_path: Path) -> None:
    login = getpass.getuser()
    with sshd(tmp_path / "sshd", principals=False) as server:
        server.authorities.write_text(openssh.line(openssh.ED25519, openssh.public_blob(OURS.public)) + "\n")
        refused = server.run(certified(tmp_path, agent=login, task=login), "true")
        assert refused.returncode == 255
        # Only the principal keeps the agent out: a template may have the name of a login.
        named = certified(tmp_path, template="admin", options={"principals": [login]})
        assert server.run(named, "true").returncode == 0, server.log
