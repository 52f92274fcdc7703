"""Performs the operations on policies and decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.decisions import operations as ops
from jitid.capabilities.decisions.store import RequestStore
from jitid.errors import ConfigurationError, NotFoundError, UsageError
from jitid.ledger.policies import kept
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.decisions.explanation import Explanation
    from jitid.capabilities.decisions.policy_suggestion import Suggestion
    from jitid.capabilities.decisions.replay import Replayed
    from jitid.operation.context import Context

_LEAST = 4
"""The minimum number of digits: with fewer, several policies may match."""


def stored_policy(context: Context, operation: ops.StoredPolicy) -> ops.Files:
    """Return the files of a policy that decided something once."""
    digest = operation.digest
    digits = digest.lower()
    with context.ledger.read() as snapshot:
        if len(digits) < _LEAST or not set(digits) <= set("0123456789abcdef") or len(digits) > 64:
            raise UsageError(
                f"{quote(digest)} is not a digest of a policy",
                f"expected 64 hexadecimal digits, or the first {_LEAST} or more",
            )
        digests = RequestStore(snapshot).policies(digits)
        if not digests:
            raise NotFoundError(
                f"no recorded decision has a policy with the digest {quote(digest)}",
                "see: jitid audit log --format jsonl",
            )
        if len(digests) > 1:
            raise UsageError(
                f"{len(digests)} policies have a digest that begins with {quote(digest)}",
                "use more digits",
            )
        files = kept(snapshot, digests[0])
        assert files is not None
        return tuple(files)


def replay_decisions(context: Context, operation: ops.ReplayDecisions) -> Replayed:
    """Decide all recorded requests by two policies, and return the differences."""
    from jitid.capabilities.decisions import replay
    from jitid.policy.evaluate import Policy

    with context.ledger.read() as snapshot:
        try:
            policies = Policy(operation.old), Policy(operation.new)
        except ConfigurationError as error:
            # The caller supplied these policies, so the error is in the request, not in the authority's configuration.
            raise UsageError(error.message, error.hint) from None
        return replay.replay(snapshot, context.ledger.names.issuer, *policies, operation.since)


def explain(context: Context, operation: ops.Explain) -> Explanation:
    """Explain the decision of a credential or of an audit event."""
    from jitid.capabilities.decisions import explanation

    with context.ledger.read() as snapshot:
        return explanation.explain(
            snapshot,
            context.ledger.names,
            context.terms,
            id_=operation.id,
            token=operation.token,
            event=operation.event,
        )


def suggest_policy(context: Context, operation: ops.SuggestPolicy) -> list[Suggestion]:
    """Return policies with the rights that agents used, and no others."""
    from jitid.capabilities.decisions import policy_suggestion

    with context.ledger.read() as snapshot:
        terms = context.terms()
        return policy_suggestion.suggest(
            snapshot,
            operation.agent,
            operation.task,
            operation.days,
            zone=terms.zone,
            zone_name=terms.zone_name or "UTC",
        )
