"""Token Status Lists (draft-ietf-oauth-status-list): the state of many tokens, a few bits each, under one signature."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from typing import Any

from jitid.crypto import jws
from jitid.errors import InvalidCredentialError
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_time

TYPES = frozenset({"statuslist+jwt"})
"""The `typ` of a status list (section 5.1)."""
MEDIA_TYPE = "application/statuslist+jwt"

VALID, INVALID, SUSPENDED = 0, 1, 2
"""The statuses of a token (section 7.1) that jitid knows; other values depend on the application."""

PLACES = 1 << 24
"""The number of places in a jitid list. Places are assigned at random, so that issued tokens cannot be counted."""
DAY = 86_400
"""The span of expiries, in seconds, that share a list of jitid: the list ends with the last of its tokens."""

MAX_BYTES = 1 << 24
"""The maximum size of an unpacked list: eight bits for each place of a jitid list."""
MAX_LIST_TOKEN = 1 << 22
"""The maximum size of a status list token: an incompressible list of jitid has 3.8 MB."""
MAX_URI = 2_048

_SIZES = (1, 2, 4, 8)


class StatusReference(Record):
    """The place of a token's state in a status list (section 6)."""

    uri: str
    place: int


class StatusList(Record):
    """The states of many tokens; the first one is in the lowest bits of the first byte (section 4.1)."""

    bits: int
    """The bits of each state: 1, 2, 4 or 8."""
    data: bytes

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self.data) * 8 // self.bits

    def at(self, index: int) -> int:
        """Return the state at a place. Raises InvalidCredentialError if the list has no such place."""
        if not 0 <= index < len(self):
            raise InvalidCredentialError("the token's index is outside its status list")
        byte, shift = divmod(index * self.bits, 8)
        return self.data[byte] >> shift & (1 << self.bits) - 1


class SignedStatusList(Record):
    """A status list with a verified signature of its issuer. Times are seconds since the epoch."""

    uri: str
    issued_at: int
    """The list does not include tokens that were revoked after this time."""
    expires_at: int
    statuses: StatusList


def number(expires_at: int) -> int:
    """Return the number of jitid's list for the tokens that expire at a time."""
    return expires_at // DAY


def file_name(list_: int, algorithm: str) -> str:
    """Return the last part of a list's address; for a verifier with a single algorithm, the list is signed with it."""
    return f"{list_}.jwt" if algorithm == "EdDSA" else f"{list_}.{algorithm.lower()}.jwt"


def encode(data: bytes | bytearray) -> str:
    """Return the bytes of a list in the form of `lst`: compressed (RFC 1950), in base64url."""
    # A higher level takes forty times as long and saves a sixth.
    return strict_json.b64url(zlib.compress(data, 6))


def decode(bits: object, text: object) -> StatusList:
    """Return the list from the members of a `status_list`, unpacking no more than `MAX_BYTES`.

    Raises:
        InvalidCredentialError: the members are invalid; the reason never repeats them.

    """
    if type(bits) is not int or bits not in _SIZES:
        raise InvalidCredentialError("the status list's `bits` must be 1, 2, 4 or 8")
    if type(text) is not str:
        raise InvalidCredentialError("the status list's `lst` must be a string")
    try:
        packed = strict_json.b64url_decode(text)
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, MAX_BYTES + 1)
    except (ValueError, zlib.error):
        raise InvalidCredentialError("the status list's `lst` is not zlib in canonical base64url") from None
    if len(data) > MAX_BYTES:
        raise InvalidCredentialError(f"the status list has more than {MAX_BYTES} bytes")
    if not unpacking.eof or unpacking.unused_data:
        raise InvalidCredentialError("the status list's `lst` is truncated, or has trailing data")
    return StatusList(bits, data)


def claims(uri: str, issued_at: int, lifetime: int, packed: str) -> dict[str, Any]:
    """Return the claims of a jitid list, with a bit for each token (section 5.1). `lifetime` is in seconds.

    `packed` is the result of `encode`. A verifier that caches the list fetches a newer one after a third of the
    lifetime.
    """
    return {
        "sub": uri,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "ttl": max(lifetime // 3, 1),
        "status_list": {"bits": 1, "lst": packed},
    }


def reference(token: Mapping[str, Any]) -> StatusReference:
    """Return the status list and the place in it that the claims of a token name.

    Raises:
        InvalidCredentialError: the claims name no status list, or an invalid one.

    """
    status = token.get("status")
    if status is None:
        raise InvalidCredentialError(
            "the token names no status list: a revocation would stay unnoticed",
            "jitid config set publish_url URL (the address of the published folder); then run jitid publish, and issue "
            "the token again",
        )
    entry = status.get("status_list") if type(status) is dict else None
    uri, index = (entry.get("uri"), entry.get("idx")) if type(entry) is dict else (None, None)
    if type(uri) is not str or not 0 < len(uri) <= MAX_URI or type(index) is not int or index < 0:
        raise InvalidCredentialError("the token's `status` is invalid")
    return StatusReference(uri, index)


def read(text: str, keys: Mapping[str, tuple[str, bytes]], now: int) -> SignedStatusList:
    """Return a status list that one of these keys signed and that is valid at `now`.

    `keys` are by `kid`: the algorithm, and the public key in the form of `jws.verify_signature`. A list is valid until
    its `exp`; without it, for `ttl` seconds from its `iat`; without both, never. If there is an `exp`, `ttl` is
    ignored: it counts from the time of the fetch, which a file does not record.

    Raises:
        InvalidCredentialError: it is malformed, forged, of the future, or stale.

    """
    try:
        parsed = jws.parse(text, types=TYPES, most=MAX_LIST_TOKEN)
        key = keys.get(parsed.kid)
        if key is None:
            raise InvalidCredentialError("its signing key does not belong to the issuer")
        jws.verify_signature(parsed, *key)
    except InvalidCredentialError as error:
        raise InvalidCredentialError(f"the status list is not valid: {error.message}") from None
    claims = parsed.claims
    uri, listed = claims.get("sub"), claims.get("status_list")
    if type(uri) is not str or type(listed) is not dict:
        raise InvalidCredentialError("the status list lacks `sub` or `status_list`")
    issued_at, expires_at = _times(claims)
    if now < issued_at:
        raise InvalidCredentialError("the status list was issued in the future")
    if now >= expires_at:
        raise InvalidCredentialError(
            f"the status list is stale: it expired at {format_time(expires_at)} and "
            f"lacks revocations since {format_time(issued_at)}",
            "fetch a newer list; the issuer writes it with: jitid publish DIR",
        )
    return SignedStatusList(uri, issued_at, expires_at, decode(listed.get("bits"), listed.get("lst")))


def _times(claims: Mapping[str, Any]) -> tuple[int, int]:
    """Return the start and the end of a list's validity. Raise InvalidCredentialError if either is missing."""
    issued_at, ttl = claims.get("iat"), claims.get("ttl", 1)
    # `type` and not `isinstance`: to Python, true is an integer.
    if type(issued_at) is not int or type(ttl) is not int or ttl <= 0:
        raise InvalidCredentialError("the status list's `iat` or `ttl` is missing or invalid")
    expires_at = claims.get("exp", issued_at + ttl if "ttl" in claims else None)
    if type(expires_at) is not int:
        raise InvalidCredentialError(
            "the status list has no valid expiry: an integer `exp`, or `ttl`, is required"
        )
    return issued_at, expires_at


def check(token: Mapping[str, Any], listings: Collection[SignedStatusList]) -> SignedStatusList:
    """Return the status list of a token; refuse the token if its status there is not "valid".

    Raises:
        InvalidCredentialError: the token's list is missing, it has no place there, or its status is not valid.

    """
    expected = reference(token)
    matches = [status_list for status_list in listings if status_list.uri == expected.uri]
    if len(matches) != 1:
        raise InvalidCredentialError(
            "the token refers to another status list",
            f"use the list that it names: {quote(expected.uri, 300)}",
        )
    (listing,) = matches
    status = listing.statuses.at(expected.place)
    if status == VALID:
        return listing
    state = {INVALID: "was revoked", SUSPENDED: "is suspended"}.get(
        status, f"has the status {status}, which is not valid"
    )
    raise InvalidCredentialError(
        f"the token {state}, according to the status list of {format_time(listing.issued_at)}"
    )


def signing_input(claims: Mapping[str, Any], kid: str, algorithm: str) -> str:
    """Return the signed part of a status list: its header and its claims."""
    (typ,) = TYPES
    header = strict_json.dumps({"alg": algorithm, "kid": kid, "typ": typ})
    return f"{strict_json.b64url(header.encode())}.{strict_json.b64url(strict_json.dumps(claims).encode())}"
