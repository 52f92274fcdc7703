"""A target: a place outside where credentials are made, as the configuration describes it, and what exists there."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from jitid.errors import UsageError
from jitid.values.ids import parse_id
from jitid.values.secret import Secret


class Target(NamedTuple):
    """One table `[target.NAME]` of the configuration. Options never hold a secret: they name the file that does."""

    name: str
    kind: str
    """Of the credentials that it makes."""
    options: Mapping[str, Any]
    """By their names, checked against those of the kind: places are absolute, durations are whole seconds."""
    templates: Mapping[str, Mapping[str, Any]]
    """By their names: what a credential made from one of them may do there."""


class StatedTarget(NamedTuple):
    """A table `[target.NAME]` as a configuration file has it: not checked yet, for that is done when it is used."""

    name: str
    table: Mapping[str, Any]
    folder: str
    """What its relative paths are relative to."""
    origin: str


def name_at(target: Target, jti: str) -> str:
    """Return what a credential is called at a target: the target's `prefix`, and its id without its own."""
    return f"{prefix_of(target)}{jti.removeprefix(_OWN)}"


def jti_of(target: Target, name: str) -> str | None:
    """Return the id of the credential that a name at a target stands for; None for one that is none of ours."""
    prefix = prefix_of(target)
    jti = f"{_OWN}{name.removeprefix(prefix)}"
    try:
        parse_id(jti)
    except UsageError:
        return None
    return jti if name.startswith(prefix) else None


def prefix_of(target: Target) -> str:
    """Return how the names of ours begin at a target."""
    # The name of a session of AWS is the id itself, which its logs then tell.
    prefix: str = target.options.get("prefix", _OWN if target.kind == "aws-sts" else "jitid_")
    return prefix


_OWN = "jti_"

BY_HAND = "-"
"""The name that stands for a target where none ends a secret, so that somebody has to; no target is called so."""


class TargetRecord(NamedTuple):
    """What the ledger has of a credential at a target: enough to find it there and to end it, without its secret.

    Times are seconds since the epoch.
    """

    jti: str
    id: str
    kind: str
    target: str
    template: str | None
    name: str
    """What it is called there: it derives from the jti alone, so that it is found though the answer was lost."""
    reference: str | None
    """What the target calls it (a lease's id, an accessor), as far as that was remembered."""
    agent: str
    task: str
    delegator: str
    purpose: str | None
    sensitivity: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    issued_at: int
    expires_at: int
    under_agent: bool = False
    """Whether the agent is registered, so that nobody else has its name."""
    task_opener: str = ""
    """To whom the task belongs: others may have one of the same name."""


class MadeCredential(NamedTuple):
    """A credential that a target has just made."""

    secret: Secret
    """In named parts; each has a fingerprint of its own in the ledger."""
    reference: str | None = None
    """What the target calls it."""
    facts: Mapping[str, Any] = {}
    """What the ledger keeps to show of it: never a secret."""


class Life(StrEnum):
    """Whether a target takes a credential."""

    LIVE = "live"
    DEAD = "dead"
    UNKNOWN = "unknown"
    """It could not be told, which never counts as dead."""


class Probe(NamedTuple):
    """What was seen of a credential at its target."""

    life: Life
    seen: str
    """In a few words, as evidence: `role jitid_… does not exist`."""


class Settlement(StrEnum):
    """What has become of the wish that nothing of a credential is left at its target."""

    DONE = "done"
    """Confirmed by the target."""
    UNSUPPORTED = "unsupported"
    """The target cannot end it: it is honoured until its time is over."""
    UNAVAILABLE = "unavailable"
    """The target was out of reach, or gave no clear answer: to be tried again."""
    STUCK = "stuck"
    """The target refuses, and trying again will not help until somebody has looked."""


class EndOutcome(NamedTuple):
    """What came of ending a credential at its target."""

    settlement: Settlement
    proof: str
    """What was seen, in a few words; never a secret."""
    honoured_until: int | None = None
    """Until when the target takes it all the same; seconds since the epoch."""


class Existing(NamedTuple):
    """One thing that exists at a target."""

    name: str
    """What it is called there."""
    jti: str | None
    """The credential of ours that its name stands for; None for what bears no name of ours."""
    live: bool
    """Whether the target takes it now."""
    created_at: int | None = None
    """Seconds since the epoch, as far as the target tells it."""
    used_at: int | None = None
    detail: str = ""
    """What else the target tells of it, in a few words."""


def texts_of(table: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    """Yield the options of a table as they are shown, those of tables inside it by their whole names."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from texts_of(value, f"{before}{name}.")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{before}{name}", text.lower() if isinstance(value, bool) else text
