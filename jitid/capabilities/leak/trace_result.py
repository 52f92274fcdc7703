"""The result of a trace: the credentials that were found, and the strings that the ledger does not know.

And the places where they were seen, in the form that is stored and sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jitid.model.credential import Credential, Kind, State, accepted_until
from jitid.model.leak import (
    LONGEST_FINDER,
    LONGEST_PLACE,
    LONGEST_REVISION,
    MOST_PLACES,
    Sighting,
    sighted_text,
)
from jitid.model.ledger_rows import Ancestor, Family
from jitid.model.task import Task
from jitid.search.find import Finds, mark
from jitid.values.record import Record

MATCHES = ("opaque", "jwt", "private-key", "secret", "fingerprint", "truncated-jwt", "forged-jwt", "id")
"""The types of match, the best evidence first; a forged token is complete, but no key of jitid signed it."""
MISTYPED = "cut or mistyped: the checksum does not fit"
SHOWN = 20
"""The maximum number of unknown strings that are listed."""


class Evidence(Record):
    """The evidence for one credential."""

    match: str
    """One of `MATCHES`: the best evidence that was found."""
    proof: str | None
    """`fingerprint` or `signature`; None if the strings can be written without the secret."""
    strings: int
    """The number of distinct strings."""
    occurrences: int


class Match(Record):
    """A credential of this ledger with evidence that it was found."""

    credential: Credential
    evidence: Evidence
    reason: str | None
    """Why it is not valid; None if it is valid."""
    lineage: list[Ancestor]
    task: Task
    family: Family
    ended_event: Mapping[str, Any] | None
    offline_until: int | None
    """Until when offline verifiers may accept a signed credential of its identity, with leeway; None if none may."""
    at_target: bool = False
    """Whether its target may accept it: it is live, or its end there is not confirmed."""
    marks: tuple[bytes, ...] = ()
    """The marks of its strings (`find.mark`): the places of these strings are its places."""

    @property
    def chain(self) -> list[str]:
        """The delegator and the agents of the credential, from the root down."""
        ancestors = [ancestor.agent for ancestor in reversed(self.lineage)]
        return [self.credential.delegator, *ancestors, self.credential.agent]

    def state_at(self, now: int) -> str:
        """Return the state of the credential; `invalid` if it has not ended and yet is refused."""
        state = self.credential.state_at(now)
        return "invalid" if state is State.ACTIVE and self.reason is not None else state.value

    @property
    def endable(self) -> bool:
        """Return whether a revocation would end any credential."""
        return self.family.live or self.family.live_below > 0


class Stray(Record):
    """A string in jitid's form that is not a credential of this ledger."""

    match: str
    name: str | None
    """Its id, if it has one."""
    reason: str
    occurrences: int
    signed_by: str | None = None
    """The key of jitid that signed it, or that was found itself: an attacker has that key."""
    access: str | None = None
    """The id of the access credential whose access token it is: its holder can authenticate to the authority."""
    whose: str | None = None
    """The caller of that access credential."""
    state: str | None = None
    """The state of that access credential."""
    marks: tuple[bytes, ...] = ()
    """The marks of its strings, as in `Match`."""

    @property
    def known(self) -> bool:
        """Return whether it is dangerous all the same: a key of jitid signed it, or it is an access token."""
        return self.signed_by is not None or self.access is not None

    @property
    def is_known_here(self) -> bool:
        """Return whether the ledger knows it: an access token, or a private key that signs."""
        return self.access is not None or self.match == "private-key"

    @property
    def mistyped(self) -> bool:
        """Return whether it is too damaged to look up."""
        return self.reason == MISTYPED


class Traced(Record):
    """The result of a trace."""

    matches: list[Match]
    strays: list[Stray]
    """The first of the strays, with `known` ones before the others."""
    unknown: int
    """The number of all strings that the ledger does not know."""
    words: list[Stray]
    """The first words that could be fingerprints but match no record; many texts contain other fingerprints."""
    now: int
    others: tuple[bytes, ...] = ()
    """The marks of the strays that are not listed."""


class Recognised(Record):
    """The credentials that were found, without further facts from the ledger."""

    found: list[tuple[Credential, Evidence]]
    strays: list[Stray]
    unknown: int
    words: list[Stray]
    unknown_words: int
    """The number of all such words."""
    now: int
    strings: Mapping[int, Sequence[tuple[str, bytes | str]]]
    """The strings of each credential, by its key: for each string its type and its stored form."""


def together(parts: Iterable[Traced]) -> Traced:
    """Return the results for several parts of a text as one result."""
    matches: dict[int, Match] = {}
    strays: list[Stray] = []
    words: list[Stray] = []
    others: dict[bytes, None] = {}
    unknown = now = 0
    for part in parts:
        for match in part.matches:
            earlier = matches.get(match.credential.key)
            evidence = match.evidence if earlier is None else joined(earlier.evidence, match.evidence)
            marks = match.marks if earlier is None else tuple(dict.fromkeys((*earlier.marks, *match.marks)))
            matches[match.credential.key] = match._replace(evidence=evidence, marks=marks)
        strays, unlisted = parted([*strays, *part.strays])
        others.update(dict.fromkeys(mark for stray in unlisted for mark in stray.marks))
        others.update(dict.fromkeys(part.others))
        words = [*words, *part.words][:SHOWN]
        unknown += part.unknown
        now = part.now
    return Traced(list(matches.values()), strays, unknown, words, now, tuple(others))


def honour(match: Match) -> tuple[str, int | None]:
    """Return the parties that may still accept the identity of a credential, and until when.

    A superseded credential may expire after its successor, and only the ledger knows that it was superseded.
    """
    credential = match.credential
    if match.reason is None and credential.claims_hash is not None:
        return "verifiers of its audiences", max(
            accepted_until(credential.expires_at), match.offline_until or 0
        )
    if match.at_target and credential.kind == Kind.ADOPTED:
        return "services that accept the secret", credential.expires_at
    if match.at_target:
        return "the target that made it", credential.superseded_at or credential.expires_at
    if match.reason is None:
        return "verifiers that query this ledger", credential.superseded_at or credential.expires_at
    if match.offline_until is not None:
        return "verifiers that do not query this ledger", match.offline_until
    return "no verifier", None


def joined(evidence: Evidence, other: Evidence) -> Evidence:
    """Return the combined evidence for one credential from two parts of a text."""
    best = min(
        evidence, other, key=lambda candidate: (candidate.proof is None, MATCHES.index(candidate.match))
    )
    return Evidence(
        best.match, best.proof, evidence.strings + other.strings, evidence.occurrences + other.occurrences
    )


def first_of(strays: list[Stray]) -> list[Stray]:
    """Return the strays to list: `known` ones before the others."""
    return sorted(strays, key=lambda stray: not stray.known)[:SHOWN]


def parted(strays: list[Stray]) -> tuple[list[Stray], list[Stray]]:
    """Return the strays to list and the rest: all `known` ones are listed, and the first of the others."""
    known = [stray for stray in strays if stray.known]
    others = [stray for stray in strays if not stray.known]
    room = max(0, SHOWN - len(known))
    return [*known, *others[:room]], others[room:]


_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
_LAST_LINE = 1 << 53
_BESIDES = 100
"""The number of characters of a place in a request besides its texts."""


def kept_places(sighting: Sighting) -> Sighting:
    r"""Return a sighting in a form that may be stored, for any file name and any text in a report.

    Bytes that are not UTF-8 are written as `\xff`. Of a text that is too long, a place keeps the end and other texts
    keep the beginning. Stars replace words that could be a token: a path may contain a leaked token.
    """
    line, found_at = sighting.line, sighting.found_at
    return Sighting(
        sighted_text(sighting.place, LONGEST_PLACE, at_end=True) or "?",
        line if line is not None and 1 <= line <= _LAST_LINE else None,
        sighted_text(sighting.revision or "", LONGEST_REVISION) or None,
        found_at if found_at is not None and 0 <= found_at <= _LAST else None,
        sighted_text(sighting.finder or "", LONGEST_FINDER) or None,
    )


def place_parts(
    finds: Finds, sightings: Mapping[bytes, Sequence[Sighting]], room: int | None
) -> Iterator[tuple[Finds, dict[str, tuple[Sighting, ...]]]]:
    """Yield the found strings in parts, each for one request, with the places of each string by its mark.

    The mark is in hexadecimal. `room` is the maximum number of characters that the receiver of a part accepts; None
    for any number. Of each string at most `MOST_PLACES` places are sent: its number of occurrences shows how many more
    there were.
    """
    part, by_mark, remaining = Finds(), dict[str, tuple[Sighting, ...]](), room
    for kind, key, count in finds.strings():
        raw_mark = mark(kind, key)
        kept_sightings = tuple(map(kept_places, sightings.get(raw_mark, ())[:MOST_PLACES]))
        if room is not None and remaining is not None:
            size = 2 * len(key) + _BESIDES + sum(map(_size, kept_sightings))
            if remaining < size and remaining < room:
                yield part, by_mark
                part, by_mark, remaining = Finds(), {}, room
            remaining -= size
        counts: dict[Any, int] = getattr(part, kind)
        counts[key] = count
        if kept_sightings:
            by_mark[raw_mark.hex()] = kept_sightings
    part.mistyped = finds.mistyped
    yield part, by_mark


def distinct_places(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Return each place once, with the facts of its first sighting: another finder may report the same place."""
    first_sightings: dict[tuple[str, int | None, str | None], Sighting] = {}
    for sighting in sightings:
        first_sightings.setdefault((sighting.place, sighting.line, sighting.revision), sighting)
    return list(first_sightings.values())


def _size(sighting: Sighting) -> int:
    """Return an upper bound of the characters of a sighting in a request, where a control character takes six."""
    texts = (sighting.place, sighting.revision or "", sighting.finder or "")
    return _BESIDES + sum(
        len(text) if text.isascii() and text.isprintable() else 6 * len(text.encode()) for text in texts
    )
