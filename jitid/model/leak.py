"""What a ledger remembers of credentials that leaked, and what it answers about them."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jitid.model.sighting import Sighting


class Kin(NamedTuple):
    """What lives by the identity of a credential that leaked: whoever had the string may have had all of it."""

    successors: int
    """How many other credentials of the identity are alive."""
    delegated: int
    """How many credentials of what descends from it are."""
    until: int
    """When the last of all that ends, the leaked one included."""


class Leak(NamedTuple):
    """A credential that was reported to have been found somewhere. Times are seconds since the epoch."""

    key: int
    """Its number."""
    jti: str
    """The credential."""
    source: str
    """Where it was found, as whoever reported it says."""
    reported_at: int
    """When that was reported; never before the issue of the credential."""
    added_at: int
    """When the ledger heard of it."""
    event: int
    """The audit event that tells of it."""
    proved_at: int | None
    """When it was proved that what verifies by the ledger refuses the credential."""
    closed_at: int | None
    closed_event: int | None
    dead_at: int | None
    """When the credential ended, recorded or not; none while it is alive."""
    kin: Kin | None
    """What lives of its identity and below; none if nothing does."""
    refused_since: int | None = None
    """Since when the ledger refuses it and all that was made with it; None while it accepts any of that."""
    accepted_until: int | None = None
    """The time from which no verifier accepts any of that; None while nothing bounds it."""

    @property
    def lives_on(self) -> bool:
        """Tell whether the credential has ended and its identity, or something below that, is alive."""
        return self.dead_at is not None and self.kin is not None


class LeakFilter(NamedTuple):
    """Which leaks are meant; every given condition must hold."""

    numbers: tuple[int, ...] = ()
    """Their own; these and `jtis` are alternatives."""
    jtis: tuple[str, ...] = ()
    credentials: tuple[int, ...] = ()
    """The ledger's numbers of credentials."""
    source: str | None = None
    task: str | None = None
    open: bool = False
    """Nobody has closed it."""
    live: bool = False
    """The credential is alive; whether it verifies depends on what is above it too."""
    since: int | None = None
    """Reported at that time or later."""
    until: int | None = None
    """Reported before."""
    before: int | None = None
    """With a lower number than this: a page follows another so."""


class Printed(NamedTuple):
    """What fingerprints are in a ledger, as far as that is told of many at once."""

    credentials: list[tuple[int, bytes, bytes, int]]
    """Number, jti (16 bytes) and fingerprint of each credential that has one of them, and 1 if it is alive."""
    others: set[bytes]
    """Those that something else has: parts of secrets, and the bearers of who may ask an authority."""


class RecordedLeaks(NamedTuple):
    """What reporting some credentials came to."""

    new: list[tuple[int, bytes]]
    """Number and jti of each credential that is not in an open report from there, in the order of issue."""
    moved: int
    """How many of those were issued only after the time of the report, and count from their issue on."""
    later: int
    """How many are in an open report, as of later than this time; that stands."""


class SeenPlace(NamedTuple):
    """Where what leaked was seen, as the ledger has it."""

    sighting: "Sighting"
    event: int
    """The audit event that tells of it."""


class LeakPlaces(NamedTuple):
    """Where what leaked was seen, in short."""

    first: SeenPlace
    """The one that was reported first."""
    total: int
    """In how many places it was seen."""
    kept: int
    """Of so many of them is known which they are."""


class NewPlaces(NamedTuple):
    """Where credentials were seen, to be recorded."""

    sightings: "Mapping[int, Sequence[Sighting]]"
    """By the ledger's number of each credential; each place once."""
    met: Mapping[int, int]
    """How often each was met there in all."""


class Noted(NamedTuple):
    """What recording places came to."""

    rows: int
    """How many are new."""
    digest: str
    """Of those."""
    places: int = 0
    """How many places they stand for."""


class RefusedLeaks(NamedTuple):
    """Leaks of which nothing lives any more, by their numbers, in order."""

    leaks: list[int]
    """Those whose credential is refused by whatever verifies."""
    doubtful: list[int]
    """Those of which only the judge can tell that."""
    last: int | None
    """The last one that was looked at; none if there are no more."""


class LeakRow(NamedTuple):
    """A leak as the check of the audit log compares it."""

    key: int
    jti: bytes
    source: str
    reported_at: int
    added_at: int
    event: int
    issued_at: int
