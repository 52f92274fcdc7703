"""Delegators and recurring agents: their records, and the answers to queries about them."""

from __future__ import annotations

from enum import StrEnum

from jitid.errors import UsageError
from jitid.values.declaration import FieldType
from jitid.values.field_types import KNOWN_DELEGATOR, POSITIVE, choice, texts, typed_as
from jitid.values.names import MAX_NAME, MAX_URI, check_delegator
from jitid.values.record import Record
from jitid.values.text import check_text, quote, safe


class Delegator(Record):
    """A person or service that may delegate. Times are seconds since the epoch."""

    key: int
    """The ledger's number for the delegator; 0 before it is recorded."""
    name: str
    """With its kind: `user:alice`, `system:ci`."""
    sensitivity: str
    """The highest sensitivity of a task that the delegator may issue for."""
    entitlements: tuple[str, ...] | None
    """The scopes that cover all scopes which the delegator may hand out; None leaves that to the policy alone."""
    groups: tuple[str, ...]
    """Sorted."""
    manager: str | None
    """With its kind, like `name`."""
    aliases: tuple[str, ...]
    """Sorted: further names with their kind, and subjects of ID tokens as `ISS SUB`."""
    imported: bool
    """Whether an import added the delegator: then a full import without it disables it."""
    added_at: int
    disabled_at: int | None
    external: str | None = None
    """The id at its source, such as the `id` of a SCIM resource; it identifies the delegator after a change of name."""
    disabled_last: int | None = None
    """When the delegator was last disabled, even if enabled again: older proofs are no longer accepted."""

    @property
    def state(self) -> str:
        """`enabled` or `disabled`."""
        return "enabled" if self.disabled_at is None else "disabled"


class AgentState(StrEnum):
    """The state of a registered agent at a given time; only in the first state can it obtain identities."""

    REGISTERED = "registered"
    OVERDUE = "overdue"
    """Its review date has passed."""
    SUSPENDED = "suspended"
    UNREGISTERED = "unregistered"


class Agent(Record):
    """A recurring agent. Times are seconds since the epoch."""

    key: int
    """The ledger's number for the agent; 0 before it is recorded."""
    name: str
    owner: str
    """The responsible delegator, such as `user:bob`."""
    purpose: str
    scopes: tuple[str, ...]
    """The scopes that cover all scopes which the agent may hold."""
    audiences: tuple[str, ...]
    """The audiences that its credentials may have; if empty, the ledger's issuer and the configured audiences."""
    kinds: tuple[str, ...]
    max_ttl: int
    """The longest lifetime of its credentials, in seconds."""
    concurrency: int | None
    """The maximum number of its identities that are live at the same time; None for no limit."""
    review_at: int
    registered_at: int
    reviewed_at: int | None
    suspended_at: int | None
    suspended_as: str | None
    """The stated reason, or `owner disabled`."""
    unregistered_at: int | None
    users: tuple[str, ...] = ()
    """Further parties that may issue under its name besides the owner: delegators, `group:NAME`, `agent:NAME`."""

    def state_at(self, now: int) -> AgentState:
        """Return the state at `now`."""
        if self.unregistered_at is not None:
            return AgentState.UNREGISTERED
        if self.suspended_at is not None:
            return AgentState.SUSPENDED
        return AgentState.OVERDUE if now >= self.review_at else AgentState.REGISTERED


class DirectoryEntry(Record):
    """The directory's records of a delegator and an agent, as far as an issue depends on them."""

    delegator: Delegator | None
    """Without aliases: an issue needs only the delegator that a name stands for."""
    agent: Agent | None
    live: int
    """The number of live identities of the agent if it has a limit of that; otherwise 0."""


class Holder(Record):
    """The delegator that has a name."""

    key: int
    own: str
    """The primary name of the delegator."""


class Ties(Record):
    """The records that depend on delegators."""

    live: int
    """The number of live credentials that descend from the delegators."""
    agents: tuple[str, ...]
    """The agents in service that they own, sorted."""
    requests: int
    """The number of their open requests for approval."""
    grants: int
    """The number of approvals that they granted and that are not used yet."""
    others: int
    """The number of live credentials that those agents hold for other delegators."""
    access: int = 0
    """The number of their access credentials for an authority."""


class Holding(Record):
    """The credentials of a registered agent in short."""

    live: int
    """The number of its live identities."""
    last_issued_at: int | None
    """When its latest identity last received a credential, in seconds since the epoch."""


class LiveUnder(Record):
    """A live identity under an agent's name."""

    uid: bytes
    delegator: str
    """The root delegator."""
    recorded: bool
    """Whether it belongs to a directory record of that name."""


def check_person(text: str) -> str:
    """Return the name of a delegator in the directory with its kind, `user:` or `system:`.

    Raises UsageError for an invalid name, and for an agent: an agent delegates only with its own credential.
    """
    name = check_delegator(text)
    if name.startswith("agent:"):
        raise UsageError(
            f"{quote(text)} is an agent; the directory of delegators has only people and systems",
            "write NAME, user:NAME or system:NAME",
        )
    return name


def check_alias(text: str) -> str:
    """Return another name of a delegator, or the subject of an ID token, written `ISS SUB`.

    The issuer has 1 to 255 printable ASCII characters without blanks. The subject has 1 to 255, and may have blanks
    inside (OpenID Connect Core, section 2). Raises UsageError for anything else.
    """
    issuer, blank, subject = text.partition(" ")
    if not blank:
        return check_person(text)
    printable = text.isascii() and text.isprintable() and subject.strip() == subject
    if not (printable and issuer and subject and len(issuer) <= MAX_URI and len(subject) <= MAX_URI):
        raise UsageError(
            f"{quote(text)} is not the subject of an ID token",
            "write 'ISS SUB': its `iss` and its `sub`, separated by one blank",
        )
    return check_text(text, "an alias")


def check_group(text: str) -> str:
    """Return the name of a group: 1 to 128 printable characters, no blank at its ends. Raises UsageError."""
    if not text.strip() or text != text.strip() or len(text) > MAX_NAME or safe(text) != text:
        raise UsageError(
            f"{quote(text)} is not a valid name of a group",
            f"use 1 to {MAX_NAME} printable characters, without a blank at either end",
        )
    return check_text(text, "a group")


def check_external(text: str) -> str:
    """Return a delegator's id in another system: 1 to 255 printable characters. Raises UsageError."""
    if not text.strip() or len(text) > MAX_URI or safe(text) != text:
        raise UsageError(f"{quote(text)} is not a valid id", f"use 1 to {MAX_URI} printable characters")
    return check_text(text, "an id")


_NAMED = {"minLength": 1, "maxLength": 2 * MAX_NAME}
PERSON = texts(check_person, "NAME", _NAMED)
"""A delegator in the directory, by a name with its kind."""
ALIAS = texts(check_alias, "NAME", {"minLength": 1})
GROUP = texts(check_group, "GROUP", _NAMED)
EXTERNAL = texts(check_external, "ID", {"minLength": 1, "maxLength": MAX_URI})


def _owner(text: str, _label: str) -> str:
    name = check_delegator(text)
    if name.startswith("agent:"):
        raise UsageError(
            "an agent cannot own an agent", "name the person or the system that is responsible for it"
        )
    return name


def _concurrency(text: str, label: str) -> int:
    if text == "0":
        raise UsageError("--concurrency must be at least 1", "to permit no identity: jitid agent suspend")
    return POSITIVE.parse(text, label)


OWNER = typed_as(KNOWN_DELEGATOR, "DELEGATOR", parse=_owner)
"""The owner of an agent: a delegator in the directory, now or earlier."""
CONCURRENCY = typed_as(POSITIVE, parse=_concurrency)
_STATES = choice(*AgentState, metavar="STATE", label="state of an agent")
AGENT_STATE: FieldType[AgentState] = FieldType(
    lambda text, label: AgentState(_STATES.parse(text, label)),
    _STATES.metavar,
    AgentState,
    _STATES.schema,
    words=_STATES.words,
)
