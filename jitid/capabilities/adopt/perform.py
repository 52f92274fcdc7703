"""Performs the operations on adopted secrets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.capabilities.adopt import adoption
from jitid.capabilities.adopt import operations as ops
from jitid.capabilities.adopt.store import AdoptedStore
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.targets.perform import targets_of
from jitid.errors import JitidError, UsageError
from jitid.issuers.targets import Targets, reference_of
from jitid.ledger.contract import change
from jitid.model.credential import Kind
from jitid.model.target import BY_HAND, Life, Probe, TargetRecord
from jitid.model.task import ADOPTED
from jitid.operation.context import Context
from jitid.values.text import quote, safe
from jitid.values.times import NO_EXPIRY

if TYPE_CHECKING:
    from jitid.capabilities.adopt.adoption import AdoptedSecret, Adoption, Finished
    from jitid.capabilities.adopt.replacement import SecretReplacement
    from jitid.ledger.transaction import Transaction
    from jitid.model.adopted import StandingSecret


def adopt(context: Context, operation: ops.Adopt) -> Adoption:
    """Record standing secrets. Raises UsageError if a target has no such secret; nothing was changed."""
    secrets = operation.secrets
    if not secrets:
        raise UsageError("there is no secret to adopt; nothing was changed")
    targets = targets_of(context)
    kinds = _kinds(targets, secrets)
    unseen = _must_be_there(targets, kinds, [secret for secret in secrets if secret.target is not None])
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return adoption.preview(snapshot, secrets)._replace(unseen=unseen)
    result = change(
        context.ledger,
        lambda transaction: adoption.adopt(transaction, secrets, kinds, operation.content),
        accept_clock=operation.accept_clock,
    )
    return result._replace(unseen=unseen)


_MOST_PROBED = 20
"""The maximum number of secrets to look up at targets before they are adopted; a sweep checks larger numbers."""


def _must_be_there(
    targets: Targets, kinds: dict[str, str], secrets: Sequence[StandingSecret]
) -> tuple[str, ...]:
    """Look up secrets at targets; return the secrets of unknown state. Raises UsageError if one does not work."""
    if len(secrets) > _MOST_PROBED:
        return ()
    unseen = []
    for secret in secrets:
        assert secret.target is not None
        probe = _probe_at(targets, kinds[secret.target], _foreseen(secret, kinds[secret.target]))
        if probe.life is Life.DEAD:
            raise adoption.wrong(
                secret,
                f"target {quote(secret.target)} has no such working secret: {safe(probe.seen)}",
                "state its name at the target with --reference",
            )
        if probe.life is Life.UNKNOWN:
            unseen.append(f"{secret.name}: {safe(probe.seen)}")
    return tuple(unseen)


def _foreseen(secret: StandingSecret, kind: str) -> TargetRecord:
    """Return the record for a look-up at a target, before the ledger has a credential for the secret."""
    assert secret.target is not None
    name = secret.reference or secret.access_key_id or ""
    record = TargetRecord("", "", Kind.ADOPTED.value, secret.target, None, name, reference_of(kind, name))
    return record._replace(
        agent=secret.agent,
        task=ADOPTED + secret.name,
        delegator=secret.owner,
        purpose=secret.purpose,
        sensitivity=secret.sensitivity,
        expires_at=secret.expires_at or NO_EXPIRY,
    )


def _kinds(targets: Targets, secrets: Sequence[StandingSecret]) -> dict[str, str]:
    """Return the kind of credentials that each named target makes. Raises UsageError."""
    kinds: dict[str, str] = {}
    for secret in secrets:
        if secret.target is None:
            continue
        try:
            if secret.target not in kinds:
                kinds[secret.target] = targets.get(secret.target).kind
            reference_of(kinds[secret.target], secret.reference or secret.access_key_id)
        except JitidError as error:
            raise adoption.wrong(secret, error.message, error.hint) from error
    return kinds


def change_adopted(context: Context, operation: ops.ChangeAdopted) -> ops.AdoptedPage:
    """Change the properties of adopted secrets."""
    amended = operation.amended
    kind = None
    if amended.target is not None:
        kind = targets_of(context).get(amended.target).kind
        reference_of(kind, amended.reference)
    elif amended.reference is not None:
        raise UsageError("--reference requires --target")

    def amend(transaction: Transaction) -> ops.AdoptedPage:
        secrets = adoption.amend(transaction, operation.names, amended, kind)
        return ops.AdoptedPage(secrets, transaction.now)

    return change(context.ledger, amend, accept_clock=operation.accept_clock)


def end_adopted(context: Context, operation: ops.EndAdopted) -> Finished:
    """Record that adopted secrets have ended."""
    finished = change(
        context.ledger,
        lambda transaction: adoption.finish(transaction, operation.names, operation.proof),
        accept_clock=operation.accept_clock,
    )
    return finished if finished.event is None else finished._replace(unproved=context.prove_leaks_refused())


def list_adopted(context: Context, operation: ops.ListAdopted) -> ops.AdoptedPage:
    """Return adopted secrets."""
    with context.ledger.read() as snapshot:
        if operation.names:
            return ops.AdoptedPage(adoption.find(snapshot, operation.names), snapshot.now)
        owners = () if operation.owner is None else DirectoryStore(snapshot).names_of(operation.owner)
        keys = AdoptedStore(snapshot).page(
            owners, operation.after, operation.limit, live=operation.live, open_=operation.live
        )
        return ops.AdoptedPage(adoption.described(snapshot, keys), snapshot.now)


def suggest_replacements(context: Context, operation: ops.SuggestReplacements) -> list[SecretReplacement]:
    """Return a replacement for each secret."""
    from jitid.capabilities.adopt import replacement

    with context.ledger.read() as snapshot:
        secrets = adoption.find(snapshot, operation.names)
    targets, kinds = targets_of(context), {}
    for name in targets.names():
        # A target with an invalid configuration makes no credentials.
        with suppress(JitidError):
            kinds[name] = targets.get(name).kind
    return [replacement.suggest(secret, kinds) for secret in secrets]


def probe_adopted(context: Context, operation: ops.ProbeAdopted) -> list[ops.Probed]:
    """Return the state of adopted secrets at their targets."""
    with context.ledger.read() as snapshot:
        secrets = adoption.find(snapshot, operation.names)
    targets = targets_of(context)
    return [ops.Probed(secret.name, _probe(targets, secret)) for secret in secrets]


def _probe(targets: Targets, secret: AdoptedSecret) -> Probe:
    """Return the state of a secret at its target; after an error it is unknown."""
    record = secret.outside.record
    if record.target == BY_HAND:
        return Probe(Life.UNKNOWN, f"no target can check it at {safe(secret.adopted.place)}")
    return _probe_at(targets, str(secret.outside.facts.get("kind")), record)


def _probe_at(targets: Targets, kind: str, record: TargetRecord) -> Probe:
    """Return the state of a secret at a target; after an error it is unknown."""
    try:
        target = targets.get(record.target)
        if target.kind != kind:
            return Probe(
                Life.UNKNOWN, f"target {quote(target.name)} now makes credentials of the kind {target.kind}"
            )
        issuer = targets.open(target)
        try:
            probe = issuer.probe(record)
        finally:
            issuer.close()
    except JitidError as error:
        return Probe(Life.UNKNOWN, safe(error.message))
    return probe
