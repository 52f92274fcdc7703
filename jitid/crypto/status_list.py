"""Token Status Lists (draft-ietf-oauth-status-list): the state of many tokens, a few bits each, under one signature."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from jitid.crypto import jws
from jitid.errors import InvalidCredentialError
from jitid.values import strict_json
from jitid.values.times import format_time

TYPES = frozenset({"statuslist+jwt"})
"""The `typ` of a status list (section 5.1)."""
MEDIA_TYPE = "application/statuslist+jwt"

VALID, INVALID, SUSPENDED = 0, 1, 2
"""What a status says of its token (section 7.1); what else it may say is for others to know."""

PLACES = 1 << 24
"""How many tokens a list of ours has a place for; a place is drawn, so that nobody can count what was issued."""
DAY = 86_400
"""So many seconds of expiries share a list of ours: it ends with the last of its tokens."""

MAX_BYTES = 1 << 24
"""The longest list that is unpacked: eight bits for each of our places."""
MAX_LIST_TOKEN = 1 << 22
"""The longest status list that is looked at: one of ours that does not compress at all has 3.8 MB."""
MAX_URI = 2_048

_SIZES = (1, 2, 4, 8)


class StatusReference(NamedTuple):
    """Where the state of a token stands (section 6)."""

    uri: str
    place: int


class StatusList(NamedTuple):
    """The states of many tokens; the first one is in the lowest bits of the first byte (section 4.1)."""

    bits: int
    """How many a state has: 1, 2, 4 or 8."""
    data: bytes

    def __len__(self) -> int:
        """How many states there are."""
        return len(self.data) * 8 // self.bits

    def at(self, index: int) -> int:
        """Return the state at a place. Raises InvalidCredentialError where the list has none."""
        if not 0 <= index < len(self):
            raise InvalidCredentialError("the token's place is not in its status list")
        byte, within = divmod(index * self.bits, 8)
        return self.data[byte] >> within & (1 << self.bits) - 1


class SignedStatusList(NamedTuple):
    """A status list that its issuer has signed. Times are seconds since the epoch."""

    uri: str
    issued_at: int
    """What has ended since then it does not tell."""
    expires_at: int
    statuses: StatusList


def number(expires_at: int) -> int:
    """Return which list of ours has the tokens that expire at a time."""
    return expires_at // DAY


def file_name(list_: int, algorithm: str) -> str:
    """Return the last part of a list's address; whoever takes one algorithm alone gets a list signed with it."""
    return f"{list_}.jwt" if algorithm == "EdDSA" else f"{list_}.{algorithm.lower()}.jwt"


def encode(data: bytes | bytearray) -> str:
    """Return the bytes of a list as `lst` has them: compressed (RFC 1950), in base64url."""
    # A higher level takes forty times as long and saves a sixth.
    return jws.b64url(zlib.compress(data, 6))


def decode(bits: object, text: object) -> StatusList:
    """Read the members of a `status_list`, unpacking no more than `MAX_BYTES`.

    Raises:
        InvalidCredentialError: they are none; the reason never repeats them.

    """
    if type(bits) is not int or bits not in _SIZES:
        raise InvalidCredentialError("the status list's `bits` is not 1, 2, 4 or 8")
    if type(text) is not str:
        raise InvalidCredentialError("the status list's `lst` is not a string")
    try:
        packed = jws.b64url_decode(text)
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, MAX_BYTES + 1)
    except (ValueError, zlib.error):
        raise InvalidCredentialError("the status list's `lst` is not zlib in canonical base64url") from None
    if len(data) > MAX_BYTES:
        raise InvalidCredentialError(f"the status list has more than {MAX_BYTES} bytes")
    if not unpacking.eof or unpacking.unused_data:
        raise InvalidCredentialError("the status list's `lst` is cut off, or something follows it")
    return StatusList(bits, data)


def claims(uri: str, issued_at: int, lifetime: int, packed: str) -> dict[str, Any]:
    """Return what a list of ours says, a bit a token (section 5.1). `lifetime`, in seconds, bounds its use.

    `packed` is what `encode` made of the bits. Whoever keeps it fetches a newer one after a third of that.
    """
    return {
        "sub": uri,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "ttl": max(lifetime // 3, 1),
        "status_list": {"bits": 1, "lst": packed},
    }


def reference(token: Mapping[str, Any]) -> StatusReference:
    """Return where the claims of a token say that its state stands.

    Raises:
        InvalidCredentialError: they say nothing, or nothing that can be meant.

    """
    status = token.get("status")
    if status is None:
        raise InvalidCredentialError(
            "the token names no status list, so that nobody can tell whether it was ended"
        )
    found = status.get("status_list") if type(status) is dict else None
    uri, index = (found.get("uri"), found.get("idx")) if type(found) is dict else (None, None)
    if type(uri) is not str or not 0 < len(uri) <= MAX_URI or type(index) is not int or index < 0:
        raise InvalidCredentialError("the token's `status` is none that can be read")
    return StatusReference(uri, index)


def read(text: str, keys: Mapping[str, tuple[str, bytes]], now: int) -> SignedStatusList:
    """Return a status list that one of these keys signed and that is good at `now`.

    `keys` are by `kid`: the algorithm, and the public key as `jws.verify_signature` takes it. A list is good until its
    `exp`; one without, for `ttl` seconds from its `iat`; one with neither is not. When a list was fetched nobody can
    tell from a file, so that `ttl` counts for those alone who fetch it.

    Raises:
        InvalidCredentialError: it is malformed, forged, of the future, or stale.

    """
    try:
        parsed = jws.parse(text, types=TYPES, most=MAX_LIST_TOKEN)
        key = keys.get(parsed.kid)
        if key is None:
            raise InvalidCredentialError("it is signed by a key that is not among the issuer's")
        jws.verify_signature(parsed, *key)
    except InvalidCredentialError as error:
        raise InvalidCredentialError(f"the status list is not valid: {error.message}") from None
    said = parsed.claims
    uri, listed = said.get("sub"), said.get("status_list")
    if type(uri) is not str or type(listed) is not dict:
        raise InvalidCredentialError("the status list has no `sub` or no `status_list`")
    issued_at, expires_at = _times(said)
    if now < issued_at:
        raise InvalidCredentialError("the status list is issued in the future")
    if now >= expires_at:
        raise InvalidCredentialError(
            f"the status list is stale: it was good until {format_time(expires_at)}, and what has ended since "
            f"{format_time(issued_at)} it does not tell",
            "fetch a newer one; who issues writes it with: jitid publish DIR",
        )
    return SignedStatusList(uri, issued_at, expires_at, decode(listed.get("bits"), listed.get("lst")))


def _times(said: Mapping[str, Any]) -> tuple[int, int]:
    """Return from when and until when a list is good, each of which it must say."""
    issued_at, ttl = said.get("iat"), said.get("ttl", 1)
    # `type` and not `isinstance`: to Python, true is an integer.
    if type(issued_at) is not int or type(ttl) is not int or ttl <= 0:
        raise InvalidCredentialError("the status list's `iat` or `ttl` is none that can be read")
    expires_at = said.get("exp", issued_at + ttl if "ttl" in said else None)
    if type(expires_at) is not int:
        raise InvalidCredentialError("the status list does not say until when it is good")
    return issued_at, expires_at


def check(token: Mapping[str, Any], listings: Collection[SignedStatusList]) -> SignedStatusList:
    """Refuse a token that its status list does not call valid; return that list.

    Raises:
        InvalidCredentialError: none of the lists is the one that it names, it has no place there, or is ended.

    """
    wanted = reference(token)
    found = [one for one in listings if one.uri == wanted.uri]
    if len(found) != 1:
        raise InvalidCredentialError("the status list is not the one that the token names")
    (listing,) = found
    status = listing.statuses.at(wanted.place)
    if status == VALID:
        return listing
    told = {INVALID: "was ended before its time", SUSPENDED: "is suspended"}.get(
        status, f"has the status {status}, which is not that of a valid one"
    )
    raise InvalidCredentialError(f"the token {told}, by the status list of {format_time(listing.issued_at)}")


def signing_input(said: Mapping[str, Any], kid: str, algorithm: str) -> str:
    """Return what is signed of a status list: its header and its claims."""
    (typ,) = TYPES
    header = strict_json.dumps({"alg": algorithm, "kid": kid, "typ": typ})
    return f"{jws.b64url(header.encode())}.{jws.b64url(strict_json.dumps(said).encode())}"
