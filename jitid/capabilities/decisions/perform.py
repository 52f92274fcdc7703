"""Performs the operations on policies and decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.decisions import operations as ops
from jitid.capabilities.decisions.store import RequestStore
from jitid.errors import ConfigurationError, NotFoundError, UsageError
from jitid.ledger.policies import kept
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.ledger.view import View
    from jitid.operation.context import Context

_LEAST = 4
"""The minimum number of digits: with fewer, several policies may match."""


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Return the answer to an operation on policies and decisions."""
    with context.ledger.read() as snapshot:
        match operation:
            case ops.StoredPolicy():
                return _stored(snapshot, operation.digest)
            case ops.ReplayDecisions():
                from jitid.capabilities.decisions import replay
                from jitid.policy.evaluate import Policy

                try:
                    policies = Policy(operation.old), Policy(operation.new)
                except ConfigurationError as error:
                    # The caller supplied these policies, so the error is in the request, not in the authority's
                    # configuration.
                    raise UsageError(error.message, error.hint) from None
                return replay.replay(snapshot, context.ledger.names.issuer, *policies, operation.since)
            case ops.Explain():
                from jitid.capabilities.decisions import explanation

                return explanation.explain(
                    snapshot,
                    context.ledger.names,
                    context.terms,
                    id_=operation.id,
                    token=operation.token,
                    event=operation.event,
                )
            case ops.SuggestPolicy(agent=agent, task=task, days=days):
                from jitid.capabilities.decisions import policy_suggestion

                terms = context.terms()
                return policy_suggestion.suggest(
                    snapshot, agent, task, days, zone=terms.zone, zone_name=terms.zone_name or "UTC"
                )
            case _:
                assert_never(operation)


def _stored(snapshot: View, digest: str) -> ops.Files:
    digits = digest.lower()
    if len(digits) < _LEAST or not set(digits) <= set("0123456789abcdef") or len(digits) > 64:
        raise UsageError(
            f"{quote(digest)} is no digest of a policy",
            "it has 64 hexadecimal digits; the first ones will do",
        )
    digests = RequestStore(snapshot).policies(digits)
    if not digests:
        raise NotFoundError(
            f"no policy with the digest {quote(digest)} ever decided anything here",
            "see: jitid audit log --format jsonl",
        )
    if len(digests) > 1:
        raise UsageError(
            f"{len(digests)} policies have digests that begin with {quote(digest)}", "give more digits of it"
        )
    files = kept(snapshot, digests[0])
    assert files is not None
    return tuple(files)
