"""What is found in a text: the strings of each sort, and how signed tokens, certificates and keys look."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from jitid.errors import UsageError
from jitid.redaction.token_format import CERTIFICATE, MAX_TOKEN, SIGNED_MARK
from jitid.values.ids import parse_id

BEFORE = 384
"""How much of the text a window shows before the first string that it is to find: room for a token's header."""
AFTER = MAX_TOKEN
"""How much it shows after the last one: room for a whole token."""

MARK = SIGNED_MARK.encode()
"""How a payload of ours begins."""
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_FROM_URL = bytes.maketrans(b"-_", b"+/")
HEADER = b"eyJhbGciOi"  # {"alg":
_OUR_HEADER = b"eyJhbGciOiJF"  # {"alg":"E, of EdDSA and ES256
OBJECT = b"eyJ"
"""How a JSON object begins in base64, as headers and payloads of signed tokens do."""
# The first 51 characters hold `{"jti":"jti_` and the rest of the jti; both algorithms' signatures have 64 bytes.
_JTI_LENGTH = 51
# Four characters spell three of 0-9 and a-v: what has no jti is passed over before anything is decoded.
_JTI = re.compile(
    MARK + rb"(?:[MNOYZabcd][DGHTWXjmnz23][ABEFIJMNQRUVYZcdghklopstwx014589][h-z0-5]){8}[MNOYZabcd][\w-]{2}"
)
_RUN = re.compile(rb"[\w-]*")
_SIGNED = re.compile(rb"[\w-]")
_SIGNATURE = re.compile(rb"\.([\w-]{86})")
_FOREIGN = re.compile(rb"eyJ[\w-]{10,1000}\.[\w-]+\.[\w-]{86}")
_LONGEST_HEADER = 1_004

_CERTIFICATE = CERTIFICATE.encode()
PEM_BEGUN = b"-----BEGIN"
"""How certificates and keys begin. A needle with a blank or dashes at its end would be slower, for these are many."""
# Its lines may be of any length, and be broken as JSON or a quotation breaks them.
PEM = re.compile(_CERTIFICATE + rb"([^-]{64,%d})-----END CERTIFICATE-----" % (MAX_TOKEN // 2))
_BREAKS = re.compile(rb"\\+[nrt]?|[^0-9A-Za-z+/=\\]+")

_LABEL = 56
"""Within so many bytes the first line of a private key says that it is one."""

_PAIR = 16
"""So many characters a string takes with the number beside it, besides its own."""

SORTS = ("opaque", "signed", "foreign", "cut", "ids", "prints", "guessed", "secrets", "keys", "locked")
"""The sorts of strings that there are: the names of the maps of `Finds`, in their order."""

MARK_LENGTH = 16


def mark(sort: str, key: bytes | str) -> bytes:
    """Return what stands for a found string of a sort (one of `SORTS`) where the string itself must not: 16 bytes.

    Of equal strings it is equal; it tells nothing of a token, of which it is a hash.
    """
    from hashlib import sha256  # what hashes takes its time to load, and most texts hold none

    raw = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
    return sha256(b"%b\0%b" % (sort.encode("ascii"), raw)).digest()[:MARK_LENGTH]


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
        """The same of private keys behind a passphrase: what their files show, or `private_key.UNREADABLE`."""
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


def pem_at(window: bytes | bytearray, at: int) -> tuple[str, bytes] | None:
    """Return the sort and the fingerprint of the certificate or private key that begins there; None if it is none."""
    found = PEM.match(window, at)
    if found:
        raw = print_of(found[1])
        return ("prints", raw) if raw else None
    if b"PRIVATE KEY-----" not in window[at : at + _LABEL]:
        return None
    from jitid.crypto.private_key import key_at  # what parses them takes its time to load

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


def each(wanted: bytes, window: bytes | bytearray, first: int, last: int) -> Iterator[int]:
    """Yield where it stands."""
    end = last + len(wanted) - 1
    at = window.find(wanted, first, end)
    while at >= 0:
        yield at
        at = window.find(wanted, at + 1, end)


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


def foreign_at(window: bytes | bytearray, at: int, *, glued: bool) -> str:
    """Return the token whose header begins there; nothing if it is none, or a payload of ours follows such a header.

    With `glued` more characters of a signature may follow. Headers that begin as ours do may have them anyway; of the
    tokens of others most are signed in another way, and have a longer signature.
    """
    dot = window.find(b".", at, at + _LONGEST_HEADER)
    # The last header before a dot is the one: so each payload is looked at once.
    if dot < 0 or window.rfind(OBJECT, at, dot) != at:
        return ""
    if window.startswith(MARK, dot + 1) and window.startswith(HEADER, at):
        return ""
    found = _FOREIGN.match(window, at, at + MAX_TOKEN)
    if found is None:
        return ""
    glued = glued or window.startswith(_OUR_HEADER, at)
    more = not glued and _SIGNED.match(window, found.end())
    return "" if more else found[0].decode("ascii")


def is_ours(window: bytes | bytearray, at: int) -> bool:
    """Tell whether a payload of ours follows the header that begins there: by that the token is found."""
    dot = window.find(b".", at, at + _LONGEST_HEADER)
    return dot >= 0 and window.startswith(MARK, dot + 1)


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
    header = before[before.rfind(HEADER) :] if HEADER in before else b""
    return b"" if header.strip(_BASE64) else header
