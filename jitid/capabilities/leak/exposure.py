"""Leaks as the ledger has them now: whether the credential works, how long it was exposed, and its audit events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jitid.capabilities.identity import validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.leak.store import LeakStore
from jitid.errors import IntegrityError, NotFoundError, UsageError
from jitid.ledger.view import View
from jitid.model.credential import Credential, State
from jitid.model.leak import Leak, LeakFilter, LeakPlaces, SeenPlace
from jitid.model.ledger_rows import Ancestor
from jitid.values.record import Record

PAGE = 5_000
"""The maximum number of leaks that are examined together."""
_ALL = 1 << 62


class Leaked(Record):
    """A leak with its credential."""

    leak: Leak
    credential: Credential
    reason: str | None
    """Why verification by the ledger refuses the credential; None if it accepts it."""
    now: int
    places: LeakPlaces | None = None
    """A summary of the places where it was seen; None if no report states any."""

    @property
    def valid(self) -> bool:
        """Whether verification by the ledger accepts the credential."""
        return self.reason is None

    @property
    def place_count(self) -> int:
        """The number of places where it was seen."""
        return 0 if self.places is None else self.places.total

    @property
    def place(self) -> str | None:
        """The place that was reported first, with its line."""
        return None if self.places is None else self.places.first.sighting.spot

    @property
    def state(self) -> str:
        """The state of the credential; `invalid` if it has not ended and yet is refused."""
        state = self.credential.state_at(self.now)
        return "invalid" if state is State.ACTIVE and self.reason is not None else state.value

    @property
    def exposure(self) -> int:
        """Return the seconds from the report to the end of the credential in the ledger, or until now."""
        end_time = self.now if self.leak.dead_at is None else self.leak.dead_at
        return max(end_time - self.leak.reported_at, 0)

    @property
    def exposure_verifiers(self) -> int | None:
        """Seconds from the report to the time from which no verifier accepts it; None while that has no bound."""
        accepted_until = self.leak.accepted_until
        return None if accepted_until is None else max(accepted_until - self.leak.reported_at, 0)

    @property
    def has_live_identity(self) -> bool:
        """Whether the credential of an open leak has ended while its identity is still live."""
        return self.leak.closed_at is None and self.leak.has_live_kin

    @property
    def offline_until(self) -> int | None:
        """When it expires, if it is signed and has not expired; `acceptance` says until when verifiers accept it."""
        lasts = self.credential.claims_hash is not None and self.credential.expires_at > self.now
        return self.credential.expires_at if lasts else None


class LeakPage(Record):
    """Leaks, the newest first, with the cursor of the next page."""

    leaks: list[Leaked]
    before: int | None
    """The number of the last leak that was examined; None if there are no more."""


class LeakDetails(Record):
    """All facts about a leak."""

    leaked: Leaked
    lineage: list[Ancestor]
    seen: list[SeenPlace]
    """The recorded places where it was seen."""
    event: Mapping[str, Any]
    """The audit events that recorded it, closed it, and ended the credential; empty where there is none."""
    closed_event: Mapping[str, Any]
    ended_event: Mapping[str, Any]

    @property
    def chain(self) -> list[str]:
        """The delegator and the agents of the credential, from the root down."""
        credential = self.leaked.credential
        ancestors = [ancestor.agent for ancestor in reversed(self.lineage)]
        return [credential.delegator, *ancestors, credential.agent]

    @property
    def ended_by(self) -> str | None:
        """The caller who ended the credential."""
        # An expired or superseded credential ended by itself: the caller of that event did not end it.
        by_itself = self.leaked.state in (State.EXPIRED, State.SUPERSEDED)
        return None if by_itself else self.ended_event.get("by")


def page(snapshot: View, chosen: LeakFilter, limit: int, *, valid: bool = False) -> LeakPage:
    """Return leaks, the newest first; with `valid`, only leaks whose credential verifies."""
    size = min(limit, PAGE)
    leaks = LeakStore(snapshot).leaks(chosen._replace(live=chosen.live or valid), size)
    leaked = described(snapshot, leaks)
    cursor = leaks[-1].key if len(leaks) == size else None
    return LeakPage([entry for entry in leaked if entry.reason is None or not valid], cursor)


def details(snapshot: View, chosen: LeakFilter) -> list[LeakDetails]:
    """Return all facts about some leaks, the newest first. Raises NotFoundError if there is no such leak."""
    leaked = described(snapshot, find(snapshot, chosen))
    lineages = CredentialStore(snapshot).lineages({entry.credential.identity_key for entry in leaked})
    seen_places = LeakStore(snapshot).sightings(entry.leak.key for entry in leaked)
    return [
        LeakDetails(
            entry,
            lineages.get(entry.credential.identity_key, []),
            seen_places.get(entry.leak.key, []),
            snapshot.document(entry.leak.event),
            snapshot.document(entry.leak.closed_event),
            snapshot.document(entry.credential.ended_event),
        )
        for entry in leaked
    ]


def find(snapshot: View, chosen: LeakFilter) -> list[Leak]:
    """Return the leaks with the given numbers, and the leaks of the given credentials, the newest first.

    Raises:
        NotFoundError: there is no leak with a given number or of a given credential.
        UsageError: no leak is named; that never means all leaks.

    """
    if not chosen.numbers and not chosen.jtis:
        raise UsageError("no leak is named", "name it by its number, or by the jti of its credential")
    leaks = LeakStore(snapshot).leaks(chosen, _ALL)
    numbers, jtis = {leak.key for leak in leaks}, {leak.jti for leak in leaks}
    for number in chosen.numbers:
        if number not in numbers:
            raise NotFoundError(f"there is no leak {number}", "see: jitid leak list")
    for jti in chosen.jtis:
        if jti not in jtis:
            raise NotFoundError(f"there is no leak of {jti}", "see: jitid leak list")
    return leaks


def described(snapshot: View, leaks: Sequence[Leak]) -> list[Leaked]:
    """Return leaks with their credentials and the reasons for a refusal, in the same order."""
    credentials = credentials_of(snapshot, leaks)
    # An ended credential is refused for its end; the credentials above it do not matter.
    alive = [credentials[leak.jti] for leak in leaks if leak.dead_at is None]
    grounds_of = CredentialStore(snapshot).grounds_of(
        credential.key for credential in alive if validity.rests(credential)
    )
    places_of = LeakStore(snapshot).places(leak.key for leak in leaks)
    leaked = []
    for leak in leaks:
        credential = credentials[leak.jti]
        reason = validity.why_invalid(credential, grounds_of.get(credential.key, ()), snapshot.now)
        leaked.append(Leaked(leak, credential, reason, snapshot.now, places_of.get(leak.key)))
    return leaked


def credentials_of(snapshot: View, leaks: Iterable[Leak]) -> dict[str, Credential]:
    """Return the leaked credentials by their jtis. Raises IntegrityError if the ledger lacks one."""
    jtis = {leak.jti for leak in leaks}
    credentials = {
        credential.jti: credential
        for credential in CredentialStore(snapshot).credentials_of_leaks(leak.key for leak in leaks)
    }
    if missing := jtis - credentials.keys():
        raise IntegrityError(
            f"the ledger lacks the leaked credential {missing.pop()}", "run: jitid audit verify"
        )
    return credentials
