"""What a ledger answers about standing secrets that were adopted, and what becomes of them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from jitid.search.secret_shapes import Shape
from jitid.values import strict_json


class AdoptedRow(NamedTuple):
    """What is recorded of an adopted secret besides its credential."""

    credential: int
    """The ledger's own number."""
    place: str
    """Where it is kept, in words."""
    prefix: str | None
    """How the secret begins, as far as that is no part of it."""
    length: int | None
    """How many bytes it has."""
    target: str
    """Which target ends it; `BY_HAND` of `jitid.model.target` where somebody has to."""
    name: str
    """What it is called there."""
    reference: str | None
    facts: Mapping[str, str]
    """What is kept of it for that target."""
    parts: Mapping[str, bytes]
    """The fingerprints of what belongs to it and is no secret by itself."""
    waits_for: str | None
    """What has to be done to end it, where somebody has to."""


class Changed(NamedTuple):
    """What is known of an adopted secret from now on; whatever stays is told too."""

    row: AdoptedRow
    owner: int
    agent: int
    """Numbers of terms."""
    purpose: str | None
    expires_at: int


class Adopted(NamedTuple):
    """An adopted secret as the ledger has it."""

    credential: int
    place: str
    prefix: str | None
    length: int | None


class AdoptedSnapshot(Protocol):
    """The part of a consistent view that is about adopted secrets."""

    def of(self, keys: Iterable[int]) -> dict[int, Adopted]:
        """Return what there is of credentials, by the ledger's own numbers; of others there is nothing."""

    def on_tasks(self, tasks: Iterable[str]) -> dict[str, int]:
        """Return the latest adopted credential on each of these tasks that has any."""

    def page(self, owners: Sequence[str], after: int, limit: int, *, live: bool, open_: bool) -> list[int]:
        """Return numbers of adopted credentials above `after`, in order.

        `owners`: only what is theirs, if any are named; `live`: only what is alive in the ledger; `open_`: also what is
        not known to have ended at its place.
        """

    def shapes(self) -> list[Shape]:
        """Return how the secrets look that were ever adopted, each look once."""

    def shapeless(self) -> bool:
        """Return whether a live adopted secret has no known length: a search by form does not find it."""

    def prints(self, size: int) -> bytes:
        """Return the first `size` bytes of the fingerprint of each of those, one after the other."""

    def digest(self, event: int) -> str:
        """Return the digest of what an event has adopted."""

    def digests(self) -> dict[int, str]:
        """Return that of each event that has adopted anything."""


class AdoptedTransaction(AdoptedSnapshot, Protocol):
    """The part of a durable change that is about adopted secrets."""

    def add(self, rows: Sequence[AdoptedRow]) -> None:
        """Record what belongs to new credentials, whose rows are there already."""

    def change(self, changed: Changed) -> None:
        """Record that something else is known of an adopted secret from now on."""


def digest_of(members: Iterable[Sequence[Any]]) -> str:
    """Return the digest of what an event adopted: SHA-256, as hex, over a canonical JSON array a line for each."""
    told = sha256()
    for member in members:
        told.update(
            strict_json.dumps([each.hex() if isinstance(each, bytes) else each for each in member]).encode()
        )
        told.update(b"\n")
    return told.hexdigest()
