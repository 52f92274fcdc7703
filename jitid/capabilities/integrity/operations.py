"""Operations that read, check, export, cut and prune the ledger's own records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.operation.base import READS, Operation, PagedOperation, dry_run_flag, private_out_opt
from jitid.values.declaration import local, opt, value
from jitid.values.field_types import DURATION, FILE, FOLDER, MAX_ROWS, ROWS, number, text
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jitid.capabilities.audit.audit_log import LogFilter
    from jitid.capabilities.integrity.cut import Cut
    from jitid.capabilities.integrity.retention import Pruning
    from jitid.capabilities.integrity.verify_log import Verification
    from jitid.model.ledger_condition import Check


def is_event(document: dict[str, Any]) -> bool:
    """Return whether a document can be an audit event."""
    return type(document.get("seq")) is int and type(document.get("at")) is int


class VerifyLog(Operation["Verification"]):
    """Check the audit chain, and the ledger's rows against it.

    It finds each event that was edited, removed, inserted or moved. --file verifies an export, without a ledger.
    Exit status 7: the verification failed.
    """

    roles = ("auditor",)
    effect = READS
    slow = True
    verb = "audit verify"
    function = "ledger.audit_verbs:verify"
    view = Columns("jitid.audit-verify/1", "events members head", single=True)

    expect_head: str | None = local(opt(FILE, "--expect-head", help="File with a signed head from earlier."))
    expected_head: str | None = value(text(16_384, "the head"), default=None)
    file: str | None = local(opt(FILE, "--file", help="Verify this exported log instead."))


class Prune(Operation["Pruning"]):
    """Delete expired records past their retention period.

    Identities with all credentials ended and expired before --rows-after (default: 30d) are deleted, with their
    descendants. Leaked credentials and tasks stay; names of tasks are never reused. With --export, audit events from
    before --evidence-after (default: 400d) are exported, verified and cut, unless rows refer to them. The log and
    the rows are verified first. To continue an interrupted pruning, repeat the command.
    """

    roles = ("admin",)
    slow = True
    verb = "ledger prune"
    function = "ledger.ledger_verbs:prune"
    view = Columns(
        "jitid.prune/1",
        "before identities credentials rows event left dry_run evidence_before exported kept cut_event file",
        single=True,
    )

    rows_after: int | None = opt(
        DURATION, "--rows-after", help="Retention of ended credentials (default: 30d)."
    )
    """Seconds for which rows of ended credentials are kept; None only continues an earlier pruning."""
    evidence_after: int | None = local(
        opt(
            DURATION,
            "--evidence-after",
            help="Retention of audit events (default: 400d).",
        )
    )
    export: str | None = local(
        opt(FOLDER, "--export", help="Export older audit events to DIR, and cut them.")
    )
    leaks_after: int | None = value(DURATION, default=None)
    """Seconds for which a leak is kept after it was closed and proved refused; None keeps it for ever."""
    seconds: int = value(number(1, 3_600), default=20)
    """Seconds of deletion after which the operation returns, with the number of identities that are left."""
    dry_run: bool = dry_run_flag()
    accept_clock: bool = False


class CutLog(Operation["Cut"]):
    """Export old audit events into a file on the machine of the ledger, and cut them."""

    roles = ("admin",)
    local = True

    evidence_after: int
    """Seconds for which events are kept."""
    folder: str
    """The folder of the file."""
    dry_run: bool = False
    accept_clock: bool = False


class ExportLog(Operation["Iterator[str]"]):
    """Write the audit log as JSON lines or syslog messages.

    JSON lines can be verified without the ledger: jitid audit verify --file FILE. With --format syslog, each line is
    one event as a message of RFC 5424.
    """

    never_empty = True

    summary = "Return the audit log, from one view, as lines that can be verified without the ledger."
    roles = ("auditor",)
    effect = READS
    slow = True
    verb = "audit export"
    function = "ledger.audit_verbs:export"
    only_formats = ("jsonl", "syslog")

    out: str | None = local(private_out_opt())


class Examine(Operation["list[Check]"]):
    """Check the ledger and its keys; nothing is changed."""

    roles = ("auditor", "admin")
    effect = READS
    local = True

    stated: Mapping[str, str | None]
    """The ledger's names in the configuration, by `issuer` and `trust_domain`."""
    head: tuple[str, str] | None = None
    """A signed audit head that a sweep has kept, after the name of its place."""


class ReadLog(PagedOperation["list[dict[str, Any]]"]):
    """Read audit events, oldest first."""

    # An event may name a thousand credentials.
    page_size = 2_000

    roles = ("auditor",)
    effect = READS

    chosen: LogFilter
    limit: int | None = value(ROWS)
    members: bool = False
    """Whether to add the ids of the credentials that each event issued and ended."""

    def checked_request(self) -> Self:
        """Return the request. Raises UsageError without a limit: the answer could have any size."""
        if self.limit is None:
            raise UsageError(f"`limit` is required: at most {MAX_ROWS} events per request")
        return self

    def fits(self, answer: list[dict[str, Any]]) -> bool:
        """Return whether each event has a number and a time."""
        return all(map(is_event, answer))

    def following(self, row: dict[str, Any]) -> Self:
        """Return the request that continues after an event."""
        return self.replace(chosen=self.chosen._replace(after=max(self.chosen.after, row["seq"])))

    def rows_of(self, answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the events."""
        return answer

    def joined(
        self,
        answer: list[dict[str, Any]],  # noqa: ARG002 - it has no other part
        rows: list[dict[str, Any]],
    ) -> list[dict[str, Any]]:
        """Return all events."""
        return rows


class LogPage(Record):
    """Audit events, and how far the log was read for them."""

    events: list[dict[str, Any]]
    seen: int
    """The number of the last event that was read, even if it did not match."""


class FollowLog(Operation["LogPage"]):
    """Read the audit events after `chosen.after`; the next request continues after `seen`."""

    roles = ("auditor",)
    effect = READS

    chosen: LogFilter
    limit: int = value(ROWS)
    last: bool = False
    """Whether to return the last `limit` matching events, and not the first."""
    members: bool = False

    def fits(self, answer: LogPage) -> bool:
        """Return whether each event has a number and a time."""
        return all(map(is_event, answer.events))


class SignHead(Operation["str"]):
    """Print the signed last link of the audit chain.

    Keep the head outside this machine. Then `audit verify --expect-head` finds a truncated log, and an older
    copy of the ledger.
    """

    summary = "Sign the last link of the audit chain."
    roles = ("auditor",)
    effect = READS
    verb = "audit head"
    function = "ledger.audit_verbs:head"
    view = Columns("jitid.audit-head/1", "head", single=True)

    out: str | None = local(private_out_opt())

    def fits(self, answer: str) -> bool:
        """Return whether the head is a JWS in compact form (RFC 7515, section 3.1)."""
        return answer.count(".") == 2
