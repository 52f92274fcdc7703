"""What the fingerprints of very many strings say at once, without looking at each of them."""

from __future__ import annotations

from typing import NamedTuple

from jitid.capabilities.leak.store import LeakStore
from jitid.ledger.view import View
from jitid.search.find import Finds
from jitid.values.ids import credential_id
from jitid.values.secret import fingerprint

_String = tuple[str, bytes | str]


class Matched(NamedTuple):
    """What is known by its fingerprint alone, and what is left to be looked at."""

    credentials: dict[int, str]
    """Number and jti of each credential that is proved to have been there."""
    alive: int
    """How many of them are alive."""
    strings: dict[int, list[_String]]
    """Of each of those the strings of it, as `Recognised` has them; nothing unless they are wanted."""
    left: Finds
    """Everything else, but for what is known to be nothing."""
    unknown: int
    """How many of the strings that are not left nothing has."""


def match(snapshot: View, finds: Finds, *, strings: bool) -> Matched:
    """Tell of opaque tokens, whole signed ones and fingerprints which credentials they are.

    It says the same of them as `trace_strings.recognise`: a token whose fingerprint a credential has is the very one
    that was handed out. What something else has, and tokens that nothing has, whose signature must be verified, are
    left.
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
