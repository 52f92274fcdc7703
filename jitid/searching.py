"""Strings of ours in a text of any size: opaque tokens, signed ones whole or cut, ids, and fingerprints.

A text is searched window by window. Most of its bytes are not looked at by Python at all: each sort of string has
something that C code finds at the speed of memory.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from jitid.errors import UsageError
from jitid.identifier import parse_id
from jitid.tokenform import CERTIFICATE, MAX_TOKEN, OPAQUE_PREFIX, SIGNED_MARK, is_opaque

BEFORE = 384
"""How much of the text a window shows before the first string that it is to find: room for a token's header."""
AFTER = MAX_TOKEN
"""How much it shows after the last one: room for a whole token."""

_MARK = SIGNED_MARK.encode()
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_HEADER = b"eyJhbGciOi"  # {"alg":
_OUR_HEADER = b"eyJhbGciOiJF"  # {"alg":"E, of EdDSA and ES256, and the same letter J where the mark has it
# The first 51 characters hold `{"jti":"jti_` and the rest of the jti; both algorithms' signatures have 64 bytes.
_JTI_LENGTH = 51
# Four characters spell three of 0-9 and a-v: what has no jti is passed over before anything is decoded.
_JTI = re.compile(
    _MARK + rb"(?:[MNOYZabcd][DGHTWXjmnz23][ABEFIJMNQRUVYZcdghklopstwx014589][h-z0-5]){8}[MNOYZabcd][\w-]{2}"
)
_RUN = re.compile(rb"[\w-]*")
_SIGNATURE = re.compile(rb"\.([\w-]{86})")
_TOKEN = re.compile(rb"[\w-]+\.([\w-]+)\.[\w-]{86}")

_PREFIX = re.compile(rb"j(?:ti|id|itid)_")
_PREFIXES = (b"jti_", b"jid_", b"jitid_")
_NAME = re.compile(rb"jitid_[0-9A-Za-z]{16,38}|j(?:id|ti)_[0-9a-v]{26}(?![0-9A-Za-z])")
RARE = 550
"""Where a letter is rarer than one in so many, going from one to the next is cheaper than searching for more."""
SAMPLE = 64
"""Which part of a window shows how rare a letter is."""

_CERTIFICATE = CERTIFICATE.encode()
PEM_BEGUN = b"-----BEGIN"
"""How certificates and keys begin. A needle with a blank or dashes at its end would be slower, for these are many."""
# Its lines may be of any length, and be broken as JSON or a quotation breaks them.
PEM = re.compile(_CERTIFICATE + rb"([^-]{64,%d})-----END CERTIFICATE-----" % (MAX_TOKEN // 2))
_BREAKS = re.compile(rb"\\+[nrt]?|[^0-9A-Za-z+/=\\]+")

_HEX_DIGITS = b"0123456789abcdefABCDEF"
_HEX_RUN = re.compile(rb"[0-9a-fA-F]*")
_PRINT_LENGTH = 64
# Of 64 digits in a row, every seventh byte of the text shows at least nine in a row. An even step would fall in
# with the columns of logs, and meet far more that is none.
_STEP = 7
_IS_HEX = bytes(ord("h") if each in _HEX_DIGITS else 0 for each in range(256))
_IN_A_ROW = b"h" * (_PRINT_LENGTH // _STEP)

_LABEL = 56
"""Within so many bytes the first line of a private key says that it is one."""

_PAIR = 16
"""So many characters a string takes with the number beside it, besides its own."""


_Key = TypeVar("_Key", bytes, str)

SORTS = ("opaque", "signed", "foreign", "cut", "ids", "prints", "guessed", "secrets", "keys", "locked")
"""The sorts of strings that there are: the names of the maps of `Finds`, in their order."""

_MARK_LENGTH = 16


def mark(sort: str, key: bytes | str) -> bytes:
    """Return what stands for a found string of a sort (one of `SORTS`) where the string itself must not: 16 bytes.

    Of equal strings it is equal; it tells nothing of a token, of which it is a hash.
    """
    from hashlib import sha256  # what hashes takes its time to load, and most texts hold none

    raw = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
    return sha256(b"%b\0%b" % (sort.encode("ascii"), raw)).digest()[:_MARK_LENGTH]


class Finds:
    """The distinct strings that were found, and how often each was met."""

    __slots__ = (
        "cut",
        "foreign",
        "guessed",
        "ids",
        "keys",
        "locked",
        "mistyped",
        "opaque",
        "prints",
        "secrets",
        "signed",
    )

    def __init__(self) -> None:
        self.opaque: dict[bytes, int] = {}
        """Fingerprints of opaque tokens, which themselves are not kept."""
        self.signed: dict[str, int] = {}
        """Whole signed tokens: their signature is still to be verified."""
        self.foreign: dict[str, int] = {}
        """Other signed tokens, whose claims are not as we write them: a key of ours may have signed them."""
        self.cut: dict[str, int] = {}
        """Ids out of signed tokens of which a part is missing."""
        self.ids: dict[str, int] = {}
        self.prints: dict[bytes, int] = {}
        """What may be fingerprints: words of 64 hexadecimal digits."""
        self.guessed: dict[str, int] = {}
        """Ids put together from pieces, which may be none."""
        self.secrets: dict[bytes, int] = {}
        """Fingerprints of words that may be the secrets of credentials at targets, and mostly are none."""
        self.keys: dict[bytes, int] = {}
        """SHA-256 of the public keys (SubjectPublicKeyInfo) of private keys, which themselves are not kept."""
        self.locked: dict[bytes, int] = {}
        """The same of private keys behind a passphrase: what their files show, or `privatekeys.UNREADABLE`."""
        self.mistyped = 0
        """How many strings look like opaque tokens, and are cut or mistyped."""

    def __len__(self) -> int:
        return sum(map(len, self._maps()))

    def __repr__(self) -> str:
        # Tokens stand in it.
        return f"Finds({len(self)} strings)"

    def _maps(self) -> tuple[dict[Any, int], ...]:
        return (
            self.opaque,
            self.signed,
            self.foreign,
            self.cut,
            self.ids,
            self.prints,
            self.guessed,
            self.secrets,
            self.keys,
            self.locked,
        )

    def copy(self) -> Finds:
        """Return one with the same maps, of which others may take the place."""
        return Finds.unpack(self.pack())

    def strings(self) -> Iterator[tuple[str, bytes | str, int]]:
        """Yield the sort of each string, what is kept of it, and how often it was met."""
        for sort, counts in zip(SORTS, self._maps(), strict=True):
            for key, count in counts.items():
                yield sort, key, count

    def text_size(self) -> int:
        """Return how many characters of tokens it holds; what else it holds is short."""
        return sum(map(len, self.signed)) + sum(map(len, self.foreign))

    def add(self, other: Finds) -> None:
        """Add what was found elsewhere."""
        for mine, its in zip(self._maps(), other._maps(), strict=True):
            for key, count in its.items():
                mine[key] = mine.get(key, 0) + count
        self.mistyped += other.mistyped

    def only(self, marks: AbstractSet[bytes]) -> Finds:
        """Return those strings of it that have one of these marks."""
        part = Finds()
        if marks:
            for sort, key, count in self.strings():
                if mark(sort, key) in marks:
                    getattr(part, sort)[key] = count
        return part

    def parts(self, size: int) -> Iterator[Finds]:
        """Yield it in parts whose strings come to about `size` characters each at most; all of it, if it is small."""
        part, room = Finds(), size
        for mine, name in zip(self._maps(), SORTS, strict=True):
            for key, count in mine.items():
                if room <= 0:
                    yield part
                    part, room = Finds(), size
                getattr(part, name)[key] = count
                room -= 2 * len(key) + _PAIR
        part.mistyped = self.mistyped
        yield part

    def pack(self) -> tuple[Any, ...]:
        """Return it as plain values, for another process."""
        return (*self._maps(), self.mistyped)

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Finds:
        """Return what `pack` packed."""
        found = cls()
        for name, value in zip((*SORTS, "mistyped"), values, strict=True):
            setattr(found, name, value)
        return found


def search(window: bytes | bytearray, first: int, last: int, finds: Finds) -> None:
    """Add to `finds` each string that begins in `window[first:last]`.

    A signed token begins with its payload, a foreign one with its header. The window shows `BEFORE` bytes before
    `first` and `AFTER` bytes after `last`, unless the text begins or ends there; then every cut into windows finds
    the same.
    """
    sample = window[first : first + (last - first) // SAMPLE]
    most = len(sample) // RARE
    for text in _named(window, first, last, rare=sample.count(b"j") <= most):
        if text.startswith(OPAQUE_PREFIX):
            _add_opaque(finds, text)
        else:
            _count(finds.ids, text)
    marks, headers = signed_places(window, first, last, rare=sample.count(b"J") <= most)
    for _, sort, text in signed_strings(window, marks):
        _count(finds.signed if sort == "signed" else finds.cut, text)
    for at in headers:
        token = foreign_at(window, at)
        if token:
            _count(finds.foreign, token)
    for raw in _prints(window, first, last):
        _count(finds.prints, raw)
    for at in each(PEM_BEGUN, window, first, last):
        pem = pem_at(window, at)
        if pem is not None:
            sort, raw = pem
            counts: dict[bytes, int] = getattr(finds, sort)
            _count(counts, raw)


def pem_at(window: bytes | bytearray, at: int) -> tuple[str, bytes] | None:
    """Return the sort and the fingerprint of the certificate or private key that begins there; None if it is none."""
    found = PEM.match(window, at)
    if found:
        raw = print_of(found[1])
        return ("prints", raw) if raw else None
    if b"PRIVATE KEY-----" not in window[at : at + _LABEL]:
        return None
    from jitid.privatekeys import key_at  # what parses them takes its time to load

    key = key_at(window, at)
    return None if key is None else ("keys" if key.proved else "locked", key.public)


def print_of(body: bytes) -> bytes:
    """Return the fingerprint of a certificate by what stands between its two lines; nothing if it is none."""
    try:
        der = a2b_base64(_BREAKS.sub(b"", body))
    except ValueError:
        return b""
    from hashlib import sha256  # what hashes takes its time to load, and most texts hold none

    return sha256(der).digest()


def _count(counts: dict[_Key, int], key: _Key) -> None:
    counts[key] = counts.get(key, 0) + 1


def _named(window: bytes | bytearray, first: int, last: int, *, rare: bool) -> Iterator[str]:
    """Yield what has a prefix of ours: opaque tokens and ids. `rare` says whether the letter j is."""
    for at in _prefixes(window, first, last, rare=rare):
        found = _NAME.match(window, at)
        if found:
            yield found[0].decode("ascii")


def _prefixes(window: bytes | bytearray, first: int, last: int, *, rare: bool) -> Iterator[int]:
    if not rare:
        for found in _PREFIX.finditer(window, first, last + len(OPAQUE_PREFIX) - 1):
            if found.start() < last:
                yield found.start()
        return
    find = window.find
    # Nothing begins with the last byte of a text; and there is one more behind each of the others.
    end = min(last, len(window) - 1)
    at = find(b"j", first, end)
    while at >= 0:
        if window[at + 1] in b"it" and window.startswith(_PREFIXES, at):
            yield at
        at = find(b"j", at + 1, end)


def _add_opaque(finds: Finds, text: str) -> None:
    if is_opaque(text):
        from jitid.secret import (
            fingerprint,  # what hashes takes its time to load, and most texts hold no token
        )

        _count(finds.opaque, fingerprint(text))
    else:
        finds.mistyped += 1


def each(wanted: bytes, window: bytes | bytearray, first: int, last: int) -> Iterator[int]:
    """Yield where it stands."""
    end = last + len(wanted) - 1
    at = window.find(wanted, first, end)
    while at >= 0:
        yield at
        at = window.find(wanted, at + 1, end)


def signed_places(
    window: bytes | bytearray, first: int, last: int, *, rare: bool
) -> tuple[Iterable[int], Iterable[int]]:
    """Return where payloads of ours and headers like ours begin; `rare` says whether the capital J is."""
    if rare:
        return _by_rare_letter(window, first, last)
    return each(_MARK, window, first, last), each(_OUR_HEADER, window, first, last)


def _by_rare_letter(window: bytes | bytearray, first: int, last: int) -> tuple[list[int], list[int]]:
    """Return where payloads of ours and headers like ours begin, by the capital J that both have."""
    offset = _MARK.index(b"J")
    marks, headers = [], []
    for at in each(b"J", window, first + offset, last + offset):
        if window.startswith(_MARK, at - offset):
            marks.append(at - offset)
        elif window.startswith(_OUR_HEADER, at - offset):
            headers.append(at - offset)
    return marks, headers


def signed_strings(window: bytes | bytearray, marks: Iterable[int]) -> Iterator[tuple[int, str, str]]:
    """Yield the signed tokens whose payloads begin at these marks: the mark, the sort, and what is kept of it."""
    end = -1
    for at in marks:
        begun = _JTI.match(window, at)
        jti = None if begun is None else jti_of(begun[0])
        if jti is None:
            continue
        if end < at:
            # What a run of such characters holds is looked at once, however many payloads seem to begin in it.
            run = _RUN.match(window, at)
            end = at if run is None else run.end()
        token = _whole(window, at, end)
        if token:
            yield at, "signed", token.decode("ascii")
        else:
            yield at, "cut", jti


def _whole(window: bytes | bytearray, at: int, end: int) -> bytes:
    """Return the token whose payload is `window[at:end]`; nothing if a part of it is missing."""
    header = _header_before(window, at)
    signature = _SIGNATURE.match(window, end) if header else None
    if signature is None or len(header) + 1 + signature.end() - at > MAX_TOKEN:
        return b""
    return header + b"." + bytes(window[at : signature.end()])


def foreign_at(window: bytes | bytearray, at: int) -> str:
    """Return the token whose header begins there; nothing if it is none, or its payload begins like ours."""
    dot = window.find(b".", at, at + BEFORE)
    # The last header before a dot is the one: so each payload is looked at once.
    if dot < 0 or window.rfind(_OUR_HEADER, at, dot) != at or window.startswith(_MARK, dot + 1):
        return ""
    found = _TOKEN.match(window, at, at + MAX_TOKEN)
    return found[0].decode("ascii") if found else ""


def jti_of(payload: bytes) -> str | None:
    """Return the jti that a payload of ours begins with, which is at least 51 characters of it; None if it is none."""
    start = a2b_base64(payload[:_JTI_LENGTH].translate(_FROM_URL) + b"=")
    text = start[8:].decode("ascii", "replace")
    try:
        return text if parse_id(text)[0] == "jti" else None
    except UsageError:
        return None


def jti_of_token(token: str) -> str:
    """Return the jti of a whole signed token of ours."""
    jti = jti_of(token.split(".")[1].encode("ascii"))
    assert jti is not None
    return jti


def _header_before(window: bytes | bytearray, at: int) -> bytes:
    """Return the header of the token whose payload begins at `at`; nothing if it is not there."""
    if window[at - 1 : at] != b".":
        return b""
    before = bytes(window[max(0, at - BEFORE) : at - 1])
    header = before[before.rfind(_HEADER) :] if _HEADER in before else b""
    return b"" if header.strip(_BASE64) else header


def _prints(window: bytes | bytearray, first: int, last: int) -> Iterator[bytes]:
    """Yield the words of exactly 64 hexadecimal digits, as the bytes that they spell."""
    sample = window[first : last + _PRINT_LENGTH : _STEP].translate(_IS_HEX)
    at = sample.find(_IN_A_ROW)
    while at >= 0:
        seen = first + at * _STEP
        found = _HEX_RUN.match(window, seen)
        end = found.end() if found else seen
        before = bytes(window[max(0, seen - _PRINT_LENGTH) : seen])
        start = seen - len(before) + len(before.rstrip(_HEX_DIGITS))
        if end - start == _PRINT_LENGTH and first <= start < last:
            yield bytes.fromhex(window[start:end].decode("ascii"))
        at = sample.find(_IN_A_ROW, (end - first) // _STEP + 1)
