"""A login counts as long as its row, its event, its person and the configuration say so, wherever it is used."""

from __future__ import annotations

from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.access.login_proof import login_of, proved_by_login
from jitid.capabilities.access.operations import Authenticate, LogIn, RevokeAccess
from jitid.capabilities.access.store import AccessStore
from jitid.capabilities.issue import issuance
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    RefusedError,
    UnauthenticatedError,
    UsageError,
)
from jitid.keys.keyring import Keyring
from jitid.model.access import UNAUTHENTICATED, Caller, OidcIssuer
from jitid.model.request import IssueRequest
from jitid.values.secret import Secret
from tests.builders import NAMES, World, edit, put_delegator, request
from tests.crypto.signed import ED25519, jwk, token
from tests.identity_provider import SEED, nonce_at

ISSUER = "https://id.example"
HOLDER = "tester@host"
ADDRESS = "https://authority.example"


class LoggedIn:
    """A world in which alice logs in, beside the ledger and as a caller."""

    def __init__(self, folder: Path) -> None:
        keys = folder / "keys.json"
        keys.write_text(dumps({"keys": [jwk(ED25519, kid="k1")]}))
        keys.chmod(0o644)
        self.issuer = OidcIssuer(ISSUER, str(keys), "jitid", client_id="jitid-cli", names=("al*",))
        self.world = World(folder / "ledger", holder=HOLDER, places=(ADDRESS,), oidc=(self.issuer,))
        self.number = 0

    def login(self, authority: str) -> LogIn:
        """Return a login at `authority`."""
        self.number += 1
        now = self.world.clock.now
        claims = {"iss": ISSUER, "aud": "jitid-cli", "sub": "alice", "iat": now, "exp": now + 60}
        more = {"jti": f"login-{self.number}", "nonce": nonce_at(authority)}
        id_token = token({"alg": "EdDSA", "kid": "k1"}, {**claims, **more}, ED25519)
        return LogIn(token=Secret.single(id_token), authority=authority, seed=SEED)

    def beside(self) -> str:
        """Log in beside the ledger; return the id of the access."""
        return self.world.authority.perform(self.login(NAMES.issuer)).access.id

    def remote(self) -> Secret:
        """Log in as a caller; return the access token."""
        granted = self.world.authority.serving(UNAUTHENTICATED).perform(self.login(ADDRESS))
        assert granted.secret is not None
        return Secret.single(granted.secret.reveal(granted.secret.names[0]))

    def configure(self, **fields: Any) -> None:
        """Change the configured issuer; without fields, remove it."""
        self.world._oidc = (self.issuer._replace(**fields),) if fields else ()

    def found(self) -> str | None:
        """Return the person that is logged in beside the ledger."""
        with self.world.ledger.read() as snapshot:
            login = login_of(snapshot, HOLDER, self.world._oidc)
        return None if login is None else login.delegator

    def proved(self, **fields: Any) -> IssueRequest:
        """Return a request as the door proves it."""
        asked = request(**{"delegator": None, **fields})
        (found,) = proved_by_login(self.world.authority._context, [asked])
        return found


@pytest.fixture
def logged(tmp_path: Path) -> LoggedIn:
    """Return a world with the issuer of logins."""
    return LoggedIn(tmp_path)


def _foreseen(logged: LoggedIn, asked: IssueRequest, between: Callable[[], object]) -> tuple[Any, bool]:
    """Issue with a plan from before `between`; return the result, and whether the plan was used."""
    world = logged.world
    keyring: Keyring = world.authority._keyring
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, snapshot.names, [asked], world.terms, keyring)
    assert foreseen.each[0] is not None
    between()
    with world.ledger.write() as transaction:
        (issued,) = issuance.issue(transaction, transaction.names, [asked], world.terms, keyring, foreseen)
    (made,), (planned,) = issued.credentials, foreseen.each[0].settled.names
    return issued, made.jti == planned[1]


def test_a_plan_by_a_login_holds_beside_other_changes(logged: LoggedIn) -> None:
    """Neither a false error nor a second plan under the lock: the request carries the proof."""
    logged.beside()
    logged.world.issue(task="FIRST")
    logged.world.know("user:alice", disabled_last=logged.world.clock.now - 10)
    asked = logged.proved()
    assert (asked.proved_delegator, asked.proved_subject) == ("user:alice", f"{ISSUER} alice")
    issued, used = _foreseen(logged, asked, lambda: logged.world.know("user:else"))
    assert (issued.delegator, issued.delegator_proof, used) == ("user:alice", "oidc", True)


def test_a_login_that_ends_meanwhile_proves_nothing(logged: LoggedIn) -> None:
    """The transaction checks the login again, with a plan from before as without one."""
    access = logged.beside()
    logged.world.issue(task="FIRST")
    asked = logged.proved()
    with pytest.raises(InvalidCredentialError, match="counts no more"):
        _foreseen(
            logged, asked, lambda: logged.world.authority.perform(RevokeAccess(ids=(access,), reason="out"))
        )


def test_the_configuration_of_today_decides(logged: LoggedIn) -> None:
    """Beside the ledger and at an authority alike."""
    logged.beside()
    secret = logged.remote()
    authenticate = Authenticate(bearer=secret)
    assert logged.found() == "user:alice"
    assert logged.world.authority.perform(authenticate).name == "user:alice"
    for change in (
        {},
        {"names": ("nobody*",)},
        {"client_id": None},
        {"kind": "system"},
        {"issuer": "https://other.example"},
        {"jwks": ""},
    ):
        logged.configure(**change)
        assert logged.found() is None, change
        assert logged.proved().proved_delegator is None
        with pytest.raises(UnauthenticatedError):
            logged.world.authority.perform(authenticate)
    logged.configure(names=("al*", "bo*"))
    assert logged.found() == "user:alice"
    assert logged.world.authority.perform(authenticate).login is not None


def test_the_issuer_must_still_prove_the_name_of_a_bound_subject(logged: LoggedIn) -> None:
    """The directory may have another name for it, which the `names` of the issuer need not match."""
    with logged.world.ledger.write() as transaction:
        put_delegator(transaction, "user:carol", aliases=(f"{ISSUER} alice",))
    logged.beside()
    secret = logged.remote()
    assert logged.found() == "user:carol"
    logged.configure(names=("carol",))
    assert logged.found() is None
    with pytest.raises(UnauthenticatedError):
        logged.world.authority.perform(Authenticate(bearer=secret))


def test_an_agent_does_not_log_in(logged: LoggedIn) -> None:
    """Neither at an authority nor in a process that holds the ledger for it."""
    agent = Caller("agent:coder", frozenset(), agent="coder")
    with pytest.raises(RefusedError, match="an agent does not log in"):
        logged.world.authority.serving(agent).perform(logged.login(ADDRESS))
    with logged.world.ledger.read() as snapshot:
        assert list(AccessStore(snapshot).all()) == []


def test_an_id_token_is_for_one_place(logged: LoggedIn) -> None:
    """Neither the issuer of the ledger nor an address counts in place of the other."""
    remote = logged.world.authority.serving(UNAUTHENTICATED)
    for authority in (NAMES.issuer, f"{ADDRESS}/below", "https://other.example"):
        with pytest.raises(UsageError, match="does not count here"):
            remote.perform(logged.login(authority))
    with pytest.raises(UsageError, match="does not count here"):
        logged.world.authority.perform(logged.login(ADDRESS))
    stated = logged.login("https://other.example")
    with pytest.raises(InvalidCredentialError, match="`nonce`"):
        remote.perform(stated.replace(authority=ADDRESS))
    with pytest.raises(InvalidCredentialError, match="`nonce`"):
        remote.perform(stated.replace(authority=None, seed=None))


def test_settings_that_the_environment_chose_prove_nothing_beside_a_ledger(logged: LoggedIn) -> None:
    """The operator of an authority chooses the environment of the service."""
    logged.beside()
    secret = logged.remote()
    logged.configure(from_environment=True)
    assert logged.found() is None
    with pytest.raises(InvalidCredentialError, match="not configured"):
        logged.beside()
    assert logged.world.authority.perform(Authenticate(bearer=secret)).name == "user:alice"


def test_a_name_that_gets_another_subject_is_no_longer_the_callers(logged: LoggedIn) -> None:
    """Also for a caller that was authenticated just before."""
    logged.beside()
    secret = logged.remote()
    caller = logged.world.authority.perform(Authenticate(bearer=secret))
    world = logged.world
    world.know("user:alice", aliases=("https://id.example someone-else",))
    assert logged.found() is None
    with pytest.raises(UnauthenticatedError):
        world.authority.perform(Authenticate(bearer=secret))
    with pytest.raises(RefusedError, match="no longer valid"):
        world.authority.serving(caller).perform(RevokeAccess(ids=(str(caller.credential),), reason="x"))


def test_a_subject_of_another_person_is_that_person(logged: LoggedIn) -> None:
    """Beside the ledger the login proves its subject; a caller's name stays, so that caller is refused."""
    logged.beside()
    secret = logged.remote()
    with logged.world.ledger.write() as transaction:
        put_delegator(transaction, "user:carol", aliases=(f"{ISSUER} alice",))
    assert logged.found() == "user:carol"
    assert logged.proved().proved_delegator == "user:carol"
    with pytest.raises(UnauthenticatedError):
        logged.world.authority.perform(Authenticate(bearer=secret))


@pytest.mark.parametrize(
    "column", ["name = 'user:alan'", "subject = 'https://id.example al'", "proved_at = 1"]
)
def test_an_edited_row_is_refused_before_it_is_used(column: str, logged: LoggedIn) -> None:
    """Its event has other values; `audit verify` need not run first."""
    logged.beside()
    logged.world.close()
    edit(logged.world.path, f"UPDATE access SET {column}")
    logged.world.reopen()
    with pytest.raises(IntegrityError, match="no audit event records"):
        logged.proved()
    with pytest.raises(IntegrityError, match="no audit event records"):
        logged.found()
