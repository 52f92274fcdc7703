"""Strings of ours in a short text that somebody pasted: wrapped, quoted, encoded, or without its beginning."""

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
"""The longest text that is searched so closely, in bytes."""

SHORTEST = 12
"""The minimum number of characters of a secret: shorter words are many, and none of them is one."""

_DIGITS = re.compile(rb"[0-9A-Za-z_+/-]{24,}")
_BREAK = re.compile(rb"[\r\n]+[\t >|]*")
_SSH_CERTIFICATE = re.compile(
    rb"(?<![\w.@-])([\w.@-]{1,40}-cert-v01@openssh\.com)[ \t]+([0-9A-Za-z+/]{64,}={0,2})"
)
_DER = b"0\x82"
"""How a certificate begins that is not written as text."""
# The words of a text, without the marks of quotations, lists and brackets around them.
_SECRET = re.compile(rb"[^\s\"'`<>,;|(){}\[\]]{12,4096}")
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{1,40}-----\r?\n(?:[^-]|-(?!----)){1,16384}+-----END [A-Z0-9 ]{1,40}-----"
)
_MOST_SECRETS = 5_000


def search_pasted(text: bytes, missed: Counter[str] | None = None) -> Finds:
    """Return each string of ours in a text, also one that was changed on its way, and the words that may be secrets.

    All that `layers` tells of is taken off everywhere; keys in DER, and as a keyring has them, are found too. What
    could not be searched is counted in `missed`.
    """
    named, whole = Finds(), text
    text = _SSH_CERTIFICATE.sub(lambda found: _named(found, named), text)
    text = PEM.sub(lambda found: _printed(found, named), text)
    finds = Finds()
    search = HiddenSearch(ALL, closely=True)
    add(finds, search.found(text, 0, len(text), finds))
    if missed is not None:
        missed.update(reason for reason, _ in search.missed)
    finds.add(named)
    if text.startswith(_DER):
        finds.prints.setdefault(sha256(text).digest(), 1)
    _add_bare(finds, text)
    for raw in tuple(finds.prints):
        _add_bare(finds, raw)
    for layer in peeled(text, 0, len(text)):
        words = {*_DIGITS.findall(layer.text), *_DIGITS.findall(_BREAK.sub(b"", layer.text))}
        for word in words:
            _add_bare(finds, from_base64(word.translate(TO_STANDARD)))
    finds.secrets = _secrets(whole, {id_.encode() for id_ in finds.ids})
    return finds


def _secrets(text: bytes, ids: AbstractSet[bytes]) -> dict[bytes, int]:
    """Return the fingerprints of all that may be a secret: each word, what follows `=` or `:` in it, each PEM block.

    What is an id is none.
    """
    found: dict[bytes, int] = {}
    # As JSON and a shell's variable have line breaks.
    plain = text.replace(b"\\n", b"\n").replace(b"\r\n", b"\n")
    for block in _PEM.findall(plain):
        for spelling in (block, block + b"\n"):
            found[sha256(spelling).digest()] = 1
    for word in _SECRET.findall(text):
        if len(found) >= _MOST_SECRETS:
            break
        spellings = {word, word.rstrip(b".:!?")}
        spellings |= {each.partition(mark)[2] for each in tuple(spellings) for mark in (b"=", b":")}
        for spelling in spellings:
            if len(spelling) >= SHORTEST and spelling not in ids:
                print_ = sha256(spelling).digest()
                found[print_] = found.get(print_, 0) + 1
    return found


def _named(found: re.Match[bytes], finds: Finds) -> bytes:
    """Note the fingerprint of an SSH certificate, and leave it out: ids of ours stand in it, and no part of a token."""
    try:
        blob = openssh.parse_certificate(b" ".join(found.groups()).decode("ascii")).blob
    except ValueError:
        return found[0]
    raw = sha256(blob).digest()
    finds.prints[raw] = finds.prints.get(raw, 0) + 1
    return b""


def _printed(found: re.Match[bytes], finds: Finds) -> bytes:
    """Note the fingerprint of a certificate, and leave it out: names of ours stand in it, and no part of a token."""
    raw = print_of(found[1])
    if not raw:
        return found[0]
    finds.prints[raw] = finds.prints.get(raw, 0) + 1
    return b""


def _add_bare(finds: Finds, raw: bytes) -> None:
    """Add the private key that these bytes are: in DER, or as a keyring has it."""
    if len(raw) == SEED:
        for public in of_seed(raw):
            finds.keys.setdefault(public, 1)
    elif raw.startswith(b"0"):
        key = bare_key(raw)
        if key is not None:
            finds.keys.setdefault(key.public, 1)
