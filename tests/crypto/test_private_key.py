"""Private keys are found in every common form, and identified by their public half. No other text counts as a key."""

from __future__ import annotations

import base64
import json
import subprocess
import textwrap
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from jitid.crypto import openssh
from jitid.crypto.private_key import UNREADABLE, bare_key, key_of, of_seed, public_print, ssh_print
from jitid.keys.keyring import Keyring
from jitid.search.find import AFTER, BEFORE, Finds
from jitid.search.pasted import search_pasted
from jitid.search.strings import search
from tests.real import dsa_key, need

P256 = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, Any] = {
    "p256": P256,
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": EDWARDS,
    "rsa": RSA,
}
FORMS = {
    "pkcs8": PrivateFormat.PKCS8,
    "traditional": PrivateFormat.TraditionalOpenSSL,
    "openssh": PrivateFormat.OpenSSH,
}
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def print_of(key: Private) -> bytes:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).digest()


def pem_of(key: Private, form: PrivateFormat = PrivateFormat.PKCS8, secret: bytes | None = None) -> str:
    locked = NoEncryption() if secret is None else BestAvailableEncryption(secret)
    return key.private_bytes(Encoding.PEM, form, locked).decode()


def searched(text: str | bytes) -> Finds:
    """Return the finds of a search over the whole text."""
    raw = text.encode() if isinstance(text, str) else text
    finds = Finds()
    search(raw, 0, len(raw), finds)
    return finds


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_known_by_its_public_half_in_each_form(name: str, form: str) -> None:
    if (name, form) == ("ed25519", "traditional"):
        return
    text = pem_of(KEYS[name], FORMS[form])
    assert searched(f"x\n{text}y").keys == {print_of(KEYS[name]): 1}
    assert searched(text + text).keys == {print_of(KEYS[name]): 2}


DRESSES: dict[str, Callable[[str], str]] = {
    "json": lambda pem: json.dumps({"key": pem}),
    "json in json": lambda pem: json.dumps(json.dumps({"key": pem})),
    "escaped": lambda pem: json.dumps({"key": pem}).replace("+", "\\u002B").replace("/", "\\/"),
    "windows": lambda pem: pem.replace("\n", "\r\n"),
    "yaml": lambda pem: "tls.key: |\n" + textwrap.indent(pem, "    "),
    "mail": lambda pem: textwrap.indent(pem, "> > "),
    "one line": lambda pem: pem.replace("\n", " "),
    "no breaks": lambda pem: pem.replace("\n", ""),
    "environment": lambda pem: "KEY='" + pem.replace("\n", "\\n") + "'",
    "added": lambda pem: "@@ -0,0 +1,5 @@\n" + textwrap.indent(pem, "+"),
    "removed": lambda pem: "@@ -1,5 +0,0 @@\n" + textwrap.indent(pem, "-"),
    "program": lambda pem: " +\n".join(f'"{line}\\n"' for line in pem.splitlines()),
    "log": lambda pem: "".join(f"{line}\t|\n" for line in pem.splitlines()),
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("name", ["p256", "ed25519", "rsa"])
def test_a_key_is_found_in_every_dress(name: str, dress: str) -> None:
    key = KEYS[name]
    form = PrivateFormat.OpenSSH if name == "ed25519" else PrivateFormat.PKCS8
    assert searched(DRESSES[dress](pem_of(key, form))).keys == {print_of(key): 1}


def test_a_key_that_begins_with_a_plus_in_each_line_is_no_diff() -> None:
    """Without a plus before the first line, a plus at the beginning of a later line is a base64 digit."""
    for _ in range(200):
        key = ed25519.Ed25519PrivateKey.generate()
        body = "".join(pem_of(key).splitlines()[1:-1])
        at = body.find("+")
        if at > 0:
            broken = f"-----BEGIN PRIVATE KEY-----\n{body[:at]}\n{body[at:]}\n-----END PRIVATE KEY-----"
            assert searched(broken).keys == {print_of(key): 1}
            return
    raise AssertionError("no key has a plus")


@pytest.mark.parametrize(
    "dress",
    [
        lambda raw: base64.b64encode(raw).decode(),
        lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
        lambda raw: json.dumps({"data": {"tls.key": base64.b64encode(raw).decode()}}),
        lambda raw: "\n".join(textwrap.wrap(base64.b64encode(raw).decode(), 76)),
    ],
)
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_key_in_base64_is_found_in_what_was_pasted(
    encoding: Encoding, dress: Callable[[bytes], str]
) -> None:
    raw = P256.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    assert print_of(P256) in search_pasted(dress(raw).encode()).keys


def test_a_key_that_is_no_text_is_found_in_what_was_pasted(tmp_path: Path) -> None:
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        raw = P256.private_bytes(Encoding.DER, form, NoEncryption())
        assert search_pasted(raw).keys == {print_of(P256): 1}
    signer = Keyring(str(tmp_path)).create("ES256")
    seed = (tmp_path / signer.kid).read_bytes()
    for text in (seed, base64.b64encode(seed), seed.hex().encode()):
        assert public_print("ES256", signer.public) in search_pasted(text).keys


def test_both_algorithms_of_a_keyring_are_known_by_their_seed(tmp_path: Path) -> None:
    keyring = Keyring(str(tmp_path))
    for algorithm in ("EdDSA", "ES256"):
        signer = keyring.create(algorithm)
        assert public_print(algorithm, signer.public) in of_seed((tmp_path / signer.kid).read_bytes())
    assert len(of_seed(bytes(32))) == 1, "zero is no scalar"


def test_our_own_fingerprints_are_those_of_the_library() -> None:
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert public_print("ES256", point) == print_of(P256)
    assert public_print("EdDSA", EDWARDS.public_key().public_bytes_raw()) == print_of(EDWARDS)
    for key in KEYS.values():
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        assert ssh_print(openssh.parse_public(line)) == print_of(key)


def test_an_encrypted_key_does_not_show_whose_it_is() -> None:
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        locked = searched(pem_of(P256, form, b"secret"))
        assert (locked.keys, locked.locked) == ({}, {UNREADABLE: 1})


def test_nobody_makes_a_key_pass_for_one_that_he_does_not_have() -> None:
    """A form may repeat the public half. The search ignores it, and derives the public half from the private one."""
    victim, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    theirs, mine = (
        key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for key in (victim, own)
    )
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        der = own.private_bytes(Encoding.DER, form, NoEncryption())
        assert der.count(mine) == 1
        forged = key_of(der.replace(mine, theirs))
        assert forged is None or forged.public == print_of(own)
    seed = EDWARDS.private_bytes_raw()
    other = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    file = openssh.private_file(seed, other, b"1234", "comment")
    assert set(searched(file).keys) <= {print_of(EDWARDS)}
    numbers = RSA.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        3,
        5,
        numbers.d,
        1,
        1,
        2,
        rsa.RSAPublicNumbers(65537, rsa.generate_private_key(65537, 2048).public_key().public_numbers().n),
    )
    try:
        unchecked = wrong.private_key(unsafe_skip_rsa_key_validation=True)
        assert searched(pem_of(unchecked)).keys == {}
    except ValueError:
        pass


def test_keys_of_sorts_that_are_never_certified_are_none() -> None:
    assert len(searched(dsa_key(1024))) == 0


@pytest.mark.parametrize("where", [BEFORE, BEFORE + 1, 5_000])
def test_every_cut_into_windows_finds_the_same(where: int) -> None:
    text = b"a" * 4_990 + pem_of(RSA).encode() + b"b" * 100
    finds = Finds()
    for first, last in ((0, where), (where, len(text))):
        start, end = max(0, first - BEFORE), min(len(text), last + AFTER)
        search(text[start:end], first - start, last - start, finds)
    assert finds.keys == {print_of(RSA): 1}


PEMS = [pem_of(P256).encode(), pem_of(EDWARDS, PrivateFormat.OpenSSH).encode()]


@given(st.sampled_from(PEMS), st.data())
def test_a_key_that_was_damaged_is_that_key_or_none(pem: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(pem) - 1))
    end = data.draw(st.integers(at, min(len(pem), at + 40)))
    changed = pem[:at] + data.draw(st.binary(max_size=20)) + pem[end:]
    found = searched(changed)
    assert len(found.keys) <= 1
    # A changed digit of the private half makes another valid key.
    if pem[at:end].strip(b"\r\n ") == b"" and changed[at : at + 1].isspace():
        assert set(found.keys) <= {print_of(P256), print_of(EDWARDS)}


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN PRIVATE KEY-----" * 1_000,
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n" * 10,
        b"-----BEGIN PRIVATE KEY-----\n" + b"MIGH" * 10_000 + b"\n-----END PRIVATE KEY-----",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----",
        b"-----BEGIN PRIVATE KEY-----\nMIGH\0AAAA-----END PRIVATE KEY-----",
        b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PRIVATE KEY----- -------------------------------------",
        b"\x30\x84\xff\xff\xff\xff\x06\x03\x2b\x65\x70" + b"a" * 40,
        b"\x30\x80\x06\x03\x2b\x65\x70" + b"a" * 40,
    ],
)
def test_what_only_looks_like_a_key_is_none(text: bytes) -> None:
    assert not searched(text).keys
    assert bare_key(text) is None


def test_a_key_itself_is_not_kept() -> None:
    secret = "".join(pem_of(P256).splitlines()[1:-1])
    finds = searched(pem_of(P256))
    assert secret[40:80] not in repr([list(each.items()) for each in finds._maps()])
    assert finds.pack() == Finds.unpack(finds.pack()).pack()


@pytest.mark.parametrize(
    "command",
    [
        ["genpkey", "-algorithm", "ed25519"],
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ["ecparam", "-name", "prime256v1", "-genkey"],
        ["genrsa", "-traditional", "2048"],
    ],
)
def test_what_openssl_writes_is_found(command: list[str]) -> None:
    openssl = need("openssl")
    text = subprocess.run([openssl, *command], capture_output=True, check=True).stdout
    public = ["pkey", "-pubout", "-outform", "DER"]
    der = subprocess.run([openssl, *public], input=text, capture_output=True, check=True).stdout
    assert searched(text).keys == {sha256(der).digest(): 1}


@pytest.mark.parametrize("form", ["", "PEM", "PKCS8"])
@pytest.mark.parametrize("sort", ["ed25519", "ecdsa", "rsa"])
def test_what_ssh_keygen_writes_is_found(tmp_path: Path, sort: str, form: str) -> None:
    if (sort, form) == ("ed25519", "PEM") or (sort, form) == ("ed25519", "PKCS8"):
        return
    path = tmp_path / "key"
    line = [need("ssh-keygen"), "-q", "-t", sort, "-N", "", "-f", str(path), *(["-m", form] if form else [])]
    subprocess.run(line, check=True)
    print_ = ssh_print(openssh.parse_public((tmp_path / "key.pub").read_text()))
    assert print_ is not None
    assert searched(path.read_bytes()).keys == {print_: 1}
    subprocess.run(
        [line[0], "-q", "-p", "-a", "1", "-N", "a passphrase", "-P", "", "-f", str(path)], check=True
    )
    assert searched(path.read_bytes()).locked == {print_: 1}
