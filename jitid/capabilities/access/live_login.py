"""Whether a login counts: the one answer for callers of an authority and for system users beside a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.access import oidc
from jitid.capabilities.access.grant_record import must_be_recorded
from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.directory import governance
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import ConfigurationError, InvalidCredentialError
from jitid.model.access import AccessState
from jitid.values.ids import parse_access_id
from jitid.values.names import matches
from jitid.values.text import label

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jitid.ledger.view import View
    from jitid.model.access import LoginProof, OidcIssuer, PresentedAccess

HINT = "log in again: jitid login"


def live_login(
    snapshot: View, presented: PresentedAccess, issuers: Sequence[OidcIssuer] | None
) -> LoginProof | None:
    """Return the proof that a login gives now, with the person's own name in the directory; None if it does not count.

    It counts until it ends, if its person is not disabled and was not since, if the directory does not bind the name
    to other subjects, and if the configured `issuers` still prove the name by logins. None for `issuers` leaves that
    last check out.

    Raises IntegrityError if no audit event records the login.
    """
    access = presented.access
    login = access.login
    if login is None or presented.departed or access.state_at(snapshot.now) is not AccessState.ACTIVE:
        return None
    must_be_recorded(access, presented.event)
    restored_at = snapshot.names.restored_at
    if restored_at is not None and login.proved_at <= restored_at:
        return None
    directory = DirectoryStore(snapshot)
    person = directory.find_delegator(governance.known_as(directory, login.delegator, login.subject))
    names: tuple[str, ...] | None = (login.delegator,)
    if person is not None:
        try:
            governance.must_be_newer(login.proved_at, person)
        except InvalidCredentialError:
            return None
        if person.disabled_at is not None or governance.foreign_subject(person, login.subject, ""):
            return None
        login = login._replace(delegator=person.name)
        # If the directory has the subject, it names the person, and the name that the issuer proved does not count.
        names = None if login.subject in person.aliases else (person.name, *person.aliases)
    return login if issuers is None or _prove(issuers, login, names) else None


def must_still_count(snapshot: View, id_: str, delegator: str) -> None:
    """Raise InvalidCredentialError unless a login still proves the same delegator as when a request arrived."""
    presented = AccessStore(snapshot).presented_id(parse_access_id(id_))
    login = None if presented is None else live_login(snapshot, presented, None)
    if login is None or login.delegator != delegator:
        raise InvalidCredentialError(f"the login of {label(delegator)} counts no more", HINT)


def _prove(issuers: Sequence[OidcIssuer], login: LoginProof, names: Iterable[str] | None) -> bool:
    """Return whether the configuration has the issuer of a login, for logins, and one of the names is its to prove."""
    for issuer in issuers:
        if issuer.issuer != login.issuer or issuer.client_id is None:
            continue
        try:
            oidc.check_names(oidc.check_client(oidc.check_settings(issuer)), issuers)
        except ConfigurationError:
            continue
        if issuer.names is None:
            return True
        if issuer.claim == "sub":
            # The name that the issuer proved; the directory may have given the person another one since.
            return any(matches(pattern, login.subject.partition(" ")[2]) for pattern in issuer.names)
        if names is None:
            return True
        bare = [name.partition(":")[2] for name in names if name.startswith(f"{issuer.kind}:")]
        if any(matches(pattern, name) for pattern in issuer.names for name in bare):
            return True
    return False
