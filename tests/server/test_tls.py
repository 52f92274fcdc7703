"""TLS of the service: recent versions, the matching key, and a reload on a signal."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.real import Shell, need
from tests.server.waiting import eventually
from tests.serving import Served, serving


def certificate(
    folder: Path, name: str = "server", names: str = "IP:127.0.0.1,DNS:localhost"
) -> tuple[Path, Path]:
    """Make a self-signed certificate, by default for loopback; return it and its key."""
    made, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(key), "-out", str(made), "-days", "2", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={names}",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    return made, key


def _trusting(made: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(made))


def test_a_client_that_trusts_the_certificate_is_served(tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    with serving(tmp_path, "--tls-cert", str(made), "--tls-key", str(key)) as served:
        assert served.url.startswith("https://")
        assert served.ask("GET", "/healthz", tls=_trusting(made)).body == b"ok\n"
        with pytest.raises(ssl.SSLCertVerificationError):
            served.ask("GET", "/healthz", tls=ssl.create_default_context())


def test_tls_before_1_2_is_refused(tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    with serving(tmp_path, "--tls-cert", str(made), "--tls-key", str(key)) as served:
        done = subprocess.run(
            [need("openssl"), "s_client", "-connect", served.url.removeprefix("https://"), "-tls1_1",
             "-cipher", "DEFAULT@SECLEVEL=0"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode != 0
        for version in ("-tls1_2", "-tls1_3"):
            subprocess.run(
                [need("openssl"), "s_client", "-connect", served.url.removeprefix("https://"), version],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )


def test_who_never_shakes_hands_holds_nothing_up(tmp_path: Path) -> None:
    """A client without TLS does not either; both count as connections until they are cut."""
    made, key = certificate(tmp_path)
    with serving(tmp_path, "--tls-cert", str(made), "--tls-key", str(key)) as served:
        silent = [served.connect() for _ in range(20)]
        with served.connect() as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"200" not in plain.recv(1000)
        assert served.ask("GET", "/healthz", tls=_trusting(made)).status == 200
        for connection in silent:
            connection.close()


def test_the_certificate_is_read_anew_on_a_hup(tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    with serving(tmp_path, "--tls-cert", str(made), "--tls-key", str(key)) as served:
        before = _presented(served)
        other, other_key = certificate(tmp_path, "other")
        other.rename(made)
        other_key.rename(key)
        served.process.send_signal(1)
        assert eventually(lambda: _presented(served) != before)
        # An unusable certificate leaves the previous certificate in force.
        made.write_text("nothing")
        served.process.send_signal(1)
        assert eventually(lambda: any(line["level"] == "error" for line in served.lines()))
        assert _presented(served) != before


def _presented(served: Served) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(served.address) as bare,
        context.wrap_socket(bare) as connection,
    ):
        return connection.getpeercert(binary_form=True)


@pytest.mark.parametrize(
    ("mode", "broken", "status", "told"),
    [
        (0o644, None, 7, "is open to others"),
        (0o600, "key", 2, "are not a certificate and its key"),
        (0o600, "certificate", 2, "are not a certificate and its key"),
        (0o600, "gone", 2, "cannot be read"),
    ],
)
def test_a_key_that_cannot_be_used_is_told(
    tmp_path: Path, mode: int, broken: str | None, status: int, told: str
) -> None:
    made, key = certificate(tmp_path)
    key.chmod(mode)
    if broken == "key":
        certificate(tmp_path, "other")[1].rename(key)
    elif broken == "certificate":
        made.write_text("nothing")
    elif broken == "gone":
        key.unlink()
    done = Shell(tmp_path).run(
        "serve", "--bind", "127.0.0.1:0", "--tls-cert", str(made), "--tls-key", str(key)
    )
    assert done.returncode == status
    assert told in done.stderr
    assert not (tmp_path / "ledger").exists()


def test_certificate_and_key_go_together(tmp_path: Path) -> None:
    done = Shell(tmp_path).run("serve", "--tls-cert", "x.pem")
    assert done.returncode == 2
