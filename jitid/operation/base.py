"""Each operation of the authority: what it takes, and the type of its answer."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jitid.capabilities.access.oidc import Sort
    from jitid.capabilities.audit.audit_log import LogFilter, Verification
    from jitid.capabilities.identity.hand_back import HandedBack
    from jitid.capabilities.identity.revocation import Ended
    from jitid.capabilities.integrity.cut import Cut
    from jitid.capabilities.integrity.examination import Check
    from jitid.capabilities.integrity.retention import Pruning
    from jitid.capabilities.issue.issuance import Issued
    from jitid.capabilities.issue.request import IssueRequest, RenewRequest
    from jitid.capabilities.leak.exposure import LeakDetails, LeakPage
    from jitid.capabilities.leak.leaks import Closed, LeakReport, Reported
    from jitid.capabilities.leak.timeline import Account
    from jitid.capabilities.leak.trace_result import Traced
    from jitid.capabilities.report.sprawl_report import Report
    from jitid.capabilities.sweep.canary_result import Canary
    from jitid.capabilities.sweep.finding import Coverage, Finding, Remedied, Swept, Unfixed
    from jitid.capabilities.sweep.known_findings import Known
    from jitid.capabilities.sweep.remedies import Foreseen
    from jitid.capabilities.sweep.thresholds import Limits
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.capabilities.trust.ssh_trust import SshAuthority, SshRevocations
    from jitid.model.credential import Credential
    from jitid.model.leak import LeakFilter
    from jitid.model.ledger_rows import Ancestor, Filter, Selection, SigningKey
    from jitid.model.outside import Outside
    from jitid.model.sighting import Sighting
    from jitid.model.task import Task
    from jitid.model.use import Used
    from jitid.search.find import Finds
    from jitid.values.secret import Secret

Result = TypeVar("Result")


class Answering:
    """What `Operation[...]` returns: a base class and the type of the answer, as a class or as the text of one."""

    def __init__(self, base: type, result: object) -> None:
        self.base = base
        self.result = result

    def __mro_entries__(self, _bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self.base,)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Operation(Generic[Result]):
    """A frozen record of keyword arguments whose `Result` is the type of its answer.

    A dataclass each would do the same and cost every start more than the rest of the operation.
    """

    if not TYPE_CHECKING:

        def __class_getitem__(cls, result: object) -> Answering:
            # Generic aliases for all operations would take more than a millisecond of every start.
            return Answering(cls, result)

    def __init__(self, **values: object) -> None:
        names = type(self).__annotations__
        for name in names:
            if name in values:
                object.__setattr__(self, name, values.pop(name))
            elif not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} needs {name}")
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

    def replace(self, **values: object) -> Self:
        """Return the same operation with other values."""
        return type(self)(**{name: getattr(self, name) for name in type(self).__annotations__} | values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__annotations__)
        return f"{type(self).__name__}({values})"


class DirectoryOperation(Operation[Result]):
    """One on delegators and agents; they are in `delegator_operations.py`, and `directing.py` performs them."""


class PublicationOperation(Operation[Result]):
    """One on what is published; they are in `publication_operations.py`, and `publishing.py` performs them."""


class PolicyOperation(Operation[Result]):
    """One on policies and decisions; they are in `policy_operations.py`, and `judging.py` performs them."""


class UseOperation(Operation[Result]):
    """One on the use of credentials; they are in `use_operations.py`, and `using.py` performs them."""


class ApprovalOperation(Operation[Result]):
    """One on approvals; they are in `approval_operations.py`, and `approving.py` performs them."""


class TokenOperation(Operation[Result]):
    """One of the standard protocols on tokens; they are in `token_operations.py`, and `exchanging.py` performs them."""


class TargetOperation(Operation[Result]):
    """One on targets outside; they are in `target_operations.py`, and `provisioning.py` performs them."""


class AdoptionOperation(Operation[Result]):
    """One on adopted secrets; they are in `adopt_operations.py`, and `adopting.py` performs them."""


class CertificateOperation(Operation[Result]):
    """One on the X.509 authority; they are in `certificate_operations.py`, and `certifying.py` performs them."""


class AccessOperation(Operation[Result]):
    """One on who may ask; they are in `access_operations.py`, and `accessing.py` performs them."""


class Issue(Operation["list[Issued]"]):
    """Issue credentials: all of the requests or, if one is refused, none."""

    requests: tuple[IssueRequest, ...]
    delegator_token: Secret | None = None
    """A token of a configured issuer that proves who delegates."""
    delegator_token_sort: Sort = "id_token"  # noqa: S105 - no secret, but what sort of one
    """An ID token (OpenID Connect Core, section 2), an access token (RFC 9068), or a `jwt`: either of them."""
    dry_run: bool = False
    as_of: int | None = None
    """With a dry run: the time, since the epoch, about which the policy is asked; None for now."""
    accept_clock: bool = False


class Renew(Operation["Issued"]):
    """Make a successor of a credential, of the same identity."""

    request: RenewRequest
    accept_clock: bool = False


class AbandonRenewal(Operation["None"]):
    """End a successor that could not be handed out; its predecessor stands as before."""

    token: Secret
    """The successor's own token: only its maker has it. The token of its predecessor may have been stolen."""


class AbandonAttachment(Operation["None"]):
    """End a credential that was attached to an identity and could not be handed out; nothing else of that ends."""

    jti: str


class Verify(Operation["Credential"]):
    """Say whether a token is valid now."""

    token: Secret
    audiences: tuple[str, ...] = ()
    """The token must be for one of these audiences; empty: for any audience whose tokens the caller sees."""


class Inspection(NamedTuple):
    """What a token or an id is."""

    credential: Credential
    active: bool
    reason: str | None
    """Why it is not active."""
    lineage: list[Ancestor]
    task: Task
    issuer: str
    trust_domain: str
    descendants: int
    live_descendants: int
    event: Mapping[str, Any] | None
    """The audit event that issued it: what was asked, and which rules decided."""
    ended_event: Mapping[str, Any] | None
    used: Sequence[Used]
    """What its identity was used for, by scope, as far as use is reported."""
    outside: Outside | None = None
    """What there is of it at a target, and what came of ending it there; None for what is made here."""


class Inspect(Operation["Inspection"]):
    """Tell everything about a credential, named by its id or by itself."""

    id: str | None = None
    token: Secret | None = None


class Trace(Operation["Traced"]):
    """Tell whose credentials strings are that were found somewhere."""

    finds: Finds


class AddLeaks(Operation["Reported"]):
    """Record that what was found in a text has leaked; ids in it do not count."""

    finds: Finds
    report: LeakReport
    sightings: Mapping[str, tuple[Sighting, ...]] = MappingProxyType({})
    """Where strings were seen, by their marks (`searching.mark`) in hexadecimal: as `whereabouts.parts` makes it."""
    dry_run: bool = False
    accept_clock: bool = False


class ListLeaks(Operation["LeakPage"]):
    """List leaks, the newest first, a page at a time."""

    chosen: LeakFilter
    valid: bool = False
    """Only what verifies."""
    limit: int


class ShowLeaks(Operation["list[LeakDetails]"]):
    """Tell everything about leaks, by their numbers or by what leaked."""

    numbers: tuple[int, ...] = ()
    jtis: tuple[str, ...] = ()


class RecountLeaks(Operation["list[Account]"]):
    """Tell what became of leaks, from the issue of what leaked to the close."""

    numbers: tuple[int, ...] = ()
    jtis: tuple[str, ...] = ()


class CloseLeaks(Operation["Closed"]):
    """Be done with leaks."""

    numbers: tuple[int, ...] = ()
    jtis: tuple[str, ...] = ()
    reason: str
    valid_too: bool = False
    """Also those whose credential still works."""
    accept_clock: bool = False


class ProveLeaks(Operation[int]):
    """Prove of what leaked and is dead that no verifier takes it that asks the ledger, and count it."""

    accept_clock: bool = False


class Page(NamedTuple):
    """Credentials, and the time that their states are told for."""

    credentials: list[Credential]
    now: int


class ListCredentials(Operation["Page"]):
    """List credentials, a page at a time."""

    chosen: Filter
    sort: str
    descending: bool
    after: str | None
    limit: int


class ShowTree(Operation["Page"]):
    """Show who delegated to whom, from the root of an id's tree or of all a task's trees down."""

    ids: tuple[str, ...] = ()
    task: str | None = None
    limit: int
    delegator: str | None = None
    """Only what descends from this root delegator."""
    under: str | None = None
    """The id of an identity: only that one and what descends from it."""


class Revoke(Operation["Ended"]):
    """End credentials before their time, with everything that descends from them."""

    selection: Selection
    tokens: tuple[Secret, ...] = ()
    """Tokens whose identities are meant as well."""
    reason: str | None = None
    most: int | None
    """How many live credentials may end; None for any number."""
    dry_run: bool = False
    accept_clock: bool = False


class HandBack(Operation["HandedBack"]):
    """End the identity of whoever holds a token, or one that descends from it."""

    token: Secret
    """The holder's own credential, which is the right to do so."""
    id: str
    reason: str | None = None
    accept_clock: bool = False


class Retire(Operation["Ended"]):
    """End a task."""

    task: str
    reason: str | None = None
    dry_run: bool = False
    accept_clock: bool = False


class TaskRow(NamedTuple):
    """A task with what was issued for it."""

    task: Task
    credentials: int
    live: int
    now: int
    shared: tuple[str, ...] = ()
    """With whom it is shared: delegators, and groups as `group:NAME`."""


class ListTasks(Operation["list[TaskRow]"]):
    """List tasks, newest first."""

    state: str | None
    after: str | None
    limit: int
    within: tuple[str, ...] = ()
    """Only those that belong to one of these, or are shared with one; none: all."""


class ShowTask(Operation["TaskRow"]):
    """Show one task."""

    name: str


class ShareTask(Operation["TaskRow"]):
    """Let others join a task, or end that; they cannot end it."""

    task: str
    names: tuple[str, ...]
    """Delegators, and groups as `group:NAME`."""
    end: bool = False
    accept_clock: bool = False


class GiveTask(Operation["TaskRow"]):
    """Let a task belong to another delegator from now on."""

    task: str
    to: str
    accept_clock: bool = False


class ReadLog(Operation["list[dict[str, Any]]"]):
    """Read audit events, oldest first."""

    chosen: LogFilter
    limit: int | None
    members: bool = False
    """With the ids of the credentials that each event issued and ended."""


class LogPage(NamedTuple):
    """Audit events, and how far the log was read for them."""

    events: list[dict[str, Any]]
    seen: int
    """The number of the last event that was looked at, whether it matched or not."""


class FollowLog(Operation["LogPage"]):
    """Read what the audit log has after `chosen.after`, to be asked again after what was seen then."""

    chosen: LogFilter
    limit: int
    last: bool = False
    """The last `limit` that match, and not the first."""
    members: bool = False


class SignHead(Operation["str"]):
    """Sign the last link of the audit chain."""


class VerifyLog(Operation["Verification"]):
    """Check the audit chain and the rows that it accounts for."""

    expected_head: str | None = None


class Prune(Operation["Pruning"]):
    """Let go of the rows of what has been dead for long enough."""

    rows_after: int | None
    """Seconds for which rows of the dead are kept; None to go on with what has gone, and is not deleted yet."""
    leaks_after: int | None = None
    """Seconds for which what leaked is kept, once it is closed and proved refused; None for ever."""
    seconds: int = 20
    """After how long of deleting to answer, with what is left to be deleted."""
    dry_run: bool = False
    accept_clock: bool = False


class CutLog(Operation["Cut"]):
    """Export old audit events into a file on the machine of the ledger, and let go of those that nothing needs."""

    evidence_after: int
    """Seconds for which events are kept."""
    folder: str
    """Where the file is put."""
    dry_run: bool = False
    accept_clock: bool = False


class ExportLog(Operation["Iterator[str]"]):
    """Return the audit log as lines that can be verified without the ledger; they come out of one view of it."""


class KeyRow(NamedTuple):
    """A signing key, and until when something that it signed is alive."""

    key: SigningKey
    needed_until: int | None


class ListKeys(Operation["list[KeyRow]"]):
    """List the signing keys that there ever were."""


class RotateKey(Operation["KeyChange"]):
    """Sign with a new key from now on."""

    algorithm: str
    use: str = "jws"
    transit: str | None = None
    """`TARGET/KEY` of the transit engine that keeps it, or `none`; as the key before it, if nothing is said."""
    accept_clock: bool = False


class RevokeKey(Operation["KeyChange"]):
    """End a leaked key with all that it signed."""

    kid: str
    reason: str | None = None
    most: int | None
    accept_clock: bool = False


class PublishKeys(Operation["dict[str, Any]"]):
    """Return the JWKS (RFC 7517) that verifiers need."""


class PublishSshAuthorities(Operation["list[SshAuthority]"]):
    """Return the keys whose certificates SSH hosts are to take."""


class PublishSshRevocations(Operation["SshRevocations"]):
    """Return the key revocation list that SSH hosts are to read."""


class Examine(Operation["list[Check]"]):
    """Examine the ledger and its keys, changing nothing."""

    stated: Mapping[str, str | None]
    """What the configuration says of the ledger's own names, by `issuer` and `trust_domain`."""
    head: tuple[str, str] | None = None
    """The signed audit head that a sweep has kept, after the name of its place."""


class Sweep(Operation["Iterator[Finding | Coverage | Swept]"]):
    """Find what should not be alive; the answer comes piece by piece, out of one view of the ledger."""

    rules: tuple[str, ...]
    limits: Limits
    heads: tuple[tuple[str, str], ...] = ()
    """Signed audit heads that were kept, each after the name of its place."""
    reread: bool = False
    """Whether the audit log is read from its beginning, whatever the heads vouch for."""
    most: int | None = None
    """Of remedies that end more than this it is measured how many; None for none."""
    canaries: tuple[Canary, ...] = ()
    """What those have shown that were flown for it."""
    targets: tuple[str, ...] = ()
    """The targets outside that are asked; none: all."""
    target_timeout: int = 60
    """Seconds that each of them has."""
    dry_run: bool = False
    """Whether to record nothing: without it, a sweep records what has expired before it looks."""
    accept_clock: bool = False


class ForeseeFix(Operation["Foreseen"]):
    """Say what ending all that some rules find would come to."""

    rules: tuple[str, ...]
    limits: Limits
    since: int | None = None
    """Only what has been so since then, in seconds since the epoch."""
    known: Known | None = None
    """Findings that are left alone."""
    accept_clock: bool = False


class Fix(Operation["Iterator[Remedied | Unfixed]"]):
    """End what some rules find; the answer comes piece by piece, as it is done."""

    rules: tuple[str, ...]
    limits: Limits
    sweep: str
    """The name of the sweep, a UUID."""
    since: int | None = None
    known: Known | None = None
    most: int | None
    """How many live credentials may end; None for any number."""
    targets: tuple[str, ...] = ()
    target_timeout: int = 60
    accept_clock: bool = False


class MakeReport(Operation["Report"]):
    """Report the state of identity sprawl, now or at a time that has passed."""

    at: int | None = None
    """Seconds since the epoch; None for now."""
    days: int
    """For how many days of UTC the trend is told."""
    limits: Limits
    accept_clock: bool = False


if TYPE_CHECKING:
    AnyOperation = (
        Issue
        | Renew
        | AbandonRenewal
        | AbandonAttachment
        | Verify
        | Inspect
        | Trace
        | AddLeaks
        | ListLeaks
        | ShowLeaks
        | RecountLeaks
        | CloseLeaks
        | ProveLeaks
        | ListCredentials
        | ShowTree
        | Revoke
        | HandBack
        | Retire
        | ListTasks
        | ShowTask
        | ShareTask
        | GiveTask
        | ReadLog
        | FollowLog
        | SignHead
        | VerifyLog
        | Prune
        | CutLog
        | ExportLog
        | ListKeys
        | RotateKey
        | RevokeKey
        | PublishKeys
        | PublishSshAuthorities
        | PublishSshRevocations
        | Examine
        | Sweep
        | ForeseeFix
        | Fix
        | MakeReport
        | ApprovalOperation[Any]
        | PolicyOperation[Any]
        | PublicationOperation[Any]
        | DirectoryOperation[Any]
        | UseOperation[Any]
        | TokenOperation[Any]
        | TargetOperation[Any]
        | CertificateOperation[Any]
        | AccessOperation[Any]
        | AdoptionOperation[Any]
    )
