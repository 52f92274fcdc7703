"""What leaked, as the ledger tells it now: whether it works, for how long it did, and who did what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jitid.capabilities.identity import introspection
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.leak.store import LeakStore
from jitid.errors import IntegrityError, NotFoundError, UsageError
from jitid.ledger.view import View
from jitid.model.credential import Credential, State
from jitid.model.leak import Leak, LeakFilter, LeakPlaces, SeenPlace
from jitid.model.ledger_rows import Ancestor

PAGE = 5_000
"""So many leaks are looked at together."""
_ALL = 1 << 62


class Leaked(NamedTuple):
    """A leak, with what the ledger says of its credential."""

    leak: Leak
    credential: Credential
    reason: str | None
    """Why what verifies by the ledger refuses the credential; none if it takes it."""
    now: int
    places: LeakPlaces | None = None
    """Where it was seen, in short; none if nobody said."""

    @property
    def state(self) -> str:
        """The state of the credential; `invalid` if it has not ended and yet is refused."""
        state = self.credential.state_at(self.now)
        return "invalid" if state is State.ACTIVE and self.reason is not None else state.value

    @property
    def exposure(self) -> int:
        """Return the seconds from the report to the end of the credential in the ledger, or until now."""
        end = self.now if self.leak.dead_at is None else self.leak.dead_at
        return max(end - self.leak.reported_at, 0)

    @property
    def exposure_verifiers(self) -> int | None:
        """Seconds from the report to the time from which no verifier accepts it; None while nothing bounds that."""
        until = self.leak.accepted_until
        return None if until is None else max(until - self.leak.reported_at, 0)

    @property
    def offline_until(self) -> int | None:
        """When it expires, if it is signed and has not expired; `acceptance` says until when verifiers accept it."""
        lasts = self.credential.claims_hash is not None and self.credential.expires_at > self.now
        return self.credential.expires_at if lasts else None


class LeakPage(NamedTuple):
    """Leaks, the newest first, and from where to go on."""

    leaks: list[Leaked]
    before: int | None
    """The number of the last one that was looked at; none if there are no more."""


class LeakDetails(NamedTuple):
    """All that there is to say of a leak."""

    leaked: Leaked
    lineage: list[Ancestor]
    seen: list[SeenPlace]
    """The places where it was seen, as far as they are kept."""
    event: Mapping[str, Any]
    """The audit events that recorded it, closed it, and ended the credential; empty where there is none."""
    closed_event: Mapping[str, Any]
    ended_event: Mapping[str, Any]


def page(snapshot: View, chosen: LeakFilter, limit: int, *, valid: bool = False) -> LeakPage:
    """Return leaks, the newest first; with `valid` those alone whose credential verifies."""
    size = min(limit, PAGE)
    found = LeakStore(snapshot).leaks(chosen._replace(live=chosen.live or valid), size)
    told = described(snapshot, found)
    rest = found[-1].key if len(found) == size else None
    return LeakPage([one for one in told if one.reason is None or not valid], rest)


def details(snapshot: View, chosen: LeakFilter) -> list[LeakDetails]:
    """Return all about some leaks, the newest first.

    Raises:
        NotFoundError: there is no such leak.

    """
    told = described(snapshot, find(snapshot, chosen))
    lineages = CredentialStore(snapshot).lineages({one.credential.identity_key for one in told})
    seen = LeakStore(snapshot).sightings(one.leak.key for one in told)

    def event(seq: int | None) -> Mapping[str, Any]:
        found = None if seq is None else snapshot.event(seq)
        return {} if found is None else found.document()

    return [
        LeakDetails(
            one,
            lineages.get(one.credential.identity_key, []),
            seen.get(one.leak.key, []),
            event(one.leak.event),
            event(one.leak.closed_event),
            event(one.credential.ended_event),
        )
        for one in told
    ]


def find(snapshot: View, chosen: LeakFilter) -> list[Leak]:
    """Return the leaks that are named by their numbers or by what leaked, the newest first.

    Raises:
        NotFoundError: one of them names none.
        UsageError: none is named, and that never means all.

    """
    if not chosen.numbers and not chosen.jtis:
        raise UsageError("no leak is named", "name it by its number, or by the jti of what leaked")
    found = LeakStore(snapshot).leaks(chosen, _ALL)
    numbers, jtis = {leak.key for leak in found}, {leak.jti for leak in found}
    for number in chosen.numbers:
        if number not in numbers:
            raise NotFoundError(f"there is no leak {number}", "see: jitid leak list")
    for jti in chosen.jtis:
        if jti not in jtis:
            raise NotFoundError(f"nobody has reported that {jti} leaked", "see: jitid leak list")
    return found


def described(snapshot: View, found: Sequence[Leak]) -> list[Leaked]:
    """Return leaks with what the ledger says of their credentials, in the same order."""
    credentials = credentials_of(snapshot, found)
    # What is dead is refused for that, whatever stands above it.
    alive = [credentials[leak.jti] for leak in found if leak.dead_at is None]
    grounds_of = CredentialStore(snapshot).grounds_of(one.key for one in alive if introspection.rests(one))
    places = LeakStore(snapshot).places(leak.key for leak in found)
    told = []
    for leak in found:
        one = credentials[leak.jti]
        reason = introspection.objection(one, grounds_of.get(one.key, ()), snapshot.now)
        told.append(Leaked(leak, one, reason, snapshot.now, places.get(leak.key)))
    return told


def credentials_of(snapshot: View, found: Iterable[Leak]) -> dict[str, Credential]:
    """Return what leaked by its jti. Raises IntegrityError if the ledger lacks it."""
    jtis = {leak.jti for leak in found}
    credentials = {
        one.jti: one for one in CredentialStore(snapshot).credentials_of_leaks(leak.key for leak in found)
    }
    if missing := jtis - credentials.keys():
        raise IntegrityError(f"the ledger lacks {missing.pop()}, which leaked", "run: jitid audit verify")
    return credentials
