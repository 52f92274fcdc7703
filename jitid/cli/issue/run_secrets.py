"""The secrets of a run: obtained before the command starts, renewed in time, and ended at their targets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.authority.renewal_schedule import SOONEST, due_with, jitter
from jitid.authority.settle_at_targets import AT_ONCE
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.run.delivery.delivery import PREFIX, Delivered, Delivery, Files, own_way, variable
from jitid.capabilities.run.token_place import RUN_SERVICE
from jitid.capabilities.targets.operations import Settle
from jitid.cli.issue.obtain import abandon
from jitid.errors import JitidError, UsageError
from jitid.issuers.issuer import text_of, usable_until
from jitid.model.credential import SHOWN, Kind, is_outside
from jitid.model.request import AttachRequest, MayAct
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.run.delivery.vendors import Vendors
    from jitid.capabilities.run.token_place import TokenPlace
    from jitid.cli.invocation import Invocation
    from jitid.model.credential import RequestedKind
    from jitid.model.federation import Federation
    from jitid.values.secret import Secret

_NEVER = float("inf")
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 60.0
"""Seconds from a failed renewal to the next try."""

_PAUSE = 1.0
"""Minimum number of seconds between two renewals of one secret."""


class SecretRequest(Record):
    """A requested secret."""

    name: str
    kind: str
    template: str | None
    audiences: tuple[str, ...] = ()
    """Audiences of the secret, if it is a token."""
    place: TokenPlace | None = None
    """Place of the token for the command; None for a file of the secrets."""
    may_act: tuple[MayAct, ...] = ()
    federation: Federation | None = None
    """The vendor whose programs exchange the token."""

    @property
    def left(self) -> int:
        """The seconds of its life that the token must have left whenever it is read."""
        kept = 0 if self.federation is None else self.federation.vendor.kept
        return kept and kept + _MARGIN

    @property
    def federation_title(self) -> str:
        """Name of the vendor, in words."""
        return "" if self.federation is None else self.federation.vendor.title

    @property
    def is_for_service(self) -> bool:
        """Whether it is a token that the command shows to a service; that of a vendor would give its rights there."""
        return self.place is not None and self.federation is None

    @property
    def label(self) -> str:
        """Name of the secret, in words."""
        return f"secret {quote(self.name)}" if self.place is None else f"the token for {quote(self.name)}"


_MARGIN = 30
"""Seconds for an exchange, and for a clock that is behind."""
_LOOK = 1.0
"""Seconds between two checks whether a token that is accepted once was read."""


class _HeldSecret(Record):
    wanted: SecretRequest
    ends_at: int
    due: float
    """Time of the next renewal, in seconds since the epoch."""
    wait: float = _FIRST_WAIT
    issued_at: int = 0
    not_before: float = 0.0
    """Time before which it is not renewed because it was read."""

    def is_once(self, now: float) -> bool:
        """Return whether its token is replaced once it was read: the vendor accepts each `jti` once.

        This holds until it expires, even if it needs no renewal for its lifetime (`due`).
        """
        federation = self.wanted.federation
        return federation is not None and federation.vendor.once and now < self.ends_at

    def is_due(self, now: float) -> bool:
        """Return whether it must be renewed."""
        if self.due <= now:
            return True
        file = self.wanted.place
        return self.is_once(now) and self.not_before <= now and file is not None and file.was_read()


def of_services(requests: Sequence[SecretRequest], audiences: tuple[str, ...]) -> list[SecretRequest]:
    """Return the secrets. Tokens among them are for these services."""
    return [
        request._replace(audiences=audiences) if request.kind in SHOWN else request for request in requests
    ]


def services(
    audiences: Sequence[str], kind: str, may_act: tuple[MayAct, ...], token_place: TokenPlace
) -> list[SecretRequest]:
    """Return the tokens for services, each in a separate place beside the identity token."""
    return [
        SecretRequest(
            audience,
            kind,
            None,
            (audience,),
            token_place.sibling("token" if index == 1 else f"token-{index}"),
            may_act,
        )
        for index, audience in enumerate(audiences, start=1)
    ]


def vendors(federations: Sequence[Federation], token_place: TokenPlace) -> list[SecretRequest]:
    """Return the tokens for vendors, each in a separate place beside the identity token."""
    return [
        SecretRequest(
            federation.name,
            Kind.JWT,
            None,
            () if federation.audience is None else (federation.audience,),
            token_place.sibling(f"token-{federation.name}"),
            federation=federation,
        )
        for federation in federations
    ]


def named_secrets(stated: Sequence[tuple[str, RequestedKind]]) -> list[SecretRequest]:
    """Return the requested secrets. Raises UsageError if two would have the same variable."""
    requests: dict[str, SecretRequest] = {}
    for name, kind in stated:
        if variable(name) in requests:
            raise UsageError(
                f"two secrets have the same variable {PREFIX}{variable(name)}", "use different names"
            )
        requests[variable(name)] = SecretRequest(name, *kind)
    return list(requests.values())


class Secrets:
    """The secrets of a command, each a credential of the command's identity."""

    def __init__(
        self, cli: Invocation, requests: Sequence[SecretRequest], *, ttl: int | None, allow_narrower: bool
    ) -> None:
        """Prepare the secrets. Each request has the lifetime `ttl`, in seconds; None is the default."""
        self._cli = cli
        self._requests = requests
        self._ttl = ttl
        self._allow_narrower = allow_narrower
        self._held: dict[str, _HeldSecret] = {}
        self._files = Files()
        self._ways: dict[type[Delivery], Delivery] = {}
        self._vendors: Vendors | None = None
        self._vendor_variables: dict[str, str] = {}
        self._vendor_token: Secret | None = None
        self._reported: dict[str, str] = {}
        self._shown: str | None = None
        self._renewed = False
        """Whether a target has made more than one secret for a name."""

    def obtain(self, token: Secret, command_end: float) -> None:
        """Obtain all secrets with a token, for a command that may run until `command_end`.

        Raises the error of the first secret that fails. Earlier secrets end with the identity.
        """
        for request in self._requests:
            issued = self._attach(request, token)
            self._take(request, issued, command_end)
            if request.federation is not None:
                self._vendor_token = issued.credentials[0].secret

    def lead_vendors(self, issued: Issued) -> None:
        """Make the files for the programs of vendors of an issued identity. Raises StorageError."""
        federations = {
            request.name: request.federation for request in self._requests if request.federation is not None
        }
        if not federations:
            return
        from jitid.capabilities.run.delivery.vendors import Vendors

        paths = {
            request.name: request.place.path
            for request in self._requests
            if request.place is not None and request.federation is not None
        }
        self._vendors = Vendors(federations, paths, issued.credentials[0].id)
        self._vendor_variables = self._vendors.environment()
        for note in (*self._refusals(federations, issued), *self._vendors.destinations(os.environ)):
            self._cli.note(note)
        lifetimes = ", ".join(
            f"{federation.vendor.title} {format_duration(federation.lifetime)}"
            for federation in federations.values()
        )
        self._cli.note(f"exchanged tokens cannot be revoked here; longest lifetimes: {lifetimes}")
        for held in self._held.values():
            longest = (held.ends_at - held.issued_at) * (1 - SOONEST)
            if held.wanted.left > longest:
                self._cli.warn(
                    f"{held.wanted.label} has a lifetime of {format_duration(held.ends_at - held.issued_at)}: "
                    f"programs of {held.wanted.federation_title} may present it after it has expired; "
                    f"use --ttl {format_duration(int(held.wanted.left / (1 - SOONEST)))} or more"
                )

    def _refusals(self, federations: Mapping[str, Federation], issued: Issued) -> list[str]:
        """Return the notes of `jitid federate` that concern the identity: for which reasons a vendor may refuse it."""
        if self._cli.quiet or self._vendor_token is None:
            return []
        from jitid.capabilities.trust import vendor_guide
        from jitid.crypto import jws

        config = self._cli.config()
        notes: dict[str, None] = {}
        # They concern the vendor alone: a remote authority that does not answer them prevents no run.
        with suppress(JitidError), closing(open_authority(config)) as authority:
            issuer = str(jws.parse(self._vendor_token.reveal()).claims["iss"])
            for federation in federations.values():
                if federation.audience is None:
                    continue
                guide = vendor_guide.guide_of(
                    authority, config, issuer, federation, federation.audience, issued.delegator, issued.agent
                )
                notes |= dict.fromkeys(vendor_guide.warnings(guide, issued.delegator_proof))
        return list(notes)

    def environment(self) -> dict[str, str]:
        """Return the variables with which the command finds the secrets."""
        variables = self._files.environment()
        paths = [
            request.place.path
            for request in self._requests
            if request.place is not None and request.is_for_service
        ]
        for index, path in enumerate(paths, start=1):
            variables[RUN_SERVICE if index == 1 else f"{RUN_SERVICE}_{index}"] = path
        for delivery in self._ways.values():
            variables |= delivery.environment()
        return variables | self._vendor_variables

    def shown(self) -> str | None:
        """Return the token for the first service, if there is one."""
        return self._shown

    def hidden(self) -> frozenset[str]:
        """Return the inherited variables to hide from the command, because programs would use them instead."""
        hidden = frozenset() if self._vendors is None else self._vendors.hidden(os.environ)
        return hidden.union(*(delivery.hidden() for delivery in self._ways.values()))

    def renew_when_due(self, now: float, token: Secret, command_end: float) -> float:
        """Renew the secrets that are due, and return the time of the next action.

        A failure is reported on standard error and never ends the command: its secret works until it expires.
        """
        for held in [secret for secret in self._held.values() if secret.is_due(now)]:
            label = held.wanted.label
            try:
                issued = self._attach(held.wanted, token)
                try:
                    self._take(held.wanted, issued, command_end)
                except BaseException:
                    # The command did not get this credential, and its identity has others.
                    abandon(self._cli, issued.credentials[0].jti)
                    raise
            except Exception as error:  # noqa: BLE001 - no error of a renewal may end the command
                self._report_failure(held, error)
                self._held[label] = _again(
                    held, now, lasting=isinstance(error, JitidError) and not error.retryable
                )
            else:
                self._reported.pop(label, None)
                self._renewed |= is_outside(issued.kind)
                renewed = self._held[label]
                # The pause limits the renewals of a secret that expires within a second.
                self._held[label] = renewed._replace(
                    due=max(renewed.due, now + _PAUSE), not_before=now + _PAUSE
                )
        times = [
            min(secret.due, now + _LOOK) if secret.is_once(now) else secret.due
            for secret in self._held.values()
        ]
        return min(times, default=_NEVER)

    def settle(self, id_: str) -> None:
        """End renewed secrets at their targets, after the identity has ended.

        The revocation of the identity has handled the secrets that were live then.
        """
        if not self._renewed:
            return
        try:
            settled = open_authority(self._cli.config()).perform(
                Settle(ids=(id_,), waiting=True, limit=AT_ONCE)
            )
        except Exception as error:  # noqa: BLE001 - this process exits with the status of the command
            reason = error.message if isinstance(error, JitidError) else type(error).__name__
            self._cli.warn(f"earlier secrets of {id_} may still work at their targets: {reason}")
            return
        if settled.open:
            self._cli.warn(
                f"{settled.open} secrets of {id_} may still work at their targets; the next sweep retries: "
                f"{self._cli.command('jitid sweep')}"
            )

    def close(self, *, keep: bool = False) -> None:
        """Remove all secrets from the places of the command; `keep` leaves tokens that can stay."""
        for request in self._requests:
            if request.place is not None:
                request.place.close(keep=keep)
        for delivery in (*self._ways.values(), *(() if self._vendors is None else (self._vendors,))):
            with suppress(Exception):
                delivery.close()
        self._files.close()

    def _attach(self, request: SecretRequest, token: Secret) -> Issued:
        authority = open_authority(self._cli.config())
        try:
            issued = authority.perform(
                Attach(
                    request=AttachRequest(
                        token,
                        request.kind,
                        request.template,
                        audiences=request.audiences,
                        ttl=self._ttl,
                        allow_narrower=self._allow_narrower,
                        may_act=request.may_act,
                    ),
                    accept_clock=self._cli.accept_clock,
                )
            )
        except JitidError as error:
            error.message = f"{request.label}: {error.message}"
            raise
        finally:
            authority.close()
        for note in issued.notes:
            self._cli.note(f"{request.label}: {note}")
        return issued

    def _trust_anchors(self, kind: str) -> dict[str, str]:
        """Return the trust anchors that the user of a secret of that kind needs."""
        if kind != Kind.X509_SVID:
            return {}
        from jitid.capabilities.trust.operations import PublishBundle
        from jitid.crypto.der import to_pem

        bundle = open_authority(self._cli.config()).perform(PublishBundle())
        return {"bundle": "".join(map(to_pem, bundle.roots))}

    def _take(self, request: SecretRequest, issued: Issued, command_end: float) -> None:
        """Deliver a secret that was made."""
        (credential,) = issued.credentials
        ends_at = usable_until(issued.expires_at, credential.facts)
        if request.place is not None:
            # Some programs of vendors send a line break of the file as well.
            request.place.put(credential.secret.reveal(), "\n" if request.federation is None else "")
            if request.is_for_service:
                self._shown = self._shown or credential.secret.reveal()
            due = _due(issued, ends_at, command_end)
            if due != _NEVER:
                due = due_with(request.left, due, issued.issued_at, ends_at)
            self._held[request.label] = _HeldSecret(request, ends_at, due, issued_at=issued.issued_at)
            return
        text = text_of(issued.kind, credential.secret, ends_at)
        delivered = Delivered(
            request.name,
            issued.kind,
            credential.secret,
            credential.facts,
            ends_at,
            text,
            self._trust_anchors(issued.kind),
        )
        delivery_class = own_way(issued.kind, credential.facts)
        if delivery_class is not None:
            if delivery_class not in self._ways:
                self._ways[delivery_class] = delivery_class()
            self._ways[delivery_class].put(delivered)
        self._files.put(delivered)
        self._held[request.label] = _HeldSecret(request, ends_at, _due(issued, ends_at, command_end))

    def _report_failure(self, held: _HeldSecret, error: Exception) -> None:
        reason = error.message if isinstance(error, JitidError) else f"{type(error).__name__} (a bug)"
        if self._reported.get(held.wanted.label) != reason:
            self._reported[held.wanted.label] = reason
            self._cli.warn(
                f"renewal failed: {reason}; the earlier secret works until {format_time(held.ends_at)}"
            )


def _due(issued: Issued, ends_at: int, command_end: float) -> float:
    """Return when to renew a secret."""
    if ends_at >= command_end:
        return _NEVER
    # A third of the lifetime remains then.
    return issued.issued_at + (ends_at - issued.issued_at) * (2 / 3 - jitter())


def _again(held: _HeldSecret, now: float, *, lasting: bool) -> _HeldSecret:
    """Return a secret whose renewal failed with the time of the next try, which is sooner while it works.

    A refused renewal (`lasting`) is tried a few more times until the secret expires, and then never again.
    """
    remaining = held.ends_at - now
    retry_delay = max(remaining / 3, _PAUSE)
    if lasting:
        retry_at = now + retry_delay if remaining > 0 else _NEVER
        return held._replace(due=retry_at, not_before=retry_at)
    wait = min(held.wait, retry_delay) if remaining > 0 else held.wait
    return held._replace(due=now + wait, wait=min(held.wait * 2, _LONGEST_WAIT), not_before=now + wait)
