"""What tracing tells: the credentials of which something was found, and what is nothing that the ledger knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jitid.model.acceptance import accepted_until
from jitid.model.credential import Credential, Kind
from jitid.model.ledger_rows import Ancestor, Family
from jitid.model.task import Task

MATCHES = ("opaque", "jwt", "private-key", "secret", "fingerprint", "truncated-jwt", "forged-jwt", "id")
"""What a string can be, the best evidence first; a forged one is whole, and no key of ours signed it."""


MISTYPED = "cut or mistyped: the checksum does not fit"
SHOWN = 20
"""So many strings that the ledger does not know are told one by one."""


class Evidence(NamedTuple):
    """The strings of one credential."""

    match: str
    """One of `MATCHES`: the best of what was found."""
    proof: str | None
    """`fingerprint` or `signature`; none if anybody could have written what was found."""
    strings: int
    """How many distinct ones there are."""
    occurrences: int


class Match(NamedTuple):
    """A credential of this ledger of which something was found."""

    credential: Credential
    evidence: Evidence
    reason: str | None
    """Why it is not valid; none if it is."""
    lineage: list[Ancestor]
    task: Task
    family: Family
    ended_event: Mapping[str, Any] | None
    offline_until: int | None
    """Until when offline verifiers may accept a signed credential of its identity, the leeway included; none if none
    may any more."""
    at_target: bool = False
    """Whether its target may take it: it lives, or nothing is known of its end there."""
    marks: tuple[bytes, ...] = ()
    """Of which strings it was seen, as `find.mark` has it: whoever knows where those stood knows where it did."""

    @property
    def endable(self) -> bool:
        """Tell whether revoking it would end something."""
        return self.family.live or self.family.live_below > 0


class Stray(NamedTuple):
    """A string that looks like ours, and is nothing that this ledger knows."""

    match: str
    name: str | None
    """The id, where it has one."""
    reason: str
    occurrences: int
    signed_by: str | None = None
    """The key of ours that signed it all the same: somebody else has that key."""
    access: str | None = None
    """The access credential whose bearer it is: whoever has it asks the authority by it."""
    whose: str | None = None
    """Who was granted that."""
    state: str | None = None
    """What has become of it."""
    marks: tuple[bytes, ...] = ()
    """Of which strings it was seen, as a match has them."""

    @property
    def known(self) -> bool:
        """Tell whether it is something all the same: what a key of ours signed, or somebody's bearer."""
        return self.signed_by is not None or self.access is not None

    @property
    def ours(self) -> bool:
        """Tell whether the ledger knows it: somebody's bearer, or a key that signs."""
        return self.access is not None or self.match == "private-key"

    @property
    def mistyped(self) -> bool:
        """Tell whether it cannot even be looked up."""
        return self.reason == MISTYPED


class Traced(NamedTuple):
    """What was found."""

    matches: list[Match]
    strays: list[Stray]
    """The first of them, those that are signed before the others."""
    unknown: int
    """How many there are of them in all."""
    words: list[Stray]
    """The first words that could be fingerprints and are none here; many texts hold some, of other things."""
    now: int
    others: tuple[bytes, ...] = ()
    """The marks of those strays that are not told one by one."""


class Recognised(NamedTuple):
    """What was found, without what the ledger tells of it."""

    found: list[tuple[Credential, Evidence]]
    strays: list[Stray]
    unknown: int
    words: list[Stray]
    unknown_words: int
    """How many of those there are in all."""
    now: int
    strings: Mapping[int, Sequence[tuple[str, bytes | str]]]
    """Of each credential, by its key, the strings of it: their sorts, and what is kept of them."""


def together(parts: Iterable[Traced]) -> Traced:
    """Return what was found in several parts of a text."""
    matches: dict[int, Match] = {}
    strays: list[Stray] = []
    words: list[Stray] = []
    others: dict[bytes, None] = {}
    unknown = now = 0
    for part in parts:
        for match in part.matches:
            before = matches.get(match.credential.key)
            evidence = match.evidence if before is None else joined(before.evidence, match.evidence)
            marks = match.marks if before is None else tuple(dict.fromkeys((*before.marks, *match.marks)))
            matches[match.credential.key] = match._replace(evidence=evidence, marks=marks)
        strays, more = parted([*strays, *part.strays])
        others.update(dict.fromkeys(mark for stray in more for mark in stray.marks))
        others.update(dict.fromkeys(part.others))
        words = [*words, *part.words][:SHOWN]
        unknown += part.unknown
        now = part.now
    return Traced(list(matches.values()), strays, unknown, words, now, tuple(others))


def honour(match: Match) -> tuple[str, int | None]:
    """Return who may still honour the identity of a credential, and until when.

    One that was superseded may expire after its successor, and only the ledger knows that it was.
    """
    credential = match.credential
    if match.reason is None and credential.claims_hash is not None:
        return "whoever verifies for its audiences", max(
            accepted_until(credential.expires_at), match.offline_until or 0
        )
    if match.at_target and credential.kind == Kind.ADOPTED:
        return "whoever takes it where it is kept", credential.expires_at
    if match.at_target:
        return "the target that made it", credential.superseded_at or credential.expires_at
    if match.reason is None:
        return "whoever asks this ledger", credential.superseded_at or credential.expires_at
    if match.offline_until is not None:
        return "verifiers that do not ask this ledger", match.offline_until
    return "nobody", None


def joined(one: Evidence, other: Evidence) -> Evidence:
    """Return the evidence of one credential that two parts of a text have."""
    best = min(one, other, key=lambda each: (each.proof is None, MATCHES.index(each.match)))
    return Evidence(best.match, best.proof, one.strings + other.strings, one.occurrences + other.occurrences)


def first_of(strays: list[Stray]) -> list[Stray]:
    """Return those that are told one by one: what a key of ours signed, and what is known, before the others."""
    return sorted(strays, key=lambda stray: not stray.known)[:SHOWN]


def parted(strays: list[Stray]) -> tuple[list[Stray], list[Stray]]:
    """Return those that are told one by one, which are all that are known and the first of the others, and the rest."""
    known = [stray for stray in strays if stray.known]
    others = [stray for stray in strays if not stray.known]
    room = max(0, SHOWN - len(known))
    return [*known, *others[:room]], others[room:]
