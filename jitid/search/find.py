"""The results of a search by kind of string, and the forms of signed tokens, certificates and keys.

And the search for adopted secrets: candidates by prefix and length, confirmed by fingerprint.

Only a known prefix and the length distinguish a foreign secret from other words. Each candidate is hashed; it is a
secret if the ledger has adopted one with that fingerprint.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import partial
from hashlib import sha256
from typing import Any

from jitid.errors import UsageError
from jitid.redaction.token_format import CERTIFICATE, MAX_TOKEN, SIGNED_MARK
from jitid.values.ids import parse_id
from jitid.values.record import Record

BEFORE = 384
"""Bytes of text before the first string of a window: room for a token's header."""
AFTER = MAX_TOKEN
"""Bytes of text after the start of the last string of a window: room for a whole token."""

MARK = SIGNED_MARK.encode()
"""The beginning of a jitid payload."""
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_FROM_URL = bytes.maketrans(b"-_", b"+/")
HEADER = b"eyJhbGciOi"  # {"alg":
_JITID_HEADERS = (b"eyJhbGciOiJF", b"eyJhbGciOiJSUzI1NiIs")  # {"alg":"E, of EdDSA and ES256; {"alg":"RS256",
OBJECT = b"eyJ"
"""The beginning of a JSON object in base64, as in headers and payloads of signed tokens."""
# The first 51 characters hold `{"jti":"jti_` and the rest of the jti; a signature has 64 bytes, one of RS256 has 256.
_JTI_LENGTH = 51
# Four characters encode three of 0-9 and a-v, so a payload without a jti is skipped before anything is decoded.
_JTI = re.compile(
    MARK + rb"(?:[MNOYZabcd][DGHTWXjmnz23][ABEFIJMNQRUVYZcdghklopstwx014589][h-z0-5]){8}[MNOYZabcd][\w-]{2}"
)
_RUN = re.compile(rb"[\w-]*")
_SIGNED = re.compile(rb"[\w-]")
_SIGNATURE = re.compile(rb"\.([\w-]{86})")
_RSA_SIGNATURE = re.compile(rb"\.([\w-]{342})")
_FOREIGN = re.compile(rb"(eyJ[\w-]{10,1000})\.[\w-]+(?=\.[\w-]{86})")
_LONGEST_HEADER = 1_004

_CERTIFICATE = CERTIFICATE.encode()
PEM_BEGUN = b"-----BEGIN"
"""The beginning of certificates and keys. A final blank or dash would slow the search: these are frequent."""
# The lines may have any length, and the line breaks of JSON or of a quotation.
PEM = re.compile(_CERTIFICATE + rb"([^-]{64,%d})-----END CERTIFICATE-----" % (MAX_TOKEN // 2))
_BREAKS = re.compile(rb"\\+[nrt]?|[^0-9A-Za-z+/=\\]+")

_LABEL = 56
"""The number of bytes in which the first line of a private key identifies it as one."""

_PAIR = 16
"""The additional characters of a string in `Finds.parts`: its count and its punctuation."""

KINDS = ("opaque", "signed", "foreign", "cut", "ids", "prints", "guessed", "secrets", "keys", "locked")
"""The kinds of strings: the names of the maps of `Finds`, in their order."""

MARK_LENGTH = 16


def mark(kind: str, key: bytes | str) -> bytes:
    """Return 16 bytes that identify a found string of a kind (one of `KINDS`) without containing the string.

    Equal strings have equal marks. A mark is a hash, so it does not reveal a token.
    """
    raw = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
    return sha256(b"%b\0%b" % (kind.encode("ascii"), raw)).digest()[:MARK_LENGTH]


class Finds:
    """The distinct strings of a search, each with its number of occurrences."""

    __slots__ = (*KINDS, "mistyped")

    def __init__(self) -> None:
        self.opaque: dict[bytes, int] = {}
        """Fingerprints of opaque tokens; the tokens themselves are not kept."""
        self.signed: dict[str, int] = {}
        """Whole signed tokens with a signature that is not verified yet."""
        self.foreign: dict[str, int] = {}
        """Other signed tokens, with claims in another form than jitid's: a jitid key may still have signed them."""
        self.cut: dict[str, int] = {}
        """Ids from signed tokens of which a part is missing."""
        self.ids: dict[str, int] = {}
        self.prints: dict[bytes, int] = {}
        """Possible fingerprints: words of 64 hexadecimal digits."""
        self.guessed: dict[str, int] = {}
        """Ids that were joined from pieces, and may be wrong."""
        self.secrets: dict[bytes, int] = {}
        """Fingerprints of words that may be secrets of credentials at targets; most of them are not."""
        self.keys: dict[bytes, int] = {}
        """SHA-256 of the public keys (SubjectPublicKeyInfo) of private keys, which are not kept themselves."""
        self.locked: dict[bytes, int] = {}
        """The same for private keys with a passphrase: the public key in the file, or `private_key.UNREADABLE`."""
        self.mistyped = 0
        """The number of strings that look like opaque tokens, but are cut or mistyped."""

    def __len__(self) -> int:
        return sum(map(len, self._maps()))

    def __repr__(self) -> str:
        # Never the strings: they include tokens.
        return f"Finds({len(self)} strings)"

    def _maps(self) -> list[dict[Any, int]]:
        return [getattr(self, kind) for kind in KINDS]

    def copy(self) -> Finds:
        """Return a new object that shares the maps; replacing one of its maps does not affect this object."""
        return Finds.unpack(self.pack())

    def strings(self) -> Iterator[tuple[str, bytes | str, int]]:
        """Yield the kind of each string, its kept form, and its number of occurrences."""
        for kind, counts in zip(KINDS, self._maps(), strict=True):
            for key, count in counts.items():
                yield kind, key, count

    def text_size(self) -> int:
        """Return the number of characters of its tokens; all other strings are short."""
        return sum(map(len, self.signed)) + sum(map(len, self.foreign))

    def add(self, other: Finds) -> None:
        """Add the results of another search."""
        for mine, its in zip(self._maps(), other._maps(), strict=True):
            for key, count in its.items():
                mine[key] = mine.get(key, 0) + count
        self.mistyped += other.mistyped

    def only(self, marks: AbstractSet[bytes]) -> Finds:
        """Return the strings that have one of these marks."""
        part = Finds()
        if marks:
            for kind, key, count in self.strings():
                if mark(kind, key) in marks:
                    getattr(part, kind)[key] = count
        return part

    def parts(self, size: int) -> Iterator[Finds]:
        """Yield the results in parts with strings of about `size` characters at most; a single part if they are few."""
        part, room = Finds(), size
        for mine, name in zip(self._maps(), KINDS, strict=True):
            for key, count in mine.items():
                if room <= 0:
                    yield part
                    part, room = Finds(), size
                getattr(part, name)[key] = count
                room -= 2 * len(key) + _PAIR
        part.mistyped = self.mistyped
        yield part

    def pack(self) -> tuple[Any, ...]:
        """Return the results as plain values, for another process."""
        return (*self._maps(), self.mistyped)

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Finds:
        """Return the results from the values of `pack`."""
        finds = cls()
        for name, value in zip((*KINDS, "mistyped"), values, strict=True):
            setattr(finds, name, value)
        return finds


def pem_at(window: bytes | bytearray, position: int) -> tuple[str, bytes] | None:
    """Return the kind and the fingerprint of the certificate or private key at `position`; None without one."""
    match = PEM.match(window, position)
    if match:
        raw = print_of(match[1])
        return ("prints", raw) if raw else None
    if b"PRIVATE KEY-----" not in window[position : position + _LABEL]:
        return None
    from jitid.crypto.private_key import key_at  # imported late: it loads slowly, and most texts have no key

    key = key_at(window, position)
    return None if key is None else ("keys" if key.proved else "locked", key.public)


def print_of(body: bytes) -> bytes:
    """Return the fingerprint of a certificate from the text between its two lines; empty if it is not base64."""
    try:
        der = a2b_base64(_BREAKS.sub(b"", body))
    except ValueError:
        return b""
    return sha256(der).digest()


def each(text: bytes, window: bytes | bytearray, first: int, last: int) -> Iterator[int]:
    """Yield each position in `window[first:last]` at which the text begins."""
    end = last + len(text) - 1
    position = window.find(text, first, end)
    while position >= 0:
        yield position
        position = window.find(text, position + 1, end)


def signed_strings(window: bytes | bytearray, marks: Iterable[int]) -> Iterator[tuple[int, str, str]]:
    """Yield the signed tokens whose payloads begin at these marks: mark, kind, and kept form of each."""
    run_end = -1
    for position in marks:
        begun = _JTI.match(window, position)
        jti = None if begun is None else jti_of(begun[0])
        if jti is None:
            continue
        if run_end < position:
            # A run of such characters is matched only once, even if many payloads seem to begin in it.
            run = _RUN.match(window, position)
            run_end = position if run is None else run.end()
        token = _whole(window, position, run_end)
        if token:
            yield position, "signed", token.decode("ascii")
        else:
            yield position, "cut", jti


def _whole(window: bytes | bytearray, position: int, end: int) -> bytes:
    """Return the token with the payload `window[position:end]`; empty if a part of it is missing."""
    header = _header_before(window, position)
    signature = _signature_of(header).match(window, end) if header else None
    if signature is None or len(header) + 1 + signature.end() - position > MAX_TOKEN:
        return b""
    return header + b"." + bytes(window[position : signature.end()])


def _signature_of(header: bytes) -> re.Pattern[bytes]:
    """Return the pattern of the signature after a header, which its algorithm determines."""
    if header.startswith(_JITID_HEADERS[0]):
        return _SIGNATURE
    if header.startswith(_JITID_HEADERS[1]):
        return _RSA_SIGNATURE
    text = a2b_base64(header[: len(header) // 4 * 4].translate(_FROM_URL))
    return _RSA_SIGNATURE if b'"RS256"' in text else _SIGNATURE


def foreign_at(window: bytes | bytearray, position: int, *, glued: bool) -> str:
    """Return the foreign token whose header begins at `position`; empty if there is none.

    It is also empty if a jitid payload follows the header. With `glued`, or after a header that begins like jitid's,
    further signature characters may follow. Otherwise they show that the signature is longer: most foreign tokens are
    signed with other algorithms.
    """
    dot = window.find(b".", position, position + _LONGEST_HEADER)
    # The header is the last one before a dot, so that each payload is examined once.
    if dot < 0 or window.rfind(OBJECT, position, dot) != position:
        return ""
    if window.startswith(MARK, dot + 1) and window.startswith(HEADER, position):
        return ""
    match = _FOREIGN.match(window, position, position + MAX_TOKEN)
    signature = match and _signature_of(match[1]).match(window, match.end(), position + MAX_TOKEN)
    if signature is None or match is None:
        return ""
    glued = glued or window.startswith(_JITID_HEADERS, position)
    has_more = not glued and _SIGNED.match(window, signature.end())
    return "" if has_more else (match[0] + signature[0]).decode("ascii")


def has_jitid_payload(window: bytes | bytearray, position: int) -> bool:
    """Return whether a jitid payload follows the header at `position`; the token is then found by its payload."""
    dot = window.find(b".", position, position + _LONGEST_HEADER)
    return dot >= 0 and window.startswith(MARK, dot + 1)


def jti_of(payload: bytes) -> str | None:
    """Return the jti at the start of at least 51 characters of a jitid payload; None if it is invalid."""
    start = a2b_base64(payload[:_JTI_LENGTH].translate(_FROM_URL) + b"=")
    jti = start[8:].decode("ascii", "replace")
    try:
        return jti if parse_id(jti)[0] == "jti" else None
    except UsageError:
        return None


def jti_of_token(token: str) -> str:
    """Return the jti of a whole signed jitid token."""
    jti = jti_of(token.split(".")[1].encode("ascii"))
    assert jti is not None
    return jti


def _header_before(window: bytes | bytearray, position: int) -> bytes:
    """Return the header of the token whose payload begins at `position`; empty if it is missing."""
    if window[position - 1 : position] != b".":
        return b""
    text_before = bytes(window[max(0, position - BEFORE) : position - 1])
    header = text_before[text_before.rfind(HEADER) :] if HEADER in text_before else b""
    return b"" if header.strip(_BASE64) else header


PRINT = 8
"""The number of bytes of a fingerprint that are compared here; the ledger compares all of it."""
LONGEST = AFTER
"""The longest secret in a search, in bytes: a window has no more text after the start of a string."""

# Printable ASCII without quotation marks, list marks and brackets.
_WORD = rb"!#$%&*+\-./0-9:=?@A-Z\\^_a-z~"
# A secret begins and ends with its word, or at one of these: KEY=secret, user:secret@host, ?token=secret&page=2. A
# line break in the form of JSON counts as well.
_EDGES = re.compile(rb"[:=@&?/#]|\\[nrt]")
_ENDS = frozenset(b":=@&?/#.!\\")
_CONTINUES = re.compile(rb"[%b]" % _WORD)
_BEGINS = re.compile(rb"(?:\A|[^%b]|[:=@&?/#]|\\[nrt]|\\u[0-9A-Fa-f]{4})\Z" % _WORD)
_JSON_ESCAPE = re.compile(
    rb"\\(?:u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|([\\/\"']))"
)
"""An escape of JSON (RFC 8259, section 7) in a secret; line breaks and tabs end one."""
_MOST_NESTED = 3
"""The maximum number of JSON texts within JSON texts."""
LONGEST_ESCAPE = 6
"""Bytes of an escape of JSON."""


def is_word(before: bytes, after: bytes) -> bool:
    """Return whether a secret between these texts is not a part of a longer word.

    The search finds secrets with a known prefix also within words. `before` has at least `LONGEST_ESCAPE` bytes, unless
    the text begins there.
    """
    begins = _BEGINS.search(before) is not None
    return begins and (not _CONTINUES.match(after) or after[0] in _ENDS)


class SecretShape(Record):
    """A form of adopted secrets."""

    prefix: str | None
    """Their common prefix; None if unknown."""
    length: int
    """Their length in bytes."""


class Shapes(Record):
    """The forms of all adopted secrets, and their fingerprints."""

    shapes: tuple[SecretShape, ...]
    prints: bytes
    """The first `PRINT` bytes of each fingerprint, concatenated."""
    others: bool = False
    """Whether targets have live secrets of unknown form."""


class SecretSearch:
    """A search for adopted secrets in a window of text."""

    def __init__(self, shapes: Iterable[SecretShape], prints: bytes) -> None:
        self._prints = frozenset(
            prints[position : position + PRINT] for position in range(0, len(prints), PRINT)
        )
        self._lengths: dict[bytes, list[int]] = {}
        """The lengths of secrets with a prefix, by prefix."""
        self._escaped: dict[bytes, list[int]] = {}
        """The same by prefixes with escapes of JSON."""
        words: set[int] = set()
        for prefix, length in shapes:
            if not 0 < length <= LONGEST:
                continue
            if prefix is None:
                words.add(length)
            else:
                self._lengths.setdefault(prefix.encode(), []).append(length)
        for prefix_, lengths in self._lengths.items():
            slashes = {prefix_.replace(b"/", b"\\" * count + b"/") for count in range(1, 1 << _MOST_NESTED)}
            for form in (slashes | {_html_escaped(prefix_)}) - {prefix_}:
                self._escaped[form] = lengths
        self._words: Collection[int] = sorted(words)
        self._run = re.compile(rb"[%b]{%d,}" % (_WORD, min(words))) if words else None
        self._before = re.compile(rb"[%b]*\Z" % _WORD)

    def search(self, window: bytes | bytearray, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield the position and the fingerprint of each adopted secret that begins in `window[first:last]`.

        The window must have as much text around that range as `Strings.found` requires.
        """
        for prefix, lengths in self._lengths.items():
            for position in each(prefix, window, first, last):
                for length in lengths:
                    print_ = self._print(window, position, length)
                    if print_ is not None:
                        yield position, print_
                yield from self._escaped_at(window, position, lengths)
        for prefix, lengths in self._escaped.items():
            for position in each(prefix, window, first, last):
                yield from self._escaped_at(window, position, lengths)
        if self._run is not None:
            yield from self._search_words(self._run, window, first, last)

    def ends(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the end and the fingerprint of each adopted secret with which a text begins, also with escapes."""
        lengths = sorted({*self._words, *(length for each in self._lengths.values() for length in each)})
        for length in lengths:
            print_ = self._print(text, 0, length)
            if print_ is not None:
                yield length, print_
        for plain, back in _without_json(text):
            for length in lengths:
                print_ = self._print(plain, 0, length)
                if print_ is not None:
                    yield back(length), print_

    def _escaped_at(
        self, window: bytes | bytearray, position: int, lengths: list[int]
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the secrets with escapes of JSON at a position."""
        text = bytes(window[position : position + LONGEST_ESCAPE * max(lengths)])
        for plain, back in _without_json(text):
            for length in lengths:
                if back(length) != length:
                    print_ = self._print(plain, 0, length)
                    if print_ is not None:
                        yield position, print_

    def _escaped_words(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the positions and the fingerprints of secrets with escapes of JSON in a word."""
        for plain, back in _without_json(text):
            for position, length in self._candidates(plain):
                if back(position + length) - back(position) != length:
                    print_ = self._print(plain, position, length)
                    if print_ is not None:
                        yield back(position), print_

    def _search_words(
        self, run: re.Pattern[bytes], window: bytes | bytearray, first: int, last: int
    ) -> Iterator[tuple[int, bytes]]:
        context_start = max(0, first - BEFORE)
        begun = self._before.search(bytes(window[context_start:first]))
        for match in run.finditer(
            window, context_start + (begun.start() if begun else first - context_start), last + LONGEST
        ):
            start = match.start()
            if start >= last:
                return
            for position, length in self._candidates(match[0]):
                if first <= start + position < last:
                    print_ = self._print(window, start + position, length)
                    if print_ is not None:
                        yield start + position, print_
            if b"\\" in match[0]:
                for position, print_ in self._escaped_words(match[0]):
                    if first <= start + position < last:
                        yield start + position, print_

    def _candidates(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield the positions in a word at which secrets may begin, each with a possible length."""
        size = len(text)
        for position in (0, *(edge.end() for edge in _EDGES.finditer(text))):
            for length in self._words:
                end = position + length
                if end > size:
                    break
                if end == size or text[end] in _ENDS:
                    yield position, length

    def _print(self, window: bytes | bytearray, position: int, length: int) -> bytes | None:
        text = window[position : position + length]
        if len(text) != length:
            return None
        print_ = sha256(text).digest()
        return print_ if print_[:PRINT] in self._prints else None


def _html_escaped(text: bytes) -> bytes:
    """Return a text as encoders for HTML write it in JSON."""
    for byte in b"&<>":
        text = text.replace(bytes((byte,)), b"\\u00%02x" % byte)
    return text


def _without_json(text: bytes) -> Iterator[tuple[bytes, Callable[[int], int]]]:
    """Yield a text without the escapes of JSON, once for each nesting, with a function for original positions."""
    backs: list[Callable[[int], int]] = []
    for _ in range(_MOST_NESTED):
        pieces: list[bytes] = []
        ins, outs, end, size = [0], [0], 0, 0
        for match in _JSON_ESCAPE.finditer(text):
            pieces += (text[end : match.start()], meant := _json_meant(match))
            size += match.start() - end + len(meant)
            end = match.end()
            ins.append(end)
            outs.append(size)
        if not pieces:
            return
        pieces.append(text[end:])
        text = b"".join(pieces)
        backs.append(partial(_before_json, ins, outs))
        yield text, partial(_through, tuple(reversed(backs)))


def _before_json(ins: list[int], outs: list[int], position: int) -> int:
    index = bisect_right(outs, position) - 1
    return ins[index] + position - outs[index]


def _through(backs: tuple[Callable[[int], int], ...], position: int) -> int:
    for back in backs:
        position = back(position)
    return position


def _json_meant(match: re.Match[bytes]) -> bytes:
    high, low, unit, character = match.groups()
    if character is not None:
        return bytes(character)
    if high is not None:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF)).encode()
    return chr(int(unit, 16)).encode("utf-8", "surrogatepass")
