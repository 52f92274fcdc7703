"""Key revocation lists of OpenSSH, by which hosts refuse certificates (OpenSSH's PROTOCOL.krl)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jitid.crypto.openssh import string

ANY = b""
"""The key for every authority."""

_MAGIC = 0x5353484B524C0A00
"""`SSHKRL` and a line break."""
_FORMAT = 1
_CERTIFICATES = b"\x01"
_EXPLICIT_KEY = b"\x02"
_SERIAL_LIST = b"\x20"
_KEY_ID = b"\x23"
_DATED = slice(12, 28)
"""Version and time, after the magic number and the format."""


class RevokedCertificate(NamedTuple):
    """The entry of a certificate in a list."""

    serial: int
    key_id: str


def encode(
    certificates: Mapping[bytes, Sequence[RevokedCertificate]], keys: Sequence[bytes], now: int, comment: str
) -> bytes:
    """Return a list of certificates by the authorities that signed them, and of revoked keys.

    Authorities and keys are public keys in the encoding of SSH; revoking the key of an authority revokes everything it
    signed. `now` is seconds since the epoch; it is the list's version too, so that a later list has a higher number. A
    certificate is listed by serial number and by key id: either of them is enough.
    """
    data = _MAGIC.to_bytes(8) + _FORMAT.to_bytes(4) + now.to_bytes(8) + now.to_bytes(8) + (0).to_bytes(8)
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


def same(first_list: bytes, second_list: bytes) -> bool:
    """Return whether two lists revoke the same certificates and keys, regardless of their times."""
    undated = [data[: _DATED.start] + data[_DATED.stop :] for data in (first_list, second_list)]
    return undated[0] == undated[1]
