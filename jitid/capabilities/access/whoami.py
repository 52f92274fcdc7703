"""Whom an authority takes its caller for, and what the caller's user can do beyond that."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Confinement(StrEnum):
    """What a process can do beyond its own credential, because of the user that it runs under."""

    KEY_READABLE = "key-readable"
    """It can read the signing key or write the ledger: every right and every role."""
    PERSON_IMPERSONABLE = "person-impersonable"
    """It can act as a person or a service, with all their rights."""
    CONFINED = "confined"
    """It has its own credential and nothing else."""


class WhoAmI(NamedTuple):
    """What an authority says of its caller and of itself."""

    caller: str
    """The name that stands in the audit log."""
    roles: tuple[str, ...]
    """Sorted; none for who may ask only about what is their own."""
    delegator: str | None
    """Whom the caller delegates as."""
    proof: str | None
    agent: str | None
    """The agent, if it is one's own credential that was shown."""
    issuer: str
    now: int
    """The time there, in seconds since the epoch."""
    version: str
    confinement: Confinement | None = None
    """As far as the authority sees it: it cannot see which files the caller's user can read on another machine."""
