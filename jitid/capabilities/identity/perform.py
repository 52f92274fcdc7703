"""The operations that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jitid.authority import own_tasks
from jitid.capabilities.identity import introspection
from jitid.capabilities.identity.share_store import ShareStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.integrity.cut_store import CutStore
from jitid.capabilities.leak.store import LeakStore
from jitid.capabilities.targets.store import OutsideStore
from jitid.capabilities.use.store import UseStore
from jitid.errors import IntegrityError, InvalidCredentialError, NotFoundError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.seal import sealed
from jitid.ledger.signing_keys import KeyStore
from jitid.model.credential import is_taken_elsewhere
from jitid.model.ledger_rows import Filter, Names
from jitid.operation import base as ops
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from jitid.capabilities.audit import audit_log
    from jitid.capabilities.leak import exposure, timeline
    from jitid.ledger.contract import Ledger
    from jitid.ledger.view import View
    from jitid.model.caller import Caller
    from jitid.model.task import Task


def inspect(snapshot: View, names: Names, operation: ops.Inspect, caller: Caller | None) -> ops.Inspection:
    """Tell everything about a credential, named by its id or by itself."""
    if operation.token is not None:
        credential = introspection.recognise(snapshot, names, operation.token.reveal(), shown=True)
    elif operation.id is not None:
        credential = introspection.find(snapshot, operation.id)
    else:
        raise UsageError("nothing is named", "give an id, or a token on standard input")
    reason = None
    try:
        if snapshot.seal is not None:
            # What it was when the ledger was sealed can be read; what it is now, the other ledger knows.
            raise InvalidCredentialError(sealed(snapshot.seal).message)
        introspection.judge(snapshot, credential, None)
    except InvalidCredentialError as error:
        reason = error.message
    task = TaskStore(snapshot).task_numbered(credential.task_key)
    if task is None:
        raise IntegrityError(
            f"the task of {credential.id} is missing from the ledger", "run: jitid audit verify"
        )
    below, live = CredentialStore(snapshot).descendants(credential.identity_key)
    return ops.Inspection(
        credential,
        reason is None,
        reason,
        CredentialStore(snapshot).lineage(credential.identity_key),
        task,
        names.issuer,
        names.trust_domain,
        below,
        live,
        _told(snapshot, credential.event, caller),
        None if credential.ended_event is None else _told(snapshot, credential.ended_event, caller),
        UseStore(snapshot).used_by([credential.identity_key]).get(credential.identity_key, ()),
        OutsideStore(snapshot).of([credential.key]).get(credential.key)
        if is_taken_elsewhere(credential.kind)
        else None,
    )


def _told(snapshot: View, seq: int, caller: Caller | None) -> dict[str, Any] | None:
    """Return an audit event as somebody may read it whom it concerns."""
    event = snapshot.event(seq)
    if event is None:
        return None
    return event.document() if own_tasks.reads_all(caller) else own_tasks.seen(event.document())


def list_credentials(snapshot: View, operation: ops.ListCredentials) -> ops.Page:
    """List credentials, a page at a time."""
    rows = CredentialStore(snapshot).credentials(
        operation.chosen,
        operation.sort,
        descending=operation.descending,
        after=operation.after,
        limit=operation.limit,
    )
    return ops.Page(rows, snapshot.now)


def look_at_leaks(
    snapshot: View, operation: ops.ListLeaks | ops.ShowLeaks | ops.RecountLeaks
) -> exposure.LeakPage | list[exposure.LeakDetails] | list[timeline.Account]:
    """List leaks, or tell everything about some, or what became of them."""
    from jitid.capabilities.leak import exposure, timeline
    from jitid.model.leak import LeakFilter

    if isinstance(operation, ops.RecountLeaks):
        return timeline.tell(snapshot, LeakFilter(operation.numbers, operation.jtis))
    if isinstance(operation, ops.ListLeaks):
        return exposure.page(snapshot, operation.chosen, operation.limit, valid=operation.valid)
    return exposure.details(snapshot, LeakFilter(operation.numbers, operation.jtis))


def show_tree(snapshot: View, operation: ops.ShowTree) -> ops.Page:
    """Show who delegated to whom, from the root of an id's tree or of all a task's trees down."""
    tops: dict[int, None] = {}
    under = None if operation.under is None else introspection.find(snapshot, operation.under).identity_key

    def top(identity: int) -> int:
        return CredentialStore(snapshot).root_of(identity) if under is None else under

    for text in operation.ids:
        tops[top(introspection.find(snapshot, text).identity_key)] = None
    if operation.task is not None:
        if own_tasks.find(snapshot, operation.task) is None:
            raise NotFoundError(f"there never was a task {label(operation.task)}", "see: jitid task list")
        chosen = Filter(task=operation.task, delegator=operation.delegator, under=operation.under)
        after = None
        while page := CredentialStore(snapshot).credentials(
            chosen, "id", descending=False, after=after, limit=operation.limit
        ):
            tops.update((top(row.identity_key), None) for row in page)
            after = page[-1].jti
            if len(tops) >= operation.limit:
                break
    rows = [row for one in tops for row in CredentialStore(snapshot).subtree(one, operation.limit)]
    return ops.Page(rows[: operation.limit], snapshot.now)


def list_tasks(snapshot: View, caller: Caller | None, operation: ops.ListTasks) -> list[ops.TaskRow]:
    """List tasks, newest first."""
    after = None
    if operation.after is not None:
        after = own_tasks.find(snapshot, operation.after)
        if after is None:
            raise NotFoundError(
                f"there is no task {quote(operation.after)} to continue after", "see: jitid task list"
            )
    found = TaskStore(snapshot).find_tasks(
        operation.state, after and after.key, operation.limit, operation.within
    )
    return [
        ops.TaskRow(own_tasks.as_seen(snapshot, caller, task), count, live, snapshot.now)
        for task, count, live in found
    ]


def show_task(snapshot: View, caller: Caller | None, operation: ops.ShowTask) -> ops.TaskRow:
    """Show one task."""
    task = own_tasks.find(snapshot, operation.name)
    if task is None:
        raise NotFoundError(f"there never was a task {label(operation.name)}", "see: jitid task list")
    return row_of(snapshot, caller, task)


def row_of(snapshot: View, caller: Caller | None, task: Task) -> ops.TaskRow:
    """Return a task with what was issued for it, and with whom it is shared."""
    count, live = TaskStore(snapshot).count_for_task(task.key)
    shared = tuple(ShareStore(snapshot).of(task.key))
    return ops.TaskRow(own_tasks.as_seen(snapshot, caller, task), count, live, snapshot.now, shared)


def read_log(snapshot: View, operation: ops.ReadLog) -> list[dict[str, Any]]:
    """Read audit events, oldest first."""
    from jitid.capabilities.audit import audit_log

    # Whoever goes on after the last number that was seen must not miss one that is committed later.
    goes_on = operation.chosen.after > 0 and operation.chosen.event is None
    until = snapshot.settled() if goes_on else None
    documents = list(audit_log.log(snapshot, operation.chosen, operation.limit, until=until))
    if operation.chosen.event is not None and not documents:
        _must_not_be_cut(snapshot, operation.chosen.event)
    if operation.members:
        _add_members(snapshot, documents)
    return documents


def _must_not_be_cut(snapshot: View, seq: int) -> None:
    """Raise NotFoundError for an event that was cut, naming the file that has it."""
    for segment in CutStore(snapshot).all():
        if seq <= segment.through and snapshot.event(seq) is None:
            raise NotFoundError(
                f"event {seq} was cut from the audit log",
                f"it is in the file {segment.file}, exported before",
            )


def follow_log(snapshot: View, operation: ops.FollowLog) -> ops.LogPage:
    """Read what the audit log has after a number."""
    from jitid.capabilities.audit import audit_log

    chosen, limit = operation.chosen, operation.limit
    settled = snapshot.settled()
    events = list(audit_log.log(snapshot, chosen, limit, newest_first=operation.last, until=settled))
    if operation.last:
        events.reverse()
    whole = operation.last or len(events) < limit
    if operation.members:
        _add_members(snapshot, events)
    return ops.LogPage(events, settled if whole else events[-1]["seq"])


def _add_members(snapshot: View, documents: list[dict[str, Any]]) -> None:
    for document in documents:
        if document["op"].startswith("leak"):
            document["members"] = LeakStore(snapshot).leak_members(document)
            continue
        if document["op"] == "use":
            document["members"] = UseStore(snapshot).use_members(document["seq"])
            continue
        issued, ended = CredentialStore(snapshot).event_members(document["seq"])
        document["members"] = issued + ended


def sign_head(snapshot: View, names: Names, keyring: Keyring) -> str:
    """Sign the last link of the audit chain; of several the head over all."""
    from jitid.capabilities.audit import audit_log

    return audit_log.signed_head(snapshot, names, audit_log.signer_of(snapshot, keyring))


def verify_log(snapshot: View, names: Names, operation: ops.VerifyLog) -> audit_log.Verification:
    """Check the audit chain and the rows that it accounts for."""
    from jitid.capabilities.audit import audit_log

    expected = None
    if operation.expected_head is not None:
        expected = audit_log.read_head(operation.expected_head, names, KeyStore(snapshot).signing_keys())
    return audit_log.verify(snapshot, names, expected)


def export_log(ledger: Ledger, keyring: Keyring) -> Iterator[str]:
    """Yield the audit log as lines that can be verified without the ledger."""
    from jitid.capabilities.audit import audit_log
    from jitid.capabilities.integrity import audit_export

    with ledger.read() as snapshot:
        yield from audit_export.export(snapshot, ledger.names, audit_log.signer_of(snapshot, keyring))


def list_keys(snapshot: View) -> list[ops.KeyRow]:
    """List the signing keys that there ever were."""
    return [
        ops.KeyRow(key, KeyStore(snapshot).latest_expiry_signed_by(key.key))
        for key in KeyStore(snapshot).signing_keys()
    ]
