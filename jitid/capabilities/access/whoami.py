"""The identity under which an authority sees its caller, and the confinement of the caller's process."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Confinement(StrEnum):
    """The rights of a process beyond its own credential, because of the user that it runs under."""

    KEY_READABLE = "key-readable"
    """It can read the signing key or write the ledger: every right and every role."""
    PERSON_IMPERSONABLE = "person-impersonable"
    """It can act as a person or a service, with all their rights."""
    CONFINED = "confined"
    """It has only its own credential."""


class WhoAmI(NamedTuple):
    """The authority's answer about its caller and itself."""

    caller: str
    """The caller's name in the audit log."""
    roles: tuple[str, ...]
    """Sorted; empty for a caller who may see only their own records."""
    delegator: str | None
    """The delegator that the caller is proved to be; None if the caller cannot delegate as a person or service."""
    proof: str | None
    agent: str | None
    """The agent's name, if the caller authenticated with an agent's own credential."""
    issuer: str
    now: int
    """The authority's time, in seconds since the epoch."""
    version: str
    confinement: Confinement | None = None
    """The confinement, as far as the authority knows: it cannot see the caller's files on another machine."""
