"""The ids of signing keys, and the files of their private halves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa as rsa_keys
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from jitid.crypto import der, jws
from jitid.errors import IntegrityError
from jitid.keys.keyring import USES, Elsewhere, Keyring, Signer
from tests.crypto.signed import ED25519, P256, RSA, RSA_OTHER, Private, raw_public

DASHED = (33).to_bytes(32)
"""The seed of an Ed25519 key whose thumbprint begins with a dash."""


def test_no_key_id_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [DASHED]
    monkeypatch.setattr(os, "urandom", lambda size, real=os.urandom: drawn.pop() if drawn else real(size))
    signer = Keyring(str(tmp_path)).create("EdDSA")
    assert not drawn
    assert not signer.kid.startswith("-")
    (made,) = tmp_path.iterdir()
    assert made.name == signer.kid
    assert made.read_bytes() != DASHED


def rsa(**changed: int) -> bytes:
    """Return an RSA key in the form of its file, with some numbers replaced."""
    numbers = RSA.private_numbers()
    parts = {name: getattr(numbers, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")} | changed
    n, e = parts.pop("n", numbers.public_numbers.n), parts.pop("e", 65_537)
    fields = (0, n, e, parts["d"], parts["p"], parts["q"], parts["dmp1"], parts["dmq1"], parts["iqmp"])
    inner = der.tlv(der.SEQUENCE, *map(der.integer, fields))
    algorithm = der.tlv(der.SEQUENCE, der.oid("1.2.840.113549.1.1.1"), der.tlv(der.NULL))
    return der.tlv(der.SEQUENCE, der.integer(0), algorithm, der.tlv(der.OCTETS, inner))


def test_an_rsa_key_is_in_a_file_of_its_own_form(tmp_path: Path) -> None:
    """PKCS#8 in DER: never 32 bytes, never the text of a key at a target."""
    keyring = Keyring(str(tmp_path))
    signer = keyring.create("RS256")
    path = Path(keyring.path(signer.kid))
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert content.startswith(b"\x30\x82")
    assert Elsewhere.parse(content) is None
    assert len(signer.public) == len(signer.sign(b"message")) == 256
    assert jws.verifier("RS256", signer.public)(b"message", signer.sign(b"message"))
    again = Keyring(str(tmp_path)).load(signer.kid, "RS256", signer.public)
    assert again.sign(b"message") == signer.sign(b"message")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    keyring.give(Keyring(str(other)), signer.kid, "RS256", signer.public)
    assert (other / signer.kid).read_bytes() == content


def test_each_form_of_the_same_key_is_the_same(tmp_path: Path) -> None:
    """The encoder of these tests and the library write the same bytes."""
    written = RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert rsa() == written
    assert len(written) < 2_048
    assert load(tmp_path, written).public == raw_public(RSA)


def load(folder: Path, content: bytes, algorithm: str = "RS256", private: Private = RSA) -> Signer:
    """Load a file as the key of that id."""
    public = raw_public(private)
    kid = jws.thumbprint(algorithm, public)
    (folder / kid).write_bytes(content)
    (folder / kid).chmod(0o600)
    folder.chmod(0o700)
    return Keyring(str(folder)).load(kid, algorithm, public)


SMALL = rsa_keys.generate_private_key(65_537, 1_024)
WIDE = rsa_keys.generate_private_key(3, 2_048)
PEM = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
LOCKED = RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
NUMBERS = RSA.private_numbers()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(32),
        rsa()[:-1],
        rsa() + b"\0",
        rsa() + bytes(4_096),
        rsa(p=1, q=NUMBERS.public_numbers.n),
        rsa(q=NUMBERS.q + 2),
        rsa(dmp1=NUMBERS.dmp1 ^ 2),
        rsa(dmq1=NUMBERS.dmq1 ^ 2),
        rsa(iqmp=NUMBERS.iqmp ^ 2),
        rsa(n=NUMBERS.public_numbers.n + 2),
        rsa(e=3),
        RSA_OTHER.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        RSA.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        P256.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        SMALL.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        WIDE.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        PEM,
        LOCKED,
    ],
    ids=[
        "empty",
        "a seed",
        "cut",
        "longer",
        "much longer",
        "a factor of one",
        "another factor",
        "a damaged exponent",
        "another damaged exponent",
        "a damaged coefficient",
        "another modulus",
        "another public exponent",
        "another key",
        "PKCS#1",
        "P-256",
        "1024 bits",
        "the exponent 3",
        "PEM",
        "with a passphrase",
    ],
)
def test_a_damaged_rsa_key_is_an_integrity_failure(tmp_path: Path, content: bytes) -> None:
    """A signature by a key with one damaged number would disclose its factors."""
    with pytest.raises(IntegrityError):
        load(tmp_path, content)


def test_no_key_serves_another_algorithm(tmp_path: Path) -> None:
    """An RSA key in the place of another key is refused, and the reverse."""
    for private, algorithm in ((P256, "ES256"), (ED25519, "EdDSA")):
        with pytest.raises(IntegrityError):
            load(tmp_path, rsa(), algorithm, private)
    assert USES["jws"][-1] == "RS256"
    assert "RS256" not in (*USES["x509"], *USES["ssh"])
