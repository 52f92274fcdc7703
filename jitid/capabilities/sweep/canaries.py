"""Canaries: test credentials without rights, one per kind, that prove whether revocation works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from jitid.capabilities.identity import recognise_token, revocation
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.inventory import task_sharing
from jitid.capabilities.issue import issuance, provision
from jitid.capabilities.issue.mint import signing_of
from jitid.capabilities.sweep.finding import Canary, Fate
from jitid.capabilities.targets import settle
from jitid.capabilities.targets.store import OutsideStore
from jitid.capabilities.trust.signing import with_keys
from jitid.errors import InvalidCredentialError, JitidError
from jitid.ledger.contract import change
from jitid.ledger.signing_keys import KeyStore
from jitid.model.credential import MADE, PROOFS, is_outside
from jitid.model.ledger_rows import Selection
from jitid.model.request import IssueRequest
from jitid.model.target import Life, Probe
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.issuers.targets import Targets
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.operation.context import Context
    from jitid.values.secret import Secret

DELEGATOR = "system:jitid"
AGENT = "jitid-canary"
"""Prefix of the canaries' agents and tasks; a random suffix follows."""
LIFETIME = 300
"""Seconds after which a canary expires even if its revocation failed."""
_PAUSE = 0.2
"""Seconds between two probes: some targets need a moment until all their servers know of a revocation."""


def fly(context: Context, targets: Targets, chosen: tuple[str, ...], limit: int) -> Iterator[Canary]:
    """Yield the result of each canary, for jitid's own kinds and for targets.

    Args:
        context: the authority.
        targets: the targets of the configuration.
        chosen: only these targets; if empty, all targets and jitid's own kinds.
        limit: seconds that a target has to end a canary, and to refuse it.

    An audit event records each result. Raises UsageError for a target that does not exist.

    """
    for name in chosen:
        targets.get(name)
    if not chosen:
        for kind in _made_here(context):
            yield _recorded(context, _Flight(context, targets, kind, kind, None, limit).fly())
    for name in chosen or targets.names():
        yield _recorded(context, _at(context, targets, name, limit))


def _made_here(context: Context) -> list[str]:
    with context.ledger.read() as snapshot:
        keys = {
            (key.use, key.algorithm) for key in KeyStore(snapshot).signing_keys() if key.retired_at is None
        }
    return [
        kind.value
        for kind in MADE
        # The ledger gets no key for a canary. Every ledger has one for its own tokens.
        if not is_outside(kind.value) and (kind not in PROOFS or signing_of(kind, "EdDSA") in keys)
    ]


def _at(context: Context, targets: Targets, name: str, limit: int) -> Canary:
    try:
        target = targets.get(name)
    except JitidError as error:
        return Canary(name, "", Fate.GROUNDED, safe(error.message))
    if not is_outside(target.kind):
        return Canary(name, target.kind, Fate.PROVED, "jitid issues this kind itself: see its own canary")
    template = target.options.get("canary", "")
    return _Flight(context, targets, name, target.kind, f"{name}/{template}", limit).fly()


class _Flight:
    """One canary, from its issue to its end."""

    def __init__(
        self, context: Context, targets: Targets, name: str, kind: str, template: str | None, limit: int
    ) -> None:
        self._inside = context
        self._ledger = context.ledger
        self._targets = targets
        self._place = name
        self._kind = kind
        self._template = template
        self._limit = limit
        self._task = f"{AGENT}-{os.urandom(8).hex()}"

    def fly(self) -> Canary:
        """Return the result. After any failure, the canary is revoked as far as possible."""
        began = monotonic()
        try:
            issued = self._make()
        except JitidError as error:
            self._clear()
            return self._landed(Fate.GROUNDED, f"no canary could be issued: {error.message}")
        made_in = _since(began)
        (credential,) = issued.credentials
        probe_before = self._look(credential.jti, credential.secret)
        began = monotonic()
        unconfirmed = self._end(issued)
        probe_after = self._await_refusal(credential.jti, credential.secret, began)
        fate, observation = _judged(probe_before, probe_after, unconfirmed)
        refused_in = _since(began) if probe_after.life is Life.DEAD else None
        return self._landed(fate, observation, credential.jti, made_in, refused_in)

    def _make(self) -> Issued:
        request = IssueRequest(
            self._task,
            DELEGATOR,
            self._task,
            kind=self._kind,
            template=self._template,
            ttl=LIFETIME,
            purpose="to see that revocation works",
            sensitivity="low",
            deadline_after=LIFETIME,
        )
        # The authority issues it for itself, and not for a caller.
        terms = self._inside.terms()._replace(any_delegator=True, caller_proof=None)

        def issue(transaction: Transaction) -> list[Issued]:
            return issuance.issue(transaction, transaction.names, [request], terms, self._inside.keyring)

        # The ledger has a key for its own tokens, unless a copy or a restoration has retired it.
        recorded = with_keys(self._ledger, self._inside.keyring, lambda: change(self._ledger, issue))
        (issued,) = provision.provision(self._ledger, self._targets, recorded)
        return issued

    def _clear(self) -> None:
        """Retire the task of a canary that could not be made, if it was opened."""

        def close(transaction: Transaction) -> None:
            task = TaskStore(transaction).find_task(self._task, DELEGATOR)
            if task is not None:
                task_sharing.retire(transaction, task.full_name, None)

        change(self._ledger, close)

    def _end(self, issued: Issued) -> str | None:
        """Revoke it like `revoke` does, and retire its task; return why its target did not confirm that, else None."""
        (credential,) = issued.credentials
        selection = Selection(ids=(credential.id,))
        change(self._ledger, lambda transaction: revocation.revoke(transaction, selection, None, None))
        self._clear()
        if not is_outside(self._kind):
            return None
        settled = settle.settle(
            self._ledger, self._targets, ids=[credential.jti], waiting=True, limit=self._limit
        )
        return next((unsettled.seen for unsettled in settled.left), None)

    def _look(self, jti: str, secret: Secret) -> Probe:
        try:
            if is_outside(self._kind):
                return self._look_outside(jti, secret)
            with self._ledger.read() as snapshot:
                return self._presented(snapshot, secret)
        except JitidError as error:
            return Probe(Life.UNKNOWN, _without(secret, error.message))

    def _look_outside(self, jti: str, secret: Secret) -> Probe:
        with self._ledger.read() as snapshot:
            (outside,) = OutsideStore(snapshot).find([jti])
        issuer = self._targets.open(self._targets.get(self._place))
        try:
            probe = issuer.probe(outside.record, secret)
            return probe._replace(seen=_without(secret, probe.seen, outside.record.name))
        finally:
            issuer.close()

    def _presented(self, snapshot: View, secret: Secret) -> Probe:
        """Check a credential that jitid made, like `verify` does."""
        part = "token" if "token" in secret.names else "certificate"
        try:
            recognise_token.verify(snapshot, self._ledger.names, secret.reveal(part), None)
        except InvalidCredentialError as error:
            return Probe(Life.DEAD, error.message)
        return Probe(Life.LIVE, "the credential is valid")

    def _await_refusal(self, jti: str, secret: Secret, began: float) -> Probe:
        while True:
            probe = self._look(jti, secret)
            if probe.life is Life.DEAD or monotonic() - began >= self._limit:
                return probe
            sleep(_PAUSE)

    def _landed(
        self,
        fate: Fate,
        observation: str,
        jti: str | None = None,
        made_in: int | None = None,
        refused_in: int | None = None,
    ) -> Canary:
        return Canary(self._place, self._kind, fate, safe(observation)[:500], jti, made_in, refused_in)


def _judged(probe_before: Probe, probe_after: Probe, unconfirmed: str | None) -> tuple[Fate, str]:
    """Return the outcome of the probes before and after revocation; only both together are a proof."""
    if probe_after.life is Life.LIVE:
        return Fate.SURVIVED, f"{probe_after.seen}; {unconfirmed}" if unconfirmed else probe_after.seen
    if probe_before.life is not Life.LIVE:
        return Fate.BLIND, f"before its revocation: {probe_before.seen}"
    if probe_after.life is Life.UNKNOWN:
        return Fate.UNPROVED, probe_after.seen
    if unconfirmed is not None:
        return (
            Fate.UNPROVED,
            f"{probe_after.seen}, but the target has not confirmed its revocation: {unconfirmed}",
        )
    return Fate.PROVED, probe_after.seen


def _without(secret: Secret, message: str, name: str = "") -> str:
    """Return a target's message without the secret that it was shown, since the audit log keeps the message.

    A part that is the credential's name is not secret.
    """
    for part in secret.names:
        if secret.reveal(part) != name:
            message = message.replace(secret.reveal(part), "****")
    return message


def _since(began: float) -> int:
    return round((monotonic() - began) * 1_000)


def _recorded(context: Context, canary: Canary) -> Canary:
    facts: dict[str, Any] = {**canary._asdict(), "fate": canary.fate.value}
    change(context.ledger, lambda transaction: transaction.append("canary", facts))
    return canary
