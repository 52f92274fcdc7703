"""The binary forms of OpenSSH: strings and numbers of the protocol, public keys, private keys, certificates.

The forms are those of RFC 4251 (section 5), RFC 4253 (section 6.6) and OpenSSH's PROTOCOL.certkeys and PROTOCOL.key.
The SSH module of `cryptography` writes the same bytes; the tests compare the two. It does not replace this module:

- It certifies no security keys (`sk-ssh-ed25519@openssh.com`), and does not return the signed part of a certificate.
- It accepts a second spelling of a certificate, reserved data, and line breaks in a key id or a principal.
- It costs `jitid issue --kind ssh-cert` a sixth of its time, and each certificate of many 1.9 times as much.

And key revocation lists, by which hosts refuse certificates (OpenSSH's PROTOCOL.krl).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping, Sequence

from jitid.values.record import Record

ED25519 = "ssh-ed25519"
USER_CERTIFICATE = 1
MAX_LINE = 16384
"""The longest line that is read, in bytes."""

_MAGIC = b"openssh-key-v1\0"
_BLOCK = 8
_WIDTH = 70
_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END = "-----END OPENSSH PRIVATE KEY-----"

# The number of strings after the type in a public key (RFC 4253, section 6.6; RFC 5656, section 3.1; RFC 8709, section
# 4; and OpenSSH's PROTOCOL.u2f). A certificate repeats them.
_FIELDS = {
    ED25519: 1,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "ssh-rsa": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
_VENDOR = "@openssh.com"
_CERTIFICATE = "-cert-v01@openssh.com"
CERTIFICATE_TYPES = {name.removesuffix(_VENDOR) + _CERTIFICATE: name for name in _FIELDS}
"""The type of the key in a certificate, by the type of the certificate."""


def string(data: bytes | str) -> bytes:
    """Return a string with its length in front (RFC 4251, section 5)."""
    raw = data if isinstance(data, bytes) else data.encode("ascii")
    return len(raw).to_bytes(4) + raw


def strings(items: Iterable[bytes | str]) -> bytes:
    """Return the concatenation of strings."""
    return b"".join([string(item) for item in items])


_ALONE = strings((b"none", b"none", b"")) + (1).to_bytes(4)
"""The start of a private key file with neither cipher nor passphrase, and one key."""


class PublicKey(Record):
    """A public key of a type that can be certified."""

    type: str
    blob: bytes

    @property
    def fields(self) -> bytes:
        """The part of the key that a certificate repeats: all except the type."""
        return self.blob[4 + len(self.type) :]

    @property
    def certificate_type(self) -> str:
        """The type of a certificate for this key."""
        return self.type.removesuffix(_VENDOR) + _CERTIFICATE


class Certificate(Record):
    """A parsed certificate; its contents are untrusted until the signature is verified."""

    key: PublicKey
    serial: int
    sort: int
    """1 for users, 2 for hosts."""
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    """In seconds since the epoch, like `valid_before`, the first second at which it is no longer valid."""
    valid_before: int
    critical: dict[str, str]
    extensions: dict[str, str]
    authority: bytes
    """The public key of the stated signer."""
    signed: bytes
    """The signed bytes."""
    signature: bytes
    """An Ed25519 signature: 64 bytes."""
    blob: bytes


def options(values: Iterable[tuple[str, str]]) -> bytes:
    """Return critical options or extensions: in the order of their names, values as nested strings."""
    return b"".join(
        [string(name) + string(string(value) if value else b"") for name, value in sorted(values)]
    )


def public_blob(public: bytes) -> bytes:
    """Return an Ed25519 public key (32 bytes) in the encoding of SSH (RFC 8709, section 4)."""
    return string(ED25519) + string(public)


def line(type_: str, blob: bytes, comment: str = "") -> str:
    """Return a key or certificate as a line of text."""
    return f"{type_} {binascii.b2a_base64(blob, newline=False).decode('ascii')} {comment}".rstrip()


class Reader:
    """A sequential reader of binary data. Raises ValueError, without the data, if data is missing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        end = self.at + size
        if end > len(self._data):
            raise ValueError("cut off")
        taken, self.at = self._data[self.at : end], end
        return taken

    def number(self, size: int) -> int:
        """Return the next number, which has `size` bytes."""
        return int.from_bytes(self.take(size))

    def string(self) -> bytes:
        """Return the next string."""
        return self.take(self.number(4))

    def text(self) -> str:
        """Return the next string, of printable ASCII."""
        text = self.string().decode("ascii")
        if not text.isprintable():
            raise ValueError("not printable")
        return text

    @property
    def rest(self) -> bool:
        """Whether unread data is left."""
        return self.at < len(self._data)

    def end(self) -> None:
        """Raise ValueError if unread data is left."""
        if self.rest:
            raise ValueError("too long")


def parse_public(text: str) -> PublicKey:
    """Return the key in the line of a public key: type, base64, and comment. Raise ValueError for other text."""
    type_, blob = _line(text)
    if type_ not in _FIELDS:
        raise ValueError("not a supported public key")
    return _public(type_, blob)


def _public(type_: str, blob: bytes) -> PublicKey:
    reader = Reader(blob)
    if reader.text() != type_:
        raise ValueError("two types")
    for _ in range(_FIELDS[type_]):
        reader.string()
    reader.end()
    return PublicKey(type_, blob)


def parse_certificate(text: str) -> Certificate:
    """Return the certificate from its line, in its only spelling; Ed25519 must have signed it.

    Raises ValueError, without the text, for any other text.
    """
    type_, blob = _line(text)
    if type_ not in CERTIFICATE_TYPES:
        raise ValueError("not a certificate")
    reader = Reader(blob)
    if reader.text() != type_:
        raise ValueError("two types")
    reader.string()  # the nonce
    start = reader.at
    key_type = CERTIFICATE_TYPES[type_]
    for _ in range(_FIELDS[key_type]):
        reader.string()
    key = PublicKey(key_type, string(key_type) + blob[start : reader.at])
    serial, kind = reader.number(8), reader.number(4)
    key_id = reader.text()
    inner = Reader(reader.string())
    principals = []
    while inner.rest:
        principals.append(inner.text())
    valid_after, valid_before = reader.number(8), reader.number(8)
    critical, extensions = _options(reader.string()), _options(reader.string())
    if reader.string():
        raise ValueError("reserved")
    authority = reader.string()
    signed = blob[: reader.at]
    signature = Reader(reader.string())
    reader.end()
    if signature.text() != ED25519 or not authority.startswith(string(ED25519)):
        raise ValueError("unsupported signature")
    raw = signature.string()
    signature.end()
    return Certificate(
        key,
        serial,
        kind,
        key_id,
        tuple(principals),
        valid_after,
        valid_before,
        critical,
        extensions,
        authority,
        signed,
        raw,
        blob,
    )


def _line(text: str) -> tuple[str, bytes]:
    if len(text) > MAX_LINE or not text.isascii():
        raise ValueError("not a public key line")
    type_, _, remainder = text.strip(" \t\r\n").partition(" ")
    encoded, _, comment = remainder.lstrip(" ").partition(" ")
    if any(not character.isprintable() for character in comment):
        raise ValueError("more than a line")
    blob = binascii.a2b_base64(encoded, strict_mode=True)
    # Otherwise one key would have several spellings, and the text several fingerprints.
    if binascii.b2a_base64(blob, newline=False).decode("ascii") != encoded:
        raise ValueError("not canonical base64")
    return type_, blob


def _options(data: bytes) -> dict[str, str]:
    reader = Reader(data)
    parsed: dict[str, str] = {}
    while reader.rest:
        name, value = reader.text(), Reader(reader.string())
        if name in parsed:
            raise ValueError("an option twice")
        parsed[name] = value.text() if value.rest else ""
        value.end()
    return parsed


def private_file(seed: bytes, public: bytes, check: bytes, comment: str) -> str:
    """Return an Ed25519 key in OpenSSH's file format, without a passphrase (PROTOCOL.key).

    `check` is four random bytes, which the file contains twice.
    """
    inner = check + check + string(ED25519) + string(public) + string(seed + public) + string(comment)
    inner += bytes(range(1, 1 + -len(inner) % _BLOCK))
    data = _MAGIC + _ALONE + string(public_blob(public)) + string(inner)
    text = binascii.b2a_base64(data, newline=False).decode("ascii")
    lines = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def shown_public(raw: bytes) -> tuple[str, PublicKey]:
    """Return the cipher and the unencrypted public key of a private key file, decoded from its base64.

    The private half may belong to another key. Raises ValueError for anything but a file of one key.
    """
    reader = Reader(raw)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise ValueError("not a private key")
    cipher = reader.text()
    reader.string()  # the parameters of the key derivation
    reader.string()
    if reader.number(4) != 1:
        raise ValueError("not one key")
    blob = reader.string()
    type_ = Reader(blob).text()
    if type_ not in _FIELDS:
        raise ValueError("not a supported public key")
    return cipher, _public(type_, blob)


def parse_private(text: str) -> tuple[bytes, bytes]:
    """Return the seed and the public key from a file of `private_file`. Raise ValueError for other text."""
    lines = text.split("\n")
    if len(text) > MAX_LINE or lines[0] != _BEGIN or lines[-2:] != [_END, ""]:
        raise ValueError("not a private key")
    reader = Reader(binascii.a2b_base64("".join(lines[1:-2]), strict_mode=True))
    if reader.take(len(_MAGIC)) != _MAGIC or reader.take(len(_ALONE)) != _ALONE:
        raise ValueError("not a single private key without a passphrase")
    outer = _public(ED25519, reader.string())
    inner = Reader(reader.string())
    if inner.take(4) != inner.take(4) or inner.text() != ED25519:
        raise ValueError("not an Ed25519 private key")
    public, private = inner.string(), inner.string()
    if public_blob(public) != outer.blob or len(private) != 64 or private[32:] != public:
        raise ValueError("two keys")
    return private[:32], public


ANY = b""
"""The key for every authority."""

_KRL_MAGIC = 0x5353484B524C0A00
"""`SSHKRL` and a line break."""
_FORMAT = 1
_CERTIFICATES = b"\x01"
_EXPLICIT_KEY = b"\x02"
_SERIAL_LIST = b"\x20"
_KEY_ID = b"\x23"
_DATED = slice(12, 28)
"""Version and time, after the magic number and the format."""


class RevokedCertificate(Record):
    """The entry of a certificate in a list."""

    serial: int
    key_id: str


def encode_krl(
    certificates: Mapping[bytes, Sequence[RevokedCertificate]], keys: Sequence[bytes], now: int, comment: str
) -> bytes:
    """Return a list of certificates by the authorities that signed them, and of revoked keys.

    Authorities and keys are public keys in the encoding of SSH; revoking the key of an authority revokes everything it
    signed. `now` is seconds since the epoch; it is the list's version too, so that a later list has a higher number. A
    certificate is listed by serial number and by key id: either of them is enough.
    """
    data = _KRL_MAGIC.to_bytes(8) + _FORMAT.to_bytes(4) + now.to_bytes(8) + now.to_bytes(8) + (0).to_bytes(8)
    data += string(b"") + string(comment)
    for authority, revoked in certificates.items():
        serials = b"".join(
            [serial.to_bytes(8) for serial in sorted({certificate.serial for certificate in revoked})]
        )
        ids = b"".join([string(key_id) for key_id in sorted({certificate.key_id for certificate in revoked})])
        section = string(authority) + string(b"")
        if revoked:
            section += _SERIAL_LIST + string(serials) + _KEY_ID + string(ids)
        data += _CERTIFICATES + string(section)
    if keys:
        data += _EXPLICIT_KEY + string(b"".join([string(key) for key in keys]))
    return data


def same_krl(first_list: bytes, second_list: bytes) -> bool:
    """Return whether two lists revoke the same certificates and keys, regardless of their times."""
    undated = [data[: _DATED.start] + data[_DATED.stop :] for data in (first_list, second_list)]
    return undated[0] == undated[1]
