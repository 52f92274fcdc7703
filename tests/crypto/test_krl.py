"""Key revocation lists are readable by `ssh-keygen`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jitid.crypto import openssh
from jitid.issuers.issuer import Order
from jitid.issuers.ssh_cert import SshCertIssuer, serial_of
from tests.issuers.test_sshcert import NOW, draft, new_ids, signer
from tests.real import need

OURS = openssh.public_blob(signer().public)
THEIRS = openssh.public_blob(signer(b"\2" * 32).public)


def revoked(jti: str) -> openssh.RevokedCertificate:
    return openssh.RevokedCertificate(serial_of(jti), jti)


def certificate(folder: Path, seed: bytes = b"\1" * 32) -> tuple[str, Path]:
    names = new_ids()
    (made,) = SshCertIssuer(signer(seed)).mint([Order(draft(), [names])])
    path = folder / f"{names.jti}.pub"
    path.write_text(made.secret.reveal("certificate"))
    return names.jti, path


def refuses(folder: Path, text: bytes, *paths: Path) -> list[bool]:
    """Return for each certificate whether ssh-keygen reports it as revoked by the list."""
    (folder / "krl").write_bytes(text)
    found = subprocess.run(
        [need("ssh-keygen"), "-Q", "-f", "krl", *map(str, paths)], cwd=folder, capture_output=True, text=True
    )
    lines = found.stdout.splitlines()
    assert len(lines) == len(paths), (found.stdout, found.stderr)
    assert found.returncode == any(line.endswith("REVOKED") for line in lines)
    return [line.endswith("REVOKED") for line in lines]


def test_what_is_on_the_list_is_refused_and_nothing_else(tmp_path: Path) -> None:
    (ended, first), (_, second) = certificate(tmp_path), certificate(tmp_path)
    assert refuses(
        tmp_path, openssh.encode_krl({OURS: [revoked(ended)]}, (), NOW, "test"), first, second
    ) == [
        True,
        False,
    ]


@pytest.mark.parametrize("known", ["serial", "key id"])
def test_either_name_of_a_certificate_is_enough(tmp_path: Path, known: str) -> None:
    jti, path = certificate(tmp_path)
    one = revoked(jti)._replace(**{"serial": 1} if known == "key id" else {"key_id": "another"})
    assert refuses(tmp_path, openssh.encode_krl({OURS: [one]}, (), NOW, "test"), path) == [True]


def test_another_authority_may_give_the_same_serial(tmp_path: Path) -> None:
    jti, path = certificate(tmp_path)
    assert refuses(tmp_path, openssh.encode_krl({THEIRS: [revoked(jti)]}, (), NOW, "test"), path) == [False]


def test_what_anybody_may_have_signed_is_refused_from_everybody(tmp_path: Path) -> None:
    (ended, first), (_, second) = certificate(tmp_path), certificate(tmp_path)
    assert refuses(
        tmp_path, openssh.encode_krl({openssh.ANY: [revoked(ended)]}, (), NOW, "test"), first, second
    ) == [
        True,
        False,
    ]


def test_a_revoked_authority_revokes_all_that_it_signed(tmp_path: Path) -> None:
    (_, ours), (_, theirs) = certificate(tmp_path), certificate(tmp_path, b"\2" * 32)
    assert refuses(tmp_path, openssh.encode_krl({OURS: []}, [THEIRS], NOW, "test"), ours, theirs) == [
        False,
        True,
    ]


@pytest.mark.parametrize("authorities", [{}, {OURS: []}], ids=["without authorities", "with one"])
def test_an_empty_list_revokes_nothing(
    tmp_path: Path, authorities: dict[bytes, list[openssh.RevokedCertificate]]
) -> None:
    _, path = certificate(tmp_path)
    assert refuses(tmp_path, openssh.encode_krl(authorities, (), NOW, "test"), path) == [False]


def test_thousands_are_on_one_list(tmp_path: Path) -> None:
    many = [new_ids().jti for _ in range(5_000)]
    (ended, first), (_, second) = certificate(tmp_path), certificate(tmp_path)
    text = openssh.encode_krl({OURS: [revoked(jti) for jti in [*many, ended]]}, [THEIRS], NOW, "test")
    assert refuses(tmp_path, text, first, second) == [True, False]


def test_the_list_says_when_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "krl").write_bytes(openssh.encode_krl({OURS: []}, (), NOW, "urn:jitid:test"))
    shown = subprocess.run(
        [need("ssh-keygen"), "-Q", "-l", "-f", "krl"], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"TZ": "UTC"},
    ).stdout  # fmt: skip
    assert f"# KRL version {NOW}" in shown
    assert "# Generated at 20261124T120000" in shown
    assert "# Comment: urn:jitid:test" in shown
