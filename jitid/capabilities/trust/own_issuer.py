"""The issuer of a ledger: its names, and a change of its name that issued credentials survive."""

from __future__ import annotations

from collections.abc import Iterable

from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import UsageError
from jitid.ledger.contract import Ledger
from jitid.ledger.view import View
from jitid.model.access import ALL_AUDIENCES, AccessState
from jitid.model.credential import TokenUse
from jitid.model.ledger_rows import Names
from jitid.operation import reach
from jitid.values import audience
from jitid.values.record import Record
from jitid.values.text import quote


class Naming(Record):
    """The names of an issuer at one time."""

    names: Names
    now: int
    live: int
    """The number of live credentials."""
    until: int
    """When the last of them expires; 0 if there are none."""
    event: int | None = None
    """The audit event of a change."""


def look(ledger: Ledger, issuer: str | None = None) -> Naming:
    """Return the current names. Raises UsageError if `issuer` cannot become the issuer's name now."""
    with ledger.read() as snapshot:
        if issuer not in (None, snapshot.names.issuer):
            must_be_free(snapshot, str(issuer))
        return Naming(snapshot.names, snapshot.now, *CredentialStore(snapshot).count_live())


def set_issuer(ledger: Ledger, issuer: str, *, accept_clock: bool) -> Naming:
    """Give the issuer another name, in an exclusive transaction.

    Later credentials are issued under the new name. The former name counts until the last credential that was issued
    under it expires.

    Raises:
        UsageError: it is the issuer's name already, or live credentials or access use it as the name of a service.

    """
    with ledger.write(accept_clock=accept_clock) as transaction:
        old_names = transaction.names
        if issuer == old_names.issuer:
            raise UsageError(f"the issuer is {issuer} already; nothing was changed")
        naming = renamed(transaction, issuer)
        # Events do not contain the issuer as an audience: their order shows which name applies.
        transaction.begin_anew()
        facts = {"issuer": issuer, "was": old_names.issuer, "until": naming.until, "live": naming.live}
        event = transaction.append("ledger-issuer", facts)
        names = naming.names._replace(named_at=event.seq)
        transaction.rename(names)
        return naming._replace(names=names, event=event.seq)


def renamed(snapshot: View, issuer: str) -> Naming:
    """Return the names of a ledger with another issuer; every change of the issuer calls this function.

    Raises:
        UsageError: live credentials or access use it as the name of a service.

    """
    must_be_free(snapshot, issuer)
    live, last_expiry = CredentialStore(snapshot).count_live()
    return Naming(snapshot.names.renamed(issuer, last_expiry), snapshot.now, live, last_expiry)


def must_be_free(snapshot: View, issuer: str) -> None:
    """Refuse a name that is in use for a service: a token for the service would be a token for the authority.

    Raises:
        UsageError: live credentials or access use it as the name of a service.

    """
    for token_reach in CredentialStore(snapshot).reaches():
        # A credential that is not for a service has the authority as its audience, under one of its names.
        own_names = () if token_reach.token_use == TokenUse.SERVICE else snapshot.names.issuers
        services = [service for service in token_reach.audiences if service not in own_names]
        if _means(services, issuer):
            raise _taken(issuer, "live credentials have it as their audience")
        if _means(token_reach.may_audience, issuer):
            raise _taken(issuer, "live credentials may obtain tokens for it")
        if _means(reach.actor_reach(token_reach.may_act), issuer):
            raise _taken(issuer, "live tokens may be exchanged for tokens for it")
    for access in AccessStore(snapshot).all():
        registered = () if access.audiences in (None, ALL_AUDIENCES) else access.audiences
        if access.state_at(snapshot.now) is AccessState.ACTIVE and _means(registered or (), issuer):
            raise _taken(
                issuer,
                f"it is an audience of {access.name} ({access.id})",
                f"jitid access revoke {access.id}",
            )


def _means(services: Iterable[str], issuer: str) -> bool:
    """Return whether one of these covers that name or an address below it, which belongs to the issuer too."""
    return any(
        audience.covers(service, issuer) or audience.is_named(service, (issuer,)) for service in services
    )


def _taken(issuer: str, reason: str, command: str = "jitid revoke") -> UsageError:
    return UsageError(
        f"{quote(issuer)} is the name of a service: {reason}; nothing was changed",
        f"choose another name, wait until they expire, or revoke them: {command}",
    )
