"""Search for jitid strings in a short pasted text: wrapped, quoted, encoded, or without the beginning."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set as AbstractSet
from hashlib import sha256

from jitid.crypto import openssh
from jitid.crypto.private_key import SEED, bare_key, of_seed
from jitid.search.encodings import TO_STANDARD, from_base64, peeled
from jitid.search.find import PEM, Finds, print_of
from jitid.search.hidden import HiddenSearch
from jitid.search.strings import ALL, add

LONGEST = 1 << 16
"""The longest text that is searched this thoroughly, in bytes."""

SHORTEST = 12
"""The minimum number of characters of a secret: shorter words are frequent and never secrets."""

_DIGITS = re.compile(rb"[0-9A-Za-z_+/-]{24,}")
_BREAK = re.compile(rb"[\r\n]+[\t >|]*")
_SSH_CERTIFICATE = re.compile(
    rb"(?<![\w.@-])([\w.@-]{1,40}-cert-v01@openssh\.com)[ \t]+([0-9A-Za-z+/]{64,}={0,2})"
)
_DER = b"0\x82"
"""The beginning of a certificate in binary form."""
# The words of a text, without surrounding quotation marks, list marks and brackets.
_SECRET = re.compile(rb"[^\s\"'`<>,;|(){}\[\]]{12,4096}")
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{1,40}-----\r?\n(?:[^-]|-(?!----)){1,16384}+-----END [A-Z0-9 ]{1,40}-----"
)
_MOST_SECRETS = 5_000


def search_pasted(text: bytes, missed: Counter[str] | None = None) -> Finds:
    """Return each jitid string in a text, even if it was changed in transit, and the words that may be secrets.

    All layers of `encodings` are removed everywhere; keys in DER and in the form of a keyring are found too. `missed`
    counts the parts that could not be searched.
    """
    named_finds, original = Finds(), text
    text = _SSH_CERTIFICATE.sub(lambda match: _named(match, named_finds), text)
    text = PEM.sub(lambda match: _printed(match, named_finds), text)
    finds = Finds()
    search = HiddenSearch(ALL, closely=True)
    add(finds, search.found(text, 0, len(text), finds))
    if missed is not None:
        missed.update(reason for reason, _ in search.missed)
    finds.add(named_finds)
    if text.startswith(_DER):
        finds.prints.setdefault(sha256(text).digest(), 1)
    _add_bare(finds, text)
    for raw in tuple(finds.prints):
        _add_bare(finds, raw)
    for layer in peeled(text, 0, len(text)):
        words = {*_DIGITS.findall(layer.text), *_DIGITS.findall(_BREAK.sub(b"", layer.text))}
        for word in words:
            _add_bare(finds, from_base64(word.translate(TO_STANDARD)))
    finds.secrets = _secrets(original, {id_.encode() for id_ in finds.ids})
    return finds


def _secrets(text: bytes, ids: AbstractSet[bytes]) -> dict[bytes, int]:
    """Return the fingerprints of possible secrets: each word, the text after `=` or `:` in it, and each PEM block.

    Ids do not count as secrets.
    """
    prints: dict[bytes, int] = {}
    # JSON and shell variables write line breaks in this form.
    plain = text.replace(b"\\n", b"\n").replace(b"\r\n", b"\n")
    for block in _PEM.findall(plain):
        for spelling in (block, block + b"\n"):
            prints[sha256(spelling).digest()] = 1
    for word in _SECRET.findall(text):
        if len(prints) >= _MOST_SECRETS:
            break
        spellings = {word, word.rstrip(b".:!?")}
        spellings |= {spelling.partition(mark)[2] for spelling in tuple(spellings) for mark in (b"=", b":")}
        for spelling in spellings:
            if len(spelling) >= SHORTEST and spelling not in ids:
                print_ = sha256(spelling).digest()
                prints[print_] = prints.get(print_, 0) + 1
    return prints


def _named(match: re.Match[bytes], finds: Finds) -> bytes:
    """Record the fingerprint of an SSH certificate, and remove its text, which has jitid ids but no part of a token."""
    try:
        blob = openssh.parse_certificate(b" ".join(match.groups()).decode("ascii")).blob
    except ValueError:
        return match[0]
    raw = sha256(blob).digest()
    finds.prints[raw] = finds.prints.get(raw, 0) + 1
    return b""


def _printed(match: re.Match[bytes], finds: Finds) -> bytes:
    """Record the fingerprint of a certificate, and remove its text, which has jitid names but no part of a token."""
    raw = print_of(match[1])
    if not raw:
        return match[0]
    finds.prints[raw] = finds.prints.get(raw, 0) + 1
    return b""


def _add_bare(finds: Finds, raw: bytes) -> None:
    """Add the private key in some bytes: in DER, or in the form of a keyring."""
    if len(raw) == SEED:
        for public in of_seed(raw):
            finds.keys.setdefault(public, 1)
    elif raw.startswith(b"0"):
        key = bare_key(raw)
        if key is not None:
            finds.keys.setdefault(key.public, 1)
