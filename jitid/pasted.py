"""Strings of ours in a short text that somebody pasted: wrapped, quoted, encoded, or without its beginning."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Set as AbstractSet
from hashlib import sha256

from jitid import sshwire
from jitid.privatekeys import SEED, bare_key, of_seed
from jitid.searching import PEM, Finds, jti_of_token, print_of, search
from jitid.tokenform import MAX_TOKEN

LONGEST = 1 << 16
"""The longest text that is searched so closely, in bytes."""

_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
# What no token has: line breaks and the marks of a quotation among them.
_FOREIGN = re.compile(rb"[^0-9A-Za-z_.-]+").sub
_BROKEN_ID = re.compile(rb"j(?:id|ti)_(?:[\s>|]*[0-9a-v]){26}(?![0-9A-Za-z])")
_WORD = re.compile(rb"[0-9A-Za-z_+/-]{24,}")
_BREAK = re.compile(rb"[\r\n]+[\t >|]*")
_WIDE = re.compile(rb"[0-9A-Za-z+/]{60}[\r\n]")
"""A line of base64 as programs break it."""
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_INNER = re.compile(rb"j(?:id|ti)_[0-9a-v]{26}(?![0-9a-v])")
# Of any header, since a thief of a key writes it as he likes.
_JWS = re.compile(rb"eyJ[\w-]{10,1000}\.[\w-]+\.[\w-]{86}")
_SSH_CERTIFICATE = re.compile(
    rb"(?<![\w.@-])([\w.@-]{1,40}-cert-v01@openssh\.com)[ \t]+([0-9A-Za-z+/]{64,}={0,2})"
)
_DER = b"0\x82"
"""How a certificate begins that is not written as text."""
# The words of a text, without the marks of quotations, lists and brackets around them.
_SECRET = re.compile(rb"[^\s\"'`<>,;|(){}\[\]]{12,4096}")
_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]{1,40}-----\r?\n.{1,16384}?-----END [A-Z0-9 ]{1,40}-----", re.DOTALL)
_MOST_SECRETS = 5_000
_DEPTH = 2
"""So many layers of base64 are taken off: a secret of Kubernetes holds the basic authentication of a registry."""


def search_pasted(text: bytes) -> Finds:
    """Return each string of ours in a text, also one that was changed on its way.

    Beyond what `search` finds: what is broken over lines or quoted, percent-encoded (RFC 3986, section 2.1), or
    base64 around a token; and a signed token that lacks its beginning.
    """
    named, whole = Finds(), text
    text = _SSH_CERTIFICATE.sub(lambda found: _named(found, named), text)
    text = PEM.sub(lambda found: _printed(found, named), text)
    finds = _searched(text)
    finds.add(named)
    if text.startswith(_DER):
        finds.prints.setdefault(sha256(text).digest(), 1)
    _add_bare(finds, text)
    for raw in tuple(finds.prints):
        _add_bare(finds, raw)
    plain = _ENCODED.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), text)
    joined = _FOREIGN(b"", plain)
    for other in dict.fromkeys((plain, joined)):
        _adopt(finds, _searched(other))
        _adopt(finds, _decoded(other))
    if _WIDE.search(plain):
        # Without what is no digit, two digits of base64 among it.
        _adopt(finds, _decoded(_BREAK.sub(b"", plain)))
    broken = (bytes(found[0]).translate(None, b" \t\r\n\v\f>|") for found in _BROKEN_ID.finditer(plain))
    for each in broken:
        if each.decode("ascii") not in finds.ids:
            finds.guessed[each.decode("ascii")] = 1
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
            if len(spelling) >= _SHORTEST and spelling not in ids:
                print_ = sha256(spelling).digest()
                found[print_] = found.get(print_, 0) + 1
    return found


_SHORTEST_PRINT = 64
"""Hexadecimal digits of a fingerprint; tokens without a prefix, certificates and keys are longer."""

_SHORTEST = 12
"""Characters of a secret; shorter words are many, and none of them is one."""


def _named(found: re.Match[bytes], finds: Finds) -> bytes:
    """Note the fingerprint of an SSH certificate, and leave it out: ids of ours stand in it, and no part of a token."""
    try:
        blob = sshwire.parse_certificate(b" ".join(found.groups()).decode("ascii")).blob
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


def _searched(text: bytes) -> Finds:
    """Return what `search` finds, and with it signed tokens of any header and claims."""
    finds = Finds()
    search(text, 0, len(text), finds)
    for raw in _JWS.findall(text):
        token = raw.decode("ascii")
        if len(token) <= MAX_TOKEN and token not in finds.signed:
            finds.foreign.setdefault(token, 1)
    return finds


def _adopt(finds: Finds, more: Finds) -> None:
    """Add what only the changed text shows; a string that both show was counted already."""
    for raw, count in more.opaque.items():
        if raw not in finds.opaque:
            finds.opaque[raw] = count
            finds.mistyped = max(0, finds.mistyped - count)
    known = {jti_of_token(token) for token in finds.signed}
    for token, count in more.signed.items():
        jti = jti_of_token(token)
        if jti not in known:
            finds.signed[token] = finds.cut.pop(jti, count)
            known.add(jti)
    for jti, count in more.cut.items():
        if jti not in known:
            finds.cut.setdefault(jti, count)
    for token, count in more.foreign.items():
        finds.foreign.setdefault(token, count)
    for raw, count in more.prints.items():
        finds.prints.setdefault(raw, count)
    for mine, its in ((finds.keys, more.keys), (finds.locked, more.locked)):
        for raw, count in its.items():
            mine.setdefault(raw, count)
    for text in more.ids:
        if text not in finds.ids:
            finds.guessed[text] = 1


def _decoded(text: bytes, depth: int = _DEPTH) -> Finds:
    """Return what base64 hides: all sorts of strings, or the first id of a signed token that lacks its beginning."""
    finds = Finds()
    for word in _WORD.findall(text):
        # It may lack any number of characters, or follow others of no meaning: a group of four may begin at any of
        # the first four.
        for lost in range(4):
            # What was UTF-16 has a NUL at every other byte.
            inner = _from_base64(b"A" * lost + word).translate(None, b"\0")
            if not lost and depth == _DEPTH:
                _add_bare(finds, _from_base64(word))
            if _may_hold(inner):
                more = _searched(inner)
                more.ids.clear()
                first = _INNER.search(inner)
                if first is not None:
                    more.cut.setdefault(first[0].decode("ascii"), 1)
                _adopt(finds, more)
            if depth > 1 and _WORD.search(inner):
                _adopt(finds, _decoded(inner, depth - 1))
    return finds


def _may_hold(text: bytes) -> bool:
    """Tell whether strings of ours may stand in a text: most of what base64 seems to hide is short, and no text."""
    return len(text) >= _SHORTEST_PRINT or b"_" in text or b"eyJ" in text


def _add_bare(finds: Finds, raw: bytes) -> None:
    """Add the private key that these bytes are: in DER, or as a keyring has it."""
    if len(raw) == SEED:
        for public in of_seed(raw):
            finds.keys.setdefault(public, 1)
    elif raw.startswith(b"0"):
        key = bare_key(raw)
        if key is not None:
            finds.keys.setdefault(key.public, 1)


def _from_base64(word: bytes) -> bytes:
    # One character alone holds no byte.
    whole = word[:-1] if len(word) % 4 == 1 else word
    return a2b_base64(whole.translate(_TO_STANDARD) + b"=" * (-len(whole) % 4))
