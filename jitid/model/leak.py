"""The records of leaked credentials in a ledger, and the answers to queries about them.

And the consequences of a leak: the later credentials of the identity, its actions, and how all of these ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated

from jitid.errors import UsageError
from jitid.redaction.token_format import MASK, MAX_TOKEN, name_holds_token
from jitid.values.declaration import FieldType
from jitid.values.field_types import COUNT, ID, LONG, POSITIVE, TASK_FILTER, TIME, text, texts
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.text import refuse_mark

LONGEST_PLACE = 1_000
"""The maximum length of a place in bytes of UTF-8; a longer place keeps its end, which names the file."""
LONGEST_FINDER = 100
LONGEST_REVISION = 64
_LONGEST_NUMBER = 18
"""Maximum number of digits that fit into an integer of every ledger."""
MOST_PLACES = 100
"""The maximum number of places kept for a leak; further places are only counted."""


# All strings in a file have the same place.
@lru_cache(maxsize=1024)
def sighted_text(text: str, limit: int, *, at_end: bool = False) -> str:
    """Return a text of a sighting, of at most `limit` bytes, in a form that may be stored."""
    # Keep room for one more token: a token that is cut in two would not be recognised.
    room = limit + MAX_TOKEN
    text = text[-room:] if at_end else text[:room]
    if not (text.isascii() and text.isprintable()):
        try:
            raw = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = text.encode("utf-8", "backslashreplace")
        text = raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    text = starred(text)
    raw = text.encode()
    if len(raw) > limit:
        # A character that is cut in two is left out.
        text = (raw[-limit:] if at_end else raw[:limit]).decode("utf-8", "ignore")
    return text


def starred(text: str) -> str:
    """Return a text with stars for each word that could be a token: a path may contain a leaked token."""
    if not name_holds_token(text):
        return text
    masked = re.sub(r"[\w.%-]+", _concealed, text, flags=re.ASCII)
    return "****" if name_holds_token(masked) else masked


def is_kept(text: str, limit: int) -> bool:
    """Return whether a text of a sighting, of at most `limit` bytes, has the form that `sighted_text` returns."""
    return bool(text) and sighted_text(text, limit) == text


def seen_text(max_bytes: int) -> FieldType[str]:
    """Return the type of a text of a sighting, of at most `max_bytes` bytes."""

    def check(value: str) -> str:
        if not is_kept(value, max_bytes):
            raise UsageError(
                f"expected at most {max_bytes} bytes of UTF-8, without a NUL and without a token"
            )
        return value

    return texts(check, "TEXT", {"minLength": 1, "maxLength": max_bytes})


def parse_leak(text: str) -> int | str:
    """Return the number of a leak, or the jti of a leaked credential.

    Raises UsageError for any other text, and does not repeat it.
    """
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER:
        return int(text)
    if text.startswith("jti_"):
        parse_id(text)
        return text
    refuse_mark(text, "the id")
    raise UsageError(
        "expected the number of a leak, or the jti of a leaked credential",
        "to list the leaks: jitid leak list",
    )


LEAK: FieldType[int | str] = texts(parse_leak, "ID", {}, "leaks")
"""A leak on a command line."""


class Sighting(Record):
    """One place where a string was seen."""

    place: Annotated[str, seen_text(LONGEST_PLACE)]
    """A path within the searched material, or the address of a page."""
    line: Annotated[int | None, POSITIVE] = None
    """Counted from 1."""
    revision: Annotated[str | None, seen_text(LONGEST_REVISION)] = None
    """The commit that contains the string."""
    found_at: Annotated[int | None, TIME] = None
    """When the string was there, in seconds since the epoch: the time of the commit or of its discovery.

    None if the finder does not state it.
    """
    finder: Annotated[str | None, seen_text(LONGEST_FINDER)] = None
    """The tool that found it, with its rule: `gitleaks jitid-token`."""

    @property
    def spot(self) -> str:
        """The place with its line, for people."""
        return self.place if self.line is None else f"{self.place}:{self.line}"


def fit_place(text: str) -> str:
    """Return a place in the form that is recorded: cut to the maximum length, without recognizable secrets.

    Paths and addresses come from others. Some contain a jitid token, some a user and a password (RFC 3986, section
    3.2.1).
    """
    # Keep the length of one more token at first: a token that is cut in two would not be recognized.
    text = text[-LONGEST_PLACE - MAX_TOKEN :].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if name_holds_token(text):
        text = re.sub(r"(?:[\w.-]|%5[fF]){16,}", _concealed, text, flags=re.ASCII)
        if name_holds_token(text):
            # No single word matches: the token is interrupted by another character.
            text = MASK
    if "://" in text and "@" in text:
        text = re.sub(r"(://)[^/?#\s@]*@", r"\1****@", text)
    return text[-LONGEST_PLACE:]


def _concealed(match: re.Match[str]) -> str:
    return "****" if name_holds_token(match[0]) else match[0]


class Kin(Record):
    """The live credentials around a leaked one: the holder of the string may have obtained any of them."""

    successors: int
    """The number of other live credentials of the identity."""
    delegated: int
    """The number of live credentials of its descendants."""
    until: int
    """When the last of these credentials ends, the leaked one included."""


class Leak(Record):
    """A credential that was reported as leaked. Times are seconds since the epoch."""

    key: int
    """Its number."""
    jti: str
    """The credential."""
    source: str
    """Where it was found, as the reporter states it."""
    reported_at: int
    """When the leak was reported; never before the issue of the credential."""
    added_at: int
    """When the ledger recorded the report."""
    event: int
    """The audit event that records it."""
    proved_at: int | None
    """When it was proved that verification by the ledger refuses the credential."""
    closed_at: int | None
    closed_event: int | None
    dead_at: int | None
    """When the credential ended, recorded or not; None while it is live."""
    kin: Kin | None
    """The live credentials of its identity and of the descendants; None if there are none."""
    refused_since: int | None = None
    """Since when the ledger refuses it and everything that was made with it; None while it accepts any of that."""
    accepted_until: int | None = None
    """The time from which no verifier accepts any of that; None while it has no bound."""

    @property
    def has_live_kin(self) -> bool:
        """Return whether the credential has ended while its identity or a descendant is live."""
        return self.dead_at is not None and self.kin is not None

    @property
    def successors(self) -> int:
        """The number of other live credentials of the identity."""
        return 0 if self.kin is None else self.kin.successors

    @property
    def delegated(self) -> int:
        """The number of live credentials of the descendants."""
        return 0 if self.kin is None else self.kin.delegated

    @property
    def kin_until(self) -> int | None:
        """When the last live credential of its identity or of a descendant ends; None if there is none."""
        return None if self.kin is None else self.kin.until


class LeakFilter(Record):
    """A selection of leaks; every given condition must hold."""

    numbers: Annotated[tuple[int, ...], COUNT] = ()
    """Numbers of leaks; a leak must match these or `jtis`."""
    jtis: Annotated[tuple[str, ...], ID] = ()
    credentials: Annotated[tuple[int, ...], COUNT] = ()
    """The ledger's numbers of credentials."""
    source: Annotated[str | None, text(LONG, "the source")] = None
    task: Annotated[str | None, TASK_FILTER] = None
    open: bool = False
    """Whether to select only leaks that are not closed."""
    live: bool = False
    """Whether the credential must be live; verification also depends on the identities above it."""
    since: Annotated[int | None, TIME] = None
    """Reported at this time or later."""
    until: Annotated[int | None, TIME] = None
    """Reported before this time."""
    before: Annotated[int | None, COUNT] = None
    """Only numbers below this: the cursor of the next page."""


class Printed(Record):
    """The fingerprints of a given set that a ledger has."""

    credentials: list[tuple[int, bytes, bytes, int]]
    """Number, jti (16 bytes) and fingerprint of each credential with such a fingerprint, and 1 if it is live."""
    others: set[bytes]
    """The fingerprints of other records: parts of secrets, and access tokens of callers of an authority."""


class RecordedLeaks(Record):
    """The outcome of a report of leaked credentials."""

    new: list[tuple[int, bytes]]
    """Number and jti of each credential that had no open report from this source, in the order of issue."""
    moved: int
    """How many of these were issued after the reported time; their reports count from their issue."""
    later: int
    """How many have an open report with a later time than this one; that report stays unchanged."""


class SeenPlace(Record):
    """A recorded place where a leaked credential was seen."""

    sighting: Sighting
    event: int
    """The audit event that records it."""


class LeakPlaces(Record):
    """A summary of the places where a leaked credential was seen."""

    first: SeenPlace
    """The place that was reported first."""
    total: int
    """The number of places where it was seen."""
    kept: int
    """The number of places that are recorded individually."""


class NewPlaces(Record):
    """New places where credentials were seen, for the ledger to record."""

    sightings: Mapping[int, Sequence[Sighting]]
    """By the ledger's number of each credential; each place once."""
    met: Mapping[int, int]
    """The total number of occurrences of each credential there."""


class Noted(Record):
    """The outcome of recording places."""

    rows: int
    """The number of new rows."""
    digest: str
    """The digest of the new rows."""
    places: int = 0
    """The number of places that the rows represent."""


class RefusedLeaks(Record):
    """Leaks without any live credential left, by number, in order."""

    leaks: list[int]
    """Leaks whose credential every verification by the ledger refuses."""
    doubtful: list[int]
    """Leaks that need the decision of `validity.judge`: no column of the row shows that the credential ended."""
    last: int | None
    """The last leak that was examined; None if there are no more."""


class LeakRow(Record):
    """A leak in the form that the check of the audit log compares."""

    key: int
    jti: bytes
    source: str
    reported_at: int
    added_at: int
    event: int
    issued_at: int


class MadeAfterLeak(Record):
    """Another credential of the identity or of a descendant than the leaked one. Times are seconds since the epoch."""

    jti: str
    id: str
    agent: str
    kind: str
    depth: int
    """The number of delegations between the identity and the descendant: 0 for the identity's own credentials."""
    issued_at: int
    event: int


class Acted(Record):
    """Equal actions of the identity or a descendant, either before or after the report."""

    agent: str
    action: str
    resource: str
    allowed: bool
    after: bool
    """Whether the actions happened after the report."""
    times: int
    first_at: int
    last_at: int
    first_event: int
    last_event: int


class EndedByEvent(Record):
    """The credentials that one event ended."""

    event: int
    state: str
    credentials: int
    identities: int
    own: bool
    """Whether the leaked credential is among them."""
    first_at: int
    last_at: int


class AtTarget(Record):
    """The state of some of the credentials at a target."""

    target: str
    credentials: int
    settlement: str | None
    """The outcome of ending them there; None before the first attempt."""
    settled_at: int | None
    """When the last of them was settled; None while work is left."""
    event: int | None


class Aftermath(Record):
    """The totals of the consequences, with the first records of each list."""

    identities: int
    """The number of descendants of the identity."""
    credentials: int
    """The number of credentials of the identity and its descendants, the leaked one included."""
    later: int
    """How many of them were issued after the report."""
    live: int
    """How many of them are live."""
    made: list[MadeAfterLeak]
    acted: list[Acted]
    over: list[EndedByEvent]
    at_targets: list[AtTarget]
