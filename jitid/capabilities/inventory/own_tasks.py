"""What is a caller's own: the tasks that they mean, and what they may look at and end without a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.directory.visibility import find, held_by, root_of
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.errors import NotFoundError
from jitid.model.ledger_rows import Selection
from jitid.model.task import ADOPTED
from jitid.operation import base as ops
from jitid.values.ids import parse_id
from jitid.values.text import label

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.ledger.contract import Look
    from jitid.ledger.view import View
    from jitid.model.caller import Caller
    from jitid.model.credential import Credential


def with_tasks(
    snapshot: View, operation: ops.Operation[Any], caller: Caller | None, *, all_: bool
) -> ops.Operation[Any]:
    """Return an operation with each task that it names as `OWNER/NAME`, which nobody else's has.

    `all_`: the caller may look at the tasks of others. A name that means nothing is left as it is to those alone.

    Raises:
        NotFoundError: it means no task of the caller, nor one that is shared with them.
        UsageError: it means several.

    """
    own = None if caller is None else root_of(snapshot, caller)

    def full(text: str) -> str:
        found = ownership.named(snapshot, text, own, all_=all_)
        if found is not None:
            return found.full_name
        if all_:
            return text
        raise NotFoundError(
            f"there is no task {label(text)} that is yours or shared with you; nothing was changed",
            "see: jitid task list",
        )

    return _replaced(operation, full)


def _replaced(operation: ops.Operation[Any], full: Callable[[str], str]) -> ops.Operation[Any]:
    field, _, inside = operation.task_in.partition(".")
    value = getattr(operation, field)
    if not inside:
        return operation.replace(**{field: full(value)})
    named = getattr(value, inside)
    found = full(named) if isinstance(named, str) else tuple(dict.fromkeys(map(full, named)))
    return operation.replace(**{field: value._replace(**{inside: found})})


def narrowed(snapshot: View, caller: Caller, operation: ops.Operation[Any]) -> ops.Operation[Any] | None:
    """Return an operation as far as it is about what is the caller's own; None if that cannot be said of it.

    A delegator's own is whatever descends from them, an agent's its identity and what descends from that. Whose task
    it is does not matter: on a shared one others do not see what is issued for one another.
    """
    held = held_by(snapshot, caller)
    match operation:
        case inventory_operations.ListCredentials(chosen=chosen):
            if held is not None:
                return operation.replace(chosen=chosen._replace(under=held.id))
            if caller.delegator is None or not _is_self(snapshot, caller.delegator, chosen.delegator):
                return None
            return operation.replace(chosen=chosen._replace(delegator=caller.delegator))
        case inventory_operations.ShowTree(ids=ids):
            if not all(is_under(snapshot, caller, id_) for id_ in ids):
                return None
            if held is not None:
                return operation.replace(under=held.id, delegator=None)
            if caller.delegator is None:
                return None
            # What the caller states itself is overwritten: else it would see the tree of another.
            return operation.replace(under=None, delegator=caller.delegator)
        case inventory_operations.ListTasks():
            if caller.delegator is None:
                return None
            return operation.replace(within=tuple(ownership.names_of(snapshot, caller.delegator)))
        case inventory_operations.ShowTask():
            return operation
        case inventory_operations.Inspect(id=id_, token=None) if id_ is not None:
            return operation if is_under(snapshot, caller, id_) else None
        case inventory_operations.Revoke(selection=selection, tokens=()) if selection != Selection():
            if not all(is_under(snapshot, caller, id_) for id_ in (*selection.ids, *selection.trees)):
                return None
            if selection._replace(ids=()) == Selection():
                return operation
            if caller.delegator is None or not all(
                _is_self(snapshot, caller.delegator, name) for name in selection.delegators
            ):
                return None
            return operation.replace(selection=selection._replace(delegators=(caller.delegator,)))
        case _:
            return None


def _is_self(snapshot: View, own: str, stated: str | None) -> bool:
    return stated is None or stated in DirectoryStore(snapshot).names_of(own)


def is_under(snapshot: View, caller: Caller, id_: str) -> bool:
    """Tell whether an identity or a credential descends from the caller, or is the caller's own."""
    found = _identity(snapshot, id_)
    if found is None:
        return False
    if caller.delegator is not None:
        return found.delegator in DirectoryStore(snapshot).names_of(caller.delegator)
    held = held_by(snapshot, caller)
    if held is None:
        return False
    above = [one.id for one in CredentialStore(snapshot).lineage(found.identity_key)]
    return held.id in (found.id, *above)


def _identity(snapshot: View, id_: str) -> Credential | None:
    sort, raw = parse_id(id_)
    if sort == "jti":
        return CredentialStore(snapshot).find_credential("jti", raw)
    return CredentialStore(snapshot).latest_of(raw)


def owns(snapshot: View, caller: Caller, text: str) -> bool:
    """Tell whether a task is a delegator's, who asks. Those of adopted secrets are in the care of the admins."""
    task = find(snapshot, text)
    if task is None or caller.delegator is None or task.name.startswith(ADOPTED):
        return False
    return ownership.is_owner(snapshot, task, caller.delegator)


def may_retire(snapshot: View, caller: Caller, text: str) -> bool:
    """Tell whether a task is the caller's to end: they own it, or are an agent that had it opened.

    An agent ends no more by that than what descends from its own identity, and nothing after it was given away.
    """
    if owns(snapshot, caller, text):
        return True
    task = find(snapshot, text)
    if task is None or task.given_event or ownership.has_left(snapshot, task.opener):
        return False
    held = held_by(snapshot, caller)
    if held is None or not asked_by(snapshot, caller, task.event):
        return False
    own = Selection(ids=(held.id,))
    both = CredentialStore(snapshot).measure_together([own, Selection(tasks=(task.full_name,))])
    return both.credentials == CredentialStore(snapshot).measure(own).credentials


def asked_by(snapshot: View, caller: Caller, seq: int) -> bool:
    """Tell whether an event came of what the caller asked for."""
    event = snapshot.event(seq)
    told = {} if event is None else event.document()
    if told.get("by") != caller.name:
        return False
    if caller.agent is None:
        return True
    # Several agents may share a name, and each has one credential after the other: what counts is the identity.
    held, bearer = held_by(snapshot, caller), told.get("bearer")
    if held is None or bearer is None:
        return False
    if "by_id" in told:
        return bool(told["by_id"] == held.id)
    then = CredentialStore(snapshot).find_credential("jti", parse_id(bearer)[1])
    return then is not None and then.id == held.id


def resolved(look: Look, operation: ops.Operation[ops.Result]) -> ops.Operation[ops.Result]:
    """Return an operation of whoever has the ledger itself with each task that it names as `OWNER/NAME`."""
    if not operation.names_task():
        return operation
    with look() as snapshot:
        return with_tasks(snapshot, operation, None, all_=True)


def gives_freely(caller: Caller | None) -> bool:
    """Tell whether somebody may give a task to whoever they like: a responder, and whoever has the ledger itself."""
    return caller is None or caller.roles is None or "responder" in caller.roles
