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
    printed = LeakStore(snapshot).printed({*finds.opaque, *finds.prints, *signed})
    known_prints = {print_ for _, _, print_, _ in printed.credentials}
    credentials = {key: credential_id(jti) for key, jti, _, _ in printed.credentials}
    strings_of: dict[int, list[_String]] = {}
    if strings:
        strings_of = {key: _strings(print_, finds, signed) for key, _, print_, _ in printed.credentials}
    remaining = finds.copy()
    others = printed.others - known_prints
    remaining.opaque = {raw: finds.opaque[raw] for raw in others & finds.opaque.keys()}
    remaining.prints = {raw: finds.prints[raw] for raw in others & finds.prints.keys()}
    matched_tokens = {signed[print_] for print_ in known_prints & signed.keys()}
    remaining.signed = {token: count for token, count in finds.signed.items() if token not in matched_tokens}
    unknown = sum(
        len(counts.keys() - known_prints - printed.others) for counts in (finds.opaque, finds.prints)
    )
    alive = sum(live for _, _, _, live in printed.credentials)
    return Matched(credentials, alive, strings_of, remaining, unknown)


def _strings(print_: bytes, finds: Finds, signed: dict[bytes, str]) -> list[_String]:
    strings: list[_String] = []
    if print_ in finds.opaque:
        strings.append(("opaque", print_))
    if print_ in finds.prints:
        strings.append(("prints", print_))
    if print_ in signed:
        strings.append(("signed", signed[print_]))
    return strings
