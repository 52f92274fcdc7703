"""Match the fingerprints of very many strings with the ledger at once, without a look-up for each string."""

from __future__ import annotations

from typing import NamedTuple

from jitid.capabilities.leak.store import LeakStore
from jitid.ledger.view import View
from jitid.search.find import Finds
from jitid.values.ids import credential_id
from jitid.values.secret import fingerprint

_String = tuple[str, bytes | str]


class Matched(NamedTuple):
    """Strings that their fingerprint alone identifies, and the strings that are left to examine."""

    credentials: dict[int, str]
    """Number and jti of each credential that is proved to have been there."""
    alive: int
    """How many of them are live."""
    strings: dict[int, list[_String]]
    """The strings of each of these credentials, in the form of `Recognised`; empty unless requested."""
    left: Finds
    """The strings to examine: all others, without strings that no record has."""
    unknown: int
    """The number of opaque tokens and fingerprints that no record has; they are not in `left`."""


def match(snapshot: View, finds: Finds, *, strings: bool) -> Matched:
    """Match opaque tokens, whole signed tokens and fingerprints with credentials.

    The result is that of `trace_strings.recognise`: a token with the fingerprint of a credential is exactly the token
    that was handed out. Left to examine are strings that another record has, and signed tokens that no record has:
    their signature must be verified.
    """
    signed = {fingerprint(token): token for token in finds.signed}
    found = LeakStore(snapshot).printed({*finds.opaque, *finds.prints, *signed})
    known = {print_ for _, _, print_, _ in found.credentials}
    credentials = {key: credential_id(jti) for key, jti, _, _ in found.credentials}
    of: dict[int, list[_String]] = {}
    if strings:
        of = {key: _strings(print_, finds, signed) for key, _, print_, _ in found.credentials}
    left = finds.copy()
    others = found.others - known
    left.opaque = {raw: finds.opaque[raw] for raw in others & finds.opaque.keys()}
    left.prints = {raw: finds.prints[raw] for raw in others & finds.prints.keys()}
    same = {signed[print_] for print_ in known & signed.keys()}
    left.signed = {token: count for token, count in finds.signed.items() if token not in same}
    unknown = sum(len(some.keys() - known - found.others) for some in (finds.opaque, finds.prints))
    alive = sum(live for _, _, _, live in found.credentials)
    return Matched(credentials, alive, of, left, unknown)


def _strings(print_: bytes, finds: Finds, signed: dict[bytes, str]) -> list[_String]:
    found: list[_String] = []
    if print_ in finds.opaque:
        found.append(("opaque", print_))
    if print_ in finds.prints:
        found.append(("prints", print_))
    if print_ in signed:
        found.append(("signed", signed[print_]))
    return found
