"""Performs the operations on recurring agents, each in its own view or transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.directory import agent_operations as ops
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import NotFoundError, PolicyDeniedError
from jitid.model.ledger_rows import Filter
from jitid.operation.context import Context
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.directory.registry import KeptAgent
    from jitid.capabilities.directory.withdrawal import WithdrawnAgent
    from jitid.ledger.view import View

_Keeping = ops.RegisterAgent | ops.ChangeAgent | ops.ReviewAgent | ops.ResumeAgent


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation on agents."""
    match operation:
        case ops.RegisterAgent() | ops.ChangeAgent() | ops.ReviewAgent() | ops.ResumeAgent():
            return _keep(context, operation)
        case ops.SuspendAgent() | ops.UnregisterAgent():
            return _withdraw(context, operation)
        case ops.ClassifyAgents():
            from jitid.capabilities.directory import recurrence

            with context.ledger.read() as snapshot:
                usual_audiences = tuple(context.audiences) or snapshot.names.accepted(snapshot.now)
                return recurrence.classify(
                    snapshot, operation.names, operation.rule, operation.limit, usual=usual_audiences
                )
        case ops.ShowAgent():
            with context.ledger.read() as snapshot:
                return _show(snapshot, operation)
        case ops.ListAgents():
            with context.ledger.read() as snapshot:
                return _list(snapshot, operation)
        case _:
            assert_never(operation)


def _keep(context: Context, operation: _Keeping) -> KeptAgent:
    """Change the record of an agent. A denial by the directory is recorded in a separate event."""
    name = operation.name
    try:
        outcome = _kept(context, operation, name)
    except PolicyDeniedError as denial:
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            transaction.append("denial", denial.facts)
        raise
    if outcome.ended:
        context.prove_leaks_refused()
    return outcome


def _kept(context: Context, operation: _Keeping, name: str) -> KeptAgent:
    from jitid.capabilities.directory import registry

    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        match operation:
            case ops.RegisterAgent(stated=stated, due=due, most=most):
                return registry.register(transaction, name, stated, due, most)
            case ops.ChangeAgent(stated=stated):
                return registry.change(transaction, name, stated)
            case ops.ReviewAgent(due=due):
                return registry.review(transaction, name, due)
            case ops.ResumeAgent():
                return registry.resume(transaction, name)
            case _:
                assert_never(operation)


def _withdraw(context: Context, operation: ops.SuspendAgent | ops.UnregisterAgent) -> WithdrawnAgent:
    from jitid.capabilities.directory import withdrawal

    name, keep_live = operation.name, operation.keep_live
    for_good = isinstance(operation, ops.UnregisterAgent)
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return withdrawal.foresee(snapshot, name, keep_live=keep_live, for_good=for_good)
    withdraw = withdrawal.unregister if for_good else withdrawal.suspend
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        withdrawn = withdraw(transaction, name, operation.reason, operation.most, keep_live=keep_live)
    if not withdrawn.ended.credentials:
        return withdrawn
    return withdrawn._replace(ended=withdrawn.ended._replace(unproved=context.prove_leaks_refused()))


def _show(snapshot: View, operation: ops.ShowAgent) -> ops.AgentDetails:
    from jitid.capabilities.directory import registry

    record = registry.record_of(snapshot, operation.name)
    (described,) = registry.described(snapshot, [record])
    issues = CredentialStore(snapshot).credentials(
        Filter(agent=record.name), "issued_at", descending=True, after=None, limit=operation.issues
    )
    return ops.AgentDetails(described, issues, snapshot.now)


def _list(snapshot: View, operation: ops.ListAgents) -> ops.AgentPage:
    from jitid.capabilities.directory import registry

    # A name that the directory does not know now may still be the owner in an older record.
    owner = () if operation.owner is None else DirectoryStore(snapshot).names_of(operation.owner)
    if operation.after is not None and DirectoryStore(snapshot).find_agent(operation.after) is None:
        raise NotFoundError(f"there is no agent {quote(operation.after)} to continue after")
    agents = DirectoryStore(snapshot).agents(
        owner=owner, state=operation.state, after=operation.after, limit=operation.limit
    )
    return ops.AgentPage(registry.described(snapshot, agents), snapshot.now)
