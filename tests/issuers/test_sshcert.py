"""SSH certificates: the contents that `ssh-keygen` and `cryptography` read, and the refusals."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.crypto import openssh
from jitid.errors import ConfigurationError, UsageError
from jitid.issuers.issuer import Draft, Ids, Minted, Order
from jitid.issuers.ssh_cert import EXTENSIONS, SshCertIssuer, callers_key, serial_of
from jitid.keys.keyring import Signer
from jitid.values.ids import credential_id, identity_id, new_uuid7
from tests.real import dsa_key, need, openssl

NOW = 1_795_521_600


def signer(seed: bytes = b"\1" * 32) -> Signer:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return Signer("ca", "EdDSA", key.public_key().public_bytes_raw(), key.sign)


def draft(**changes: Any) -> Draft:
    usual = Draft(
        "urn:jitid:test", "jitid.test", "user:alice", "asserted", (), "deployer", "INC-1", None, "moderate", 0,
        (), ("urn:jitid:test",), None, NOW, NOW + 900, registered=True,
    )  # fmt: skip
    return usual._replace(**changes)


def new_ids() -> Ids:
    return Ids(
        identity_id(new_uuid7(NOW * 1000, os.urandom(10))),
        credential_id(new_uuid7(NOW * 1000, os.urandom(10))),
    )


def mint(names: Ids | None = None, **changes: Any) -> Minted:
    (made,) = SshCertIssuer(signer()).mint([Order(draft(**changes), [names or new_ids()])])
    return made


def from_template(options: Mapping[str, Any]) -> Minted:
    return mint(template="web", options=options)


def read(made: Minted) -> serialization.SSHCertificate:
    """Return a certificate, parsed by `cryptography`, which checks the signature."""
    found = serialization.load_ssh_public_identity(made.secret.reveal("certificate").encode())
    assert isinstance(found, serialization.SSHCertificate)
    found.verify_cert_signature()
    return found


def test_a_certificate_says_who_may_use_it_and_until_when() -> None:
    names = new_ids()
    made = mint(names)
    found = read(made)
    assert found.type is serialization.SSHCertificateType.USER
    assert found.valid_principals == [b"agent:deployer", names.id.encode()]
    assert (found.valid_after, found.valid_before) == (NOW - 60, NOW + 900)
    assert found.key_id == names.jti.encode()
    assert found.serial == serial_of(names.jti)
    assert found.critical_options == found.extensions == {}
    key = serialization.load_ssh_private_key(made.secret.reveal("key").encode(), None)
    assert key.public_key().public_bytes_raw() == found.public_key().public_bytes_raw()  # type: ignore[union-attr]


def test_the_name_of_an_agent_that_nobody_registered_is_no_principal() -> None:
    """The caller chose that name. A certificate without principals would permit every login."""
    names = new_ids()
    assert read(mint(names, registered=False, agent="root")).valid_principals == [names.id.encode()]
    assert read(from_template({"principals": ["deploy"]})).valid_principals == [b"deploy"]


def test_what_is_kept_is_of_the_blob_and_of_what_was_signed() -> None:
    made = mint()
    parsed = openssh.parse_certificate(made.secret.reveal("certificate"))
    assert made.fingerprint == sha256(parsed.blob).digest()
    assert made.claims_hash == sha256(parsed.signed).digest()
    assert parsed.blob.startswith(parsed.signed)
    Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key().verify(parsed.signature, parsed.signed)
    with pytest.raises(InvalidSignature):
        Ed25519PrivateKey.from_private_bytes(b"\2" * 32).public_key().verify(parsed.signature, parsed.signed)


def test_ssh_keygen_reads_what_a_template_says(tmp_path: Path) -> None:
    names = new_ids()
    made = mint(
        names,
        template="web",
        options={
            "principals": ["deploy", "web:restart"],
            "source_address": ["192.0.2.0/24", "2001:db8::1"],
            "force_command": "/usr/bin/systemctl restart web",
            "extensions": ["permit-pty", "permit-agent-forwarding"],
        },
    )
    (tmp_path / "key").write_text(made.secret.reveal("key"))
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "key-cert.pub").write_text(made.secret.reveal("certificate") + "\n")
    shown = subprocess.run(
        [need("ssh-keygen"), "-L", "-f", "key-cert.pub"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = " ".join(shown.split())
    assert f'Key ID: "{names.jti}"' in words
    assert f"Serial: {serial_of(names.jti)}" in words
    assert "Principals: deploy web:restart Critical" in words
    assert "force-command /usr/bin/systemctl restart web source-address 192.0.2.0/24,2001:db8::1/128" in words
    assert words.endswith("Extensions: permit-agent-forwarding permit-pty")
    public = subprocess.run(
        [need("ssh-keygen"), "-y", "-f", "key"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert openssh.parse_public(public) == openssh.parse_certificate(made.secret.reveal("certificate")).key


def test_without_extensions_nothing_is_permitted_besides() -> None:
    assert read(from_template({"principals": ["deploy"]})).extensions == {}


@pytest.mark.parametrize("count", [1, 3])
def test_each_certificate_has_a_key_a_serial_and_a_nonce_of_its_own(count: int) -> None:
    made = SshCertIssuer(signer()).mint([Order(draft(), [new_ids() for _ in range(count)])])
    found = [read(one) for one in made]
    assert len({one.serial for one in found}) == len({one.nonce for one in found}) == count
    assert len({one.secret.reveal("key") for one in made}) == count


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "0 principals"),
        ({"principals": []}, "0 principals"),
        ({"principals": ["a"] * 257}, "257 principals"),
        ({"principals": "deploy"}, "must be a list of texts"),
        ({"principals": [1]}, "must be a list of texts"),
        ({"principals": ["deploy,root"]}, "a principal is not a valid name"),
        ({"principals": ["deploy\nroot"]}, "a principal is not a valid name"),
        ({"principals": ["deploy root"]}, "a principal is not a valid name"),
        ({"principals": ["*"]}, "a principal is not a valid name"),
        ({"principals": [""]}, "a principal is not a valid name"),
        ({"principals": ["-oProxyCommand"]}, "a principal is not a valid name"),
        ({"principals": ["root\0"]}, "a principal is not a valid name"),
        ({"principals": ["d"], "force_command": "ls\nrm"}, "must be a single line"),
        ({"principals": ["d"], "force_command": "ls\0"}, "must be a single line"),
        ({"principals": ["d"], "force_command": ""}, "force_command must be a text"),
        ({"principals": ["d"], "force_command": ["ls"]}, "force_command must be a text"),
        ({"principals": ["d"], "source_address": []}, "is empty"),
        ({"principals": ["d"], "source_address": ["192.0.2.1/24"]}, "invalid address or network"),
        ({"principals": ["d"], "source_address": ["192.0.2.0/24,0.0.0.0/0"]}, "invalid address or network"),
        ({"principals": ["d"], "source_address": ["!192.0.2.1"]}, "invalid address or network"),
        ({"principals": ["d"], "extensions": ["permit-everything"]}, "unknown extension"),
        ({"principals": ["d"], "extensions": ["force-command"]}, "unknown extension"),
        ({"principals": ["d"], "forced_command": "ls"}, "'forced_command'"),
    ],
)
def test_a_template_that_cannot_be_meant_makes_nothing(options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        from_template(options)


def test_an_empty_table_of_a_template_is_no_certificate_for_everybody() -> None:
    with pytest.raises(ConfigurationError, match="0 principals"):
        mint(template="web")


def line_of(key: Any) -> str:
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return str(key.public_key().public_bytes(*form).decode())


def pem_of(key: Any) -> str:
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(*form).decode())


KEYS = {
    "ed25519": Ed25519PrivateKey.generate(),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "rsa": rsa.generate_private_key(65537, 3072),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("spell", [line_of, pem_of], ids=["line", "pem"])
def test_the_callers_own_key_is_certified(name: str, spell: Any) -> None:
    made = mint(public_key=spell(KEYS[name]))
    assert made.secret.names == ("certificate",)
    found = read(made).public_key()
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    assert found.public_bytes(*form) == KEYS[name].public_key().public_bytes(*form)  # type: ignore[attr-defined]


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60)


@settings(deadline=None)
@given(
    key=st.sampled_from(list(KEYS)),
    jti=st.binary(min_size=16, max_size=16),
    life=st.integers(1, 4_000_000_000),
    agent=st.text("abc.:/@", min_size=1, max_size=128),
    principals=st.lists(st.text("abc.:/@_+", min_size=1, max_size=128), max_size=20),
    command=st.none() | TEXTS,
    extensions=st.lists(st.sampled_from(EXTENSIONS), unique=True),
)
def test_a_certificate_is_the_one_that_the_library_makes(
    key: str,
    jti: bytes,
    life: int,
    agent: str,
    principals: list[str],
    command: str | None,
    extensions: list[str],
) -> None:
    names = Ids(identity_id(b"\1" * 16), credential_id(jti))
    table: dict[str, Any] = {"principals": principals, "extensions": extensions}
    if command is not None:
        table["force_command"] = command
    template = {"template": "web", "options": table} if principals else {"agent": agent}
    made = mint(names, public_key=line_of(KEYS[key]), expires_at=NOW + life, **template)
    builder = (
        serialization.SSHCertificateBuilder()
        .public_key(KEYS[key].public_key())  # type: ignore[attr-defined]
        .serial(int.from_bytes(jti[8:]))
        .type(serialization.SSHCertificateType.USER)
        .key_id(names.jti.encode())
        .valid_principals([one.encode() for one in principals or (f"agent:{agent}", names.id)])
        .valid_after(NOW - 60)
        .valid_before(NOW + life)
    )
    if principals:
        for extension in extensions:
            builder = builder.add_extension(extension.encode(), b"")
        if command is not None:
            builder = builder.add_critical_option(b"force-command", command.encode())
    by_the_library = builder.sign(Ed25519PrivateKey.from_private_bytes(b"\1" * 32)).public_bytes().decode()
    ours = made.secret.reveal("certificate")
    assert parts_of(ours) == parts_of(by_the_library)
    read(made)


def parts_of(line: str) -> tuple[bytes, bytes, int, int]:
    """Return all signed bytes without the nonce, and the lengths of the nonce and of the whole certificate."""
    parsed = openssh.parse_certificate(line)
    reader = openssh.Reader(parsed.signed)
    kind, nonce = reader.string(), reader.string()
    return kind, parsed.signed[reader.at :], len(nonce), len(parsed.blob)


def security_key() -> str:
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    kind = "sk-ssh-ed25519@openssh.com"
    return openssh.line(kind, openssh.strings((kind, public, "ssh:")))


def test_a_key_that_never_leaves_its_token_is_certified(tmp_path: Path) -> None:
    made = mint(public_key=security_key())
    (tmp_path / "cert.pub").write_text(made.secret.reveal("certificate"))
    shown = subprocess.run(
        [need("ssh-keygen"), "-L", "-f", "cert.pub"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "sk-ssh-ed25519-cert-v01@openssh.com user certificate" in shown


def weak() -> list[tuple[str, str]]:
    short = rsa.generate_private_key(65537, 2048)
    good = line_of(KEYS["ed25519"])
    kind, blob = good.split()
    cert = mint().secret.reveal("certificate")
    private = mint().secret.reveal("key")
    curve = "ecdsa-sha2-nistp256"
    return [
        ("short rsa", line_of(short)),
        ("short rsa, pem", pem_of(short)),
        ("curve25519 elsewhere", pem_of(ec.generate_private_key(ec.SECP256K1()))),
        ("nothing", ""),
        ("a word", "ssh-ed25519"),
        ("cut off", f"{kind} {blob[:-8]}"),
        ("more behind", f"{kind} {blob}AAAA"),
        ("of another type", f"ssh-rsa {blob}"),
        ("two lines", f"{good}\n{good}"),
        ("options before", f'command="id" {good}'),
        ("a certificate", cert),
        ("a private key", private),
        ("long", f"{good} {'x' * 20_000}"),
        ("not ascii", f"{good} \u202e"),
        ("a point that is none", openssh.line(curve, openssh.strings((curve, "nistp256", b"\4" + b"\1" * 64)))),
    ]  # fmt: skip


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in weak()])
def test_no_other_key_is(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        callers_key(text)
    assert not text.strip() or text not in str(refused.value)


def test_no_key_of_a_type_that_libraries_give_up_is() -> None:
    with pytest.raises(UsageError):
        callers_key(openssl("pkey", "-pubout", given=dsa_key(2048)))


def test_a_key_of_the_caller_may_have_a_comment() -> None:
    line = line_of(KEYS["ed25519"])
    assert callers_key(f'{line} alice@laptop, or "what" they like\n') == callers_key(line)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=4, max_size=4), st.text("abc_0", max_size=40))
def test_a_private_key_comes_back_out_of_its_file(seed: bytes, check: bytes, comment: str) -> None:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    text = openssh.private_file(seed, public, check, comment)
    assert openssh.parse_private(text) == (seed, public)
    loaded = serialization.load_ssh_private_key(text.encode(), None)
    assert loaded.private_bytes_raw() == seed  # type: ignore[union-attr]


@given(st.data())
def test_no_changed_certificate_reads_as_the_same(data: st.DataObject) -> None:
    line = CERTIFICATE
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(min_codepoint=1, max_codepoint=0x2FF))
    changed = line[:at] + other + line[at + 1 :]
    try:
        found = openssh.parse_certificate(changed)
    except ValueError:
        return
    before = openssh.parse_certificate(line)
    key = Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key()
    same = found.blob == before.blob
    try:
        key.verify(found.signature, found.signed)
    except InvalidSignature:
        assert not same
        return
    assert same


CERTIFICATE = mint().secret.reveal("certificate").rpartition(" ")[0]


@given(st.binary(max_size=600))
def test_what_is_no_certificate_raises_value_errors_alone(blob: bytes) -> None:
    kind = "ssh-ed25519-cert-v01@openssh.com"
    for text in (openssh.line(kind, blob), openssh.line(kind, openssh.string(kind) + blob)):
        with pytest.raises(ValueError):
            openssh.parse_certificate(text)


def signed_line(
    key_id: bytes = b"jti",
    principals: bytes = openssh.string("deploy"),
    critical: bytes = b"",
    extensions: bytes = b"",
    reserved: bytes = b"",
    behind_signature: bytes = b"",
    behind: bytes = b"",
) -> str:
    """Return a certificate with arbitrary content, signed by the authority."""
    key = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    public = key.public_key().public_bytes_raw()
    kind = "ssh-ed25519-cert-v01@openssh.com"
    head = openssh.strings((kind, b"\2" * 32, public)) + (7).to_bytes(8) + (1).to_bytes(4)
    times = (NOW).to_bytes(8) + (NOW + 900).to_bytes(8)
    signed = b"".join(
        [
            head,
            openssh.strings((key_id, principals)),
            times,
            openssh.strings((critical, extensions, reserved, openssh.public_blob(public))),
        ]
    )
    signature = openssh.strings(("ssh-ed25519", key.sign(signed)))
    return openssh.line(kind, signed + openssh.string(signature + behind_signature) + behind)


PTY = openssh.strings(("permit-pty", ""))
SPELLINGS = {
    "a tab": lambda line: line.replace(" ", "\t", 1),
    "a blank within": lambda line: line[:60] + " " + line[60:],
    "another character within": lambda line: line[:60] + "*" + line[60:],
    "more padding": lambda line: line + "====",
    "an escape sequence in the comment": lambda line: line + " \x1b[2J",
    "two lines": lambda line: f"{line}\n{line}",
}


@pytest.mark.parametrize(
    "content",
    [
        {"key_id": b"jti\nother"},
        {"key_id": b"\xff"},
        {"principals": openssh.string("a\nroot")},
        {"principals": openssh.string(b"\xff")},
        {"principals": b"\0\0\0\5root"},
        {"extensions": PTY * 2},
        {"critical": openssh.string("force-command") + openssh.string("ls")},
        {"critical": openssh.string("force-command") + openssh.string(openssh.string("ls") + b"x")},
        {"reserved": b"x"},
        {"behind_signature": b"\0"},
        {"behind": b"\0"},
    ],
    ids=str,
)
def test_the_signature_of_the_authority_does_not_excuse_a_wrong_form(content: dict[str, bytes]) -> None:
    assert openssh.parse_certificate(signed_line(extensions=PTY)).extensions == {"permit-pty": ""}
    with pytest.raises(ValueError):
        openssh.parse_certificate(signed_line(**content))


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_a_certificate_has_one_spelling(spell: Any) -> None:
    line = signed_line()
    assert openssh.parse_certificate(line).key_id == "jti"
    with pytest.raises(ValueError):
        openssh.parse_certificate(spell(line))
