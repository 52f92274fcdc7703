"""A target: an external place where credentials are made, its configuration, and the credentials that exist there.

And these credentials: their state in the ledger, and the outcome of ending them at the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any

from jitid.errors import UsageError
from jitid.values import strict_json
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.secret import Secret


class Target(Record):
    """One table `[target.NAME]` of the configuration. Options never hold a secret, only the name of its file."""

    name: str
    kind: str
    """The kind of the credentials that it makes."""
    options: Mapping[str, Any]
    """Options by name, checked against those of the kind: paths are absolute, durations are whole seconds."""
    templates: Mapping[str, Mapping[str, Any]]
    """Templates by name: the rights at the target of a credential that is made from the template."""


class StatedTarget(Record):
    """An unchecked table `[target.NAME]` of a configuration file. The check happens at its first use."""

    name: str
    table: Mapping[str, Any]
    folder: str
    """The base of its relative paths."""
    origin: str


def name_at(target: Target, jti: str) -> str:
    """Return the name of a credential at a target: the target's `prefix`, then its id without `jti_`."""
    return f"{prefix_of(target)}{jti.removeprefix(_OWN)}"


def jti_of(target: Target, name: str) -> str | None:
    """Return the id of the credential with a given name at a target; None for a foreign name."""
    prefix = prefix_of(target)
    jti = f"{_OWN}{name.removeprefix(prefix)}"
    try:
        parse_id(jti)
    except UsageError:
        return None
    return jti if name.startswith(prefix) else None


def prefix_of(target: Target) -> str:
    """Return the prefix of the names that jitid uses at a target."""
    # An AWS session is named with the whole id, so that the logs of AWS contain it.
    prefix: str = target.options.get("prefix", _OWN if target.kind == "aws-sts" else "jitid_")
    return prefix


_OWN = "jti_"

BY_HAND = "-"
"""The name instead of a target if only a person can end a secret; no target can have this name."""


class TargetRecord(Record):
    """The ledger's facts about a credential at a target: enough to find and end it there, without its secret.

    Times are seconds since the epoch.
    """

    jti: str
    id: str
    kind: str
    target: str
    template: str | None
    name: str
    """Its name there. It derives from the jti alone, so it can be found even if the target's answer was lost."""
    reference: str | None
    """The target's own reference to it (a lease's id, an accessor), if it was recorded."""
    agent: str = ""
    """From here on, a record of a credential that the ledger does not have has the defaults."""
    task: str = ""
    delegator: str = ""
    purpose: str | None = None
    sensitivity: str = "moderate"
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    issued_at: int = 0
    expires_at: int = 0
    under_agent: bool = False
    """Whether the agent is registered, which reserves its name."""
    task_opener: str = ""
    """The owner of the task: other owners may have a task of the same name."""


class MadeCredential(Record):
    """A credential that a target has just made."""

    secret: Secret
    """The secret in named parts; the ledger has a separate fingerprint of each."""
    reference: str | None = None
    """The target's own reference to it."""
    facts: Mapping[str, Any] = {}
    """Displayable facts that the ledger keeps: never a secret."""


class Life(StrEnum):
    """Whether a target accepts a credential."""

    LIVE = "live"
    DEAD = "dead"
    UNKNOWN = "unknown"
    """The answer is uncertain; this never counts as ended."""


class Probe(Record):
    """The observed state of a credential at its target."""

    life: Life
    seen: str
    """Short evidence: `role jitid_… does not exist`."""


class Settlement(StrEnum):
    """The progress of ending a credential completely at its target."""

    DONE = "done"
    """Confirmed by the target."""
    UNSUPPORTED = "unsupported"
    """The target cannot end it, and accepts it until its expiry."""
    UNAVAILABLE = "unavailable"
    """The target was unreachable or gave no clear answer; the next attempt may succeed."""
    STUCK = "stuck"
    """The target refuses; further attempts will fail until an operator intervenes."""


class EndOutcome(Record):
    """The outcome of ending a credential at its target."""

    settlement: Settlement
    proof: str
    """Short evidence; never a secret."""
    honoured_until: int | None = None
    """The time until which the target accepts it in spite of its end, in seconds since the epoch."""


class Existing(Record):
    """One object that exists at a target."""

    name: str
    """Its name there."""
    jti: str | None
    """The jitid credential that its name identifies; None for a foreign name."""
    live: bool
    """Whether the target accepts it now."""
    created_at: int | None = None
    """Seconds since the epoch, if the target reports it."""
    used_at: int | None = None
    detail: str = ""
    """Other facts that the target reports, in short."""


def texts_of(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield the options of a table as name and displayed text; an option of a nested table has a dotted name."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from texts_of(value, f"{prefix}{name}.")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{prefix}{name}", text.lower() if isinstance(value, bool) else text


class Outside(Record):
    """A credential at a target, as recorded in the ledger. Times are seconds since the epoch."""

    key: int
    """The ledger's number of the credential."""
    record: TargetRecord
    facts: Mapping[str, Any]
    """Displayable facts that the target returned about it: never a secret."""
    confirmed: bool
    """Whether the ledger has a fingerprint, which shows that the secret was made."""
    dead: bool
    """Whether it has ended, recorded or not: then no trace of it may be left at the target."""
    ended_at: int | None
    """When its end was recorded."""
    settlement: str | None
    """The outcome of the latest attempt to end it there."""
    attempts: int
    next_at: int
    """The time from which the next attempt is due."""
    tried_at: int | None
    settled_at: int | None
    """When it was settled; None while work is left."""
    honoured_until: int | None
    """The time until which the target accepts it in spite of its end."""
    proof: str | None
    """The evidence from the latest attempt."""
    event: int | None
    """The audit event that records the attempt."""

    @property
    def ends_at(self) -> int:
        """When it ended, or will end at the latest."""
        expires_at = self.record.expires_at
        return expires_at if self.ended_at is None else min(self.ended_at, expires_at)

    @property
    def is_accepted(self) -> bool:
        """Whether the target may accept it: it is live, its end there is not settled, or the target cannot end it."""
        return not self.dead or self.settled_at is None or self.settlement == "unsupported"


class Name(Record):
    """The name of a credential issued by jitid at a target."""

    name: str
    jti: str
    live: bool
    """Whether the credential is live in the ledger."""
    settled: bool
    reference: str | None


def fingerprint_of(parts: Mapping[str, bytes]) -> bytes:
    """Return the fingerprint of a secret: that of its only part, or SHA-256 over those of all its parts in order."""
    if len(parts) == 1:
        (single,) = parts.values()
        return single
    return sha256(b"".join(parts.values())).digest()


def confirmed_digest(
    jti: bytes,
    target: str,
    name: str,
    reference: str | None,
    facts: str | None,
    fingerprint: bytes,
    parts: Iterable[tuple[str, bytes]],
) -> str:
    """Return the digest of a confirmed credential: SHA-256 as hex over its facts in the ledger."""
    digest = sha256(jti + fingerprint)
    for text in (target, name, reference or "", facts or ""):
        raw = text.encode()
        digest.update(len(raw).to_bytes(4) + raw)
    for part, print_ in sorted(parts):
        digest.update(sha256(part.encode()).digest() + print_)
    return digest.hexdigest()


LAST_AFTER = 3_600
"""The maximum delay in seconds between two attempts to end a credential at its target."""


class OutsideRow(Record):
    """The ledger's row for a credential at a target."""

    jti: bytes
    target: str
    name: str
    reference: str | None
    facts: str | None
    fingerprint: bytes | None
    settlement: str
    settled_at: int | None
    honoured_until: int | None
    proof: str | None
    event: int | None
    next_at: int
    tried_at: int | None
    parts: list[tuple[str, bytes]]


class SettledDigests(Record):
    """The digests of settled credentials in an audit event."""

    settled: str
    """`settled_digest`."""
    evidence: str
    """`evidence_digest`."""


def evidence_digest(members: Iterable[tuple[bytes, int | None, str | None]]) -> str:
    """Return the digest of how credentials were settled: SHA-256, as hex, over a canonical JSON array.

    The array has an entry for each credential in the order of issue: its raw `jti` as hex, until when the target may
    accept it (seconds since the epoch, or null), and the proof.
    """
    document = [[jti.hex(), until, proof] for jti, until, proof in members]
    return sha256(strict_json.dumps(document).encode()).hexdigest()


def settled_digest(members: Iterable[tuple[bytes, str]]) -> str:
    """Return the digest of credentials that were settled, in the order of issue: SHA-256 as hex."""
    digest = sha256()
    for jti, settlement in members:
        digest.update(jti + sha256(settlement.encode()).digest())
    return digest.hexdigest()


class Left(Record):
    """A credential whose end is not confirmed at its target. Times are seconds since the epoch."""

    jti: str
    id: str
    kind: str
    target: str
    name: str
    settlement: str
    """`unavailable`, `stuck` or `unsupported`."""
    seen: str
    next_at: int | None
    """The time of the next attempt; None if the target cannot end it."""
    honoured_until: int | None
    """The time until which the target may accept it."""
