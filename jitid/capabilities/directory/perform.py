"""Performs the operations on the directory: its delegators and the recurring agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.directory import delegators, registry
from jitid.capabilities.directory import operations as ops
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import NotFoundError, PolicyDeniedError
from jitid.operation.context import Context
from jitid.values.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.capabilities.directory.delegators import DelegatorDetails, Disabled, Edited, Enabled
    from jitid.capabilities.directory.recurrence import Classified
    from jitid.capabilities.directory.registry import KeptAgent, WithdrawnAgent
    from jitid.capabilities.directory.roster_diff import Reconciled
    from jitid.ledger.transaction import Transaction
    from jitid.model.directory import Delegator


def register_agent(context: Context, operation: ops.RegisterAgent) -> KeptAgent:
    """Record an agent that recurs."""
    return _kept(
        context,
        operation,
        lambda transaction: registry.register(
            transaction, operation.name, operation.stated, operation.due, operation.most
        ),
    )


def change_agent(context: Context, operation: ops.ChangeAgent) -> KeptAgent:
    """Change the record of an agent."""
    return _kept(
        context, operation, lambda transaction: registry.change(transaction, operation.name, operation.stated)
    )


def review_agent(context: Context, operation: ops.ReviewAgent) -> KeptAgent:
    """Record the review of an agent."""
    return _kept(
        context, operation, lambda transaction: registry.review(transaction, operation.name, operation.due)
    )


def resume_agent(context: Context, operation: ops.ResumeAgent) -> KeptAgent:
    """End the suspension of an agent."""
    return _kept(context, operation, lambda transaction: registry.resume(transaction, operation.name))


def _kept(
    context: Context,
    operation: ops.RegisterAgent | ops.ChangeAgent | ops.ReviewAgent | ops.ResumeAgent,
    change: Callable[[Transaction], KeptAgent],
) -> KeptAgent:
    """Return the record of an agent after a change. A denial by the directory is recorded in a separate event."""
    try:
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            outcome = change(transaction)
    except PolicyDeniedError as denial:
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            transaction.append("denial", denial.facts)
        raise
    if outcome.ended:
        context.prove_leaks_refused()
    return outcome


def suspend_agent(context: Context, operation: ops.SuspendAgent) -> WithdrawnAgent:
    """Suspend an agent and end its credentials, or return their number."""
    return _withdrawn(context, operation, registry.suspend, for_good=False)


def unregister_agent(context: Context, operation: ops.UnregisterAgent) -> WithdrawnAgent:
    """End the record of an agent and its credentials, or return their number."""
    return _withdrawn(context, operation, registry.unregister, for_good=True)


def _withdrawn(
    context: Context,
    operation: ops.SuspendAgent | ops.UnregisterAgent,
    withdraw: Callable[..., WithdrawnAgent],
    *,
    for_good: bool,
) -> WithdrawnAgent:
    name, keep_live = operation.name, operation.keep_live
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return registry.foresee(snapshot, name, keep_live=keep_live, for_good=for_good)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        withdrawn = withdraw(transaction, name, operation.reason, operation.most, keep_live=keep_live)
    if not withdrawn.ended.credentials:
        return withdrawn
    return withdrawn._replace(ended=withdrawn.ended._replace(unproved=context.prove_leaks_refused()))


def classify_agents(context: Context, operation: ops.ClassifyAgents) -> Classified:
    """Return for each agent's name whether it should have a record."""
    from jitid.capabilities.directory import recurrence

    with context.ledger.read() as snapshot:
        usual_audiences = tuple(context.audiences) or snapshot.names.accepted(snapshot.now)
        return recurrence.classify(
            snapshot, operation.names, operation.rule, operation.limit, usual=usual_audiences
        )


def show_agent(context: Context, operation: ops.ShowAgent) -> ops.AgentDetails:
    """Return all about an agent."""
    with context.ledger.read() as snapshot:
        record = registry.record_of(snapshot, operation.name)
        (described,) = registry.described(snapshot, [record])
        issues = CredentialStore(snapshot).credentials(
            Filter(agent=record.name), "issued_at", descending=True, after=None, limit=operation.issues
        )
        return ops.AgentDetails(described, issues, snapshot.now)


def list_agents(context: Context, operation: ops.ListAgents) -> ops.AgentPage:
    """Return records of agents in the order of their names."""
    with context.ledger.read() as snapshot:
        directory = DirectoryStore(snapshot)
        # A name that the directory does not know now may still be the owner in an older record.
        owner = () if operation.owner is None else directory.names_of(operation.owner)
        if operation.after is not None and directory.find_agent(operation.after) is None:
            raise NotFoundError(f"cannot continue after agent {quote(operation.after)}: it is not registered")
        agents = directory.agents(
            owner=owner, state=operation.state, after=operation.after, limit=operation.limit
        )
        return ops.AgentPage(registry.described(snapshot, agents), snapshot.now)


def add_delegator(context: Context, operation: ops.AddDelegator) -> Edited:
    """Add a delegator to the directory."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return delegators.add(transaction, operation.stated)


def change_delegator(context: Context, operation: ops.ChangeDelegator) -> Edited:
    """Change the directory's record of a delegator."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return delegators.change(transaction, operation.name, operation.edit)


def enable_delegator(context: Context, operation: ops.EnableDelegator) -> Enabled:
    """Let a delegator delegate again."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return delegators.enable(transaction, operation.name, operation.reason)


def disable_delegator(context: Context, operation: ops.DisableDelegator) -> Disabled:
    """Disable a delegator and end all that depends on it, or return the extent of that."""
    name, keep_live = operation.name, operation.keep_live
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return delegators.preview_disable(snapshot, name, keep_live=keep_live)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        disabled = delegators.disable(
            transaction, name, operation.reason, operation.most, keep_live=keep_live
        )
    return disabled._replace(unproved=context.prove_leaks_refused())


def import_delegators(context: Context, operation: ops.ImportDelegators) -> Reconciled:
    """Make the directory match a list, or return the changes."""
    from jitid.capabilities.directory.roster_diff import preview, reconcile

    roster, full = operation.roster, operation.full
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return preview(snapshot, roster, full=full)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        reconciled = reconcile(
            transaction, roster, operation.source, operation.reason, operation.most, full=full
        )
    return reconciled._replace(unproved=context.prove_leaks_refused())


def show_delegator(context: Context, operation: ops.ShowDelegator) -> DelegatorDetails:
    """Return all about a delegator."""
    with context.ledger.read() as snapshot:
        return delegators.details(snapshot, operation.name)


def list_delegators(context: Context, operation: ops.ListDelegators) -> list[Delegator]:
    """Return delegators in the order of their names."""
    with context.ledger.read() as snapshot:
        return DirectoryStore(snapshot).delegators(
            group=operation.group,
            disabled=operation.disabled,
            after=operation.after,
            limit=operation.limit,
        )
