"""How tokens of ours look: what tells one from other text, without a ledger and without a key."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator

OPAQUE_PREFIX = "jitid_"
SIGNED_MARK = "eyJqdGkiOiJqdGlf"
"""How the payload of each of our signed tokens begins: `{"jti":"jti_` in base64url."""
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
"""How a certificate in text begins (RFC 7468, section 5.1)."""
_SSH_CERTIFICATE = "-cert-v01@openssh.com "
"""How the type of an SSH certificate ends, which the line of one begins with (OpenSSH's PROTOCOL.certkeys)."""
_LONGEST_TYPE = 64
MAX_TOKEN = 16384
"""The longest token that is looked at, in bytes; a longer one is refused before anything is decoded."""
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 32
_DIGITS_LENGTH = RANDOM_LENGTH + 6
"""The random part and its checksum."""
_PREFIX_WORD = OPAQUE_PREFIX.removesuffix("_")
_LENGTH = len(OPAQUE_PREFIX) + _DIGITS_LENGTH
_BASE64URL = DIGITS + "-_"
_TELLING_LENGTH = 12
"""So much of a token, behind its prefix, is too much to be kept."""
_SIGNATURE_LENGTH = 80
"""A signature has 86 characters; some may be missing."""


def is_opaque(text: str) -> bool:
    """Say whether the text has the shape and the checksum of an opaque token: a typo is found offline."""
    if len(text) != _LENGTH or not text.startswith(OPAQUE_PREFIX):
        return False
    digits = text[len(OPAQUE_PREFIX) :]
    if digits.strip(DIGITS):
        return False
    return checksum(digits[:RANDOM_LENGTH].encode("ascii")) == digits[RANDOM_LENGTH:]


def is_ssh_certificate(text: str) -> bool:
    """Say whether a text is meant to be the line of an SSH certificate."""
    return _SSH_CERTIFICATE in text[:_LONGEST_TYPE]


def holds_token(text: str) -> bool:
    """Say whether a token of ours, or what is enough of one, stands somewhere in a text that people write.

    Enough is `jitid_` (also with the underscore as `%5F`) and 12 base62 characters; 32 base62 characters in a row, as
    the random part of an opaque token is, or it whole in base64; 80 base64url characters in a row, as a signature has
    86; or how the payload of a signed token begins. A row counts only if it has lower case, upper case and digits:
    hashes in hexadecimal and rows of one letter have not, and of random parts one in 270 has not.
    """
    if SIGNED_MARK in text:
        return True
    # The usual case, decided without a search: too short for a row that counts without a prefix.
    if len(text) < RANDOM_LENGTH and _PREFIX_WORD not in text:
        return False
    if any(len(run) >= _TELLING_LENGTH for run in _prefixed(text)):
        return True
    return any(_is_mixed(run) for run in _runs(text, DIGITS, RANDOM_LENGTH)) or any(
        _is_mixed(run) for run in _runs(text, _BASE64URL, _SIGNATURE_LENGTH)
    )


def names_token(text: str) -> bool:
    """Say whether a token of ours stands in what is to be a name, a scope or an audience.

    Those are often made by others, and as random as our tokens: subjects of ID tokens, ids of clients. So what has not
    our prefix must have the checksum to count; and a name may well be `jitid_documentation`.
    """
    if SIGNED_MARK in text:
        return True
    # As above.
    if len(text) < _DIGITS_LENGTH and _PREFIX_WORD not in text:
        return False
    if any(len(run) >= _TELLING_LENGTH and _is_mixed(run) for run in _prefixed(text)):
        return True
    return any(
        is_opaque(OPAQUE_PREFIX + run[at : at + _DIGITS_LENGTH])
        for run in _runs(text, DIGITS, _DIGITS_LENGTH)
        for at in range(len(run) - _DIGITS_LENGTH + 1)
    )


def _prefixed(text: str) -> Iterator[str]:
    """Yield the base62 characters behind each of our prefixes."""
    if _PREFIX_WORD not in text:
        return
    text = text.replace("%5f", "_").replace("%5F", "_")
    for part in text.split(OPAQUE_PREFIX)[1:]:
        yield next(_runs(part, DIGITS, 0))


def _runs(text: str, alphabet: str, length: int) -> Iterator[str]:
    """Yield each longest row of at least `length` characters of an alphabet."""
    if len(text) < length:
        return
    start = 0
    # A regular expression would do; but loading `re` takes longer than an issue may.
    for at, character in enumerate(text):
        if character not in alphabet:
            if at - start >= length:
                yield text[start:at]
            start = at + 1
    if len(text) - start >= length:
        yield text[start:]


def _is_mixed(run: str) -> bool:
    """Say whether a row has lower case, upper case and digits."""
    return run.lower() != run != run.upper() and any(map(str.isdigit, run))


def checksum(digits: bytes) -> str:
    """Return the last characters of an opaque token, by those after its prefix."""
    # CRC-32 in base62, the most significant digit first; 62**6 > 2**32, so that all of it fits.
    rest, sixth = divmod(crc32(digits), 62)
    rest, fifth = divmod(rest, 62)
    rest, fourth = divmod(rest, 62)
    rest, third = divmod(rest, 62)
    first, second = divmod(rest, 62)
    table = DIGITS
    return f"{table[first]}{table[second]}{table[third]}{table[fourth]}{table[fifth]}{table[sixth]}"
