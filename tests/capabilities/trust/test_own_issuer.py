"""Renaming the issuer of a ledger: new credentials have the new name, and older ones stay valid."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import jitid
from jitid.capabilities.access.authenticate import authenticate
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess, RevokeAccess
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue import issuance
from jitid.capabilities.issue.operations import Attach, Renew
from jitid.capabilities.issue.token_operations import Introspect
from jitid.capabilities.trust import own_issuer
from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidCredentialError,
    UnauthenticatedError,
    UsageError,
)
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.schema import SQLITE_STEPS
from jitid.model.ledger_rows import FOREVER, Names
from jitid.model.request import AttachRequest, MayAct, RenewRequest
from jitid.values.secret import Secret
from jitid.values.strict_json import b64url_decode
from tests.builders import DAY, NAMES, NOW, World, edit, request

OLD, NEW, NEWER = NAMES.issuer, "https://id.example.com", "https://id.example.org/team"

API = "https://api.example"

pytestmark = pytest.mark.usefixtures("kept_in")


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64url_decode(token.split(".")[1]))
    return found


def named(token: str) -> tuple[str, str]:
    """Return the issuer and the audience of a token."""
    return claims(token)["iss"], claims(token)["aud"]


def rename(world: World, issuer: str = NEW) -> int | None:
    return world.authority.set_issuer(issuer, accept_clock=False).event


@pytest.fixture
def other(world: World) -> Iterator[World]:
    """Return another process that has the same ledger open."""
    with World(world.path) as found:
        found.verify(found.issue(task="BEFORE").token)
        yield found


def test_what_is_new_names_the_new_issuer_and_what_was_lives_on(world: World) -> None:
    before = world.issue(ttl=600)
    opaque = world.issue(kind="opaque", ttl=600)
    rename(world)
    after = world.issue(may_audience=(API,))
    child = world.issue(parent=before.token, agent="child")
    grandchild = world.issue(parent=opaque.token, agent="child")
    (renewed,) = world.authority.perform(Renew(request=RenewRequest(Secret.single(before.token)))).credentials
    (attached,) = world.authority.perform(
        Attach(request=AttachRequest(Secret.single(after.token), "jwt", audiences=(API,)))
    ).credentials
    assert named(before.token) == (OLD, OLD)
    for token in (
        after.token,
        child.token,
        grandchild.token,
        renewed.secret.reveal(),
    ):
        assert named(token) == (NEW, NEW)
    assert named(attached.secret.reveal()) == (NEW, API)
    for token in (before.token, opaque.token, after.token, child.token, grandchild.token):
        assert world.verify(token)
        told = world.authority.perform(Introspect(token=Secret.single(token)))
        assert told.issuer == (OLD if token == before.token else NEW)
        with world.ledger.read() as snapshot:
            assert authenticate(snapshot, snapshot.names, Secret.single(token)).agent
    world.check()


def test_a_former_name_counts_until_the_last_credential_under_it_expires(world: World) -> None:
    short, long = world.issue(ttl=300), world.issue(ttl=900)
    rename(world)
    world.issue(ttl=3_600, sensitivity="low", task="LOW")
    for seconds, accepted in ((0, (NEW, OLD)), (899, (NEW, OLD)), (900, (NEW,)), (2_000, (NEW,))):
        world.clock.now = NOW + seconds
        with world.ledger.read() as snapshot:
            assert snapshot.names.accepted(snapshot.now) == accepted
    world.clock.now = NOW + 301
    with pytest.raises(InvalidCredentialError, match="expired"):
        world.verify(short.token)
    world.clock.now = NOW + 899
    assert world.verify(long.token)
    # After its end, the token can still be inspected.
    world.clock.now = NOW + 5_000
    found = world.authority.perform(Inspect(token=Secret.single(long.token)))
    assert (found.credential.jti, found.active) == (long.jti, False)


def test_what_is_named_for_a_former_issuer_is_no_right_once_that_is_over(world: World) -> None:
    """This holds even if an edited row says otherwise: the former name is no longer valid as an audience."""
    made = world.issue(kind="opaque", ttl=900, task="LOW", sensitivity="low")
    rename(world)
    edit(world.path, f"UPDATE setting SET value = '{NOW}' WHERE name = 'former_until'")
    with World(world.path) as fresh:
        _must_refuse(fresh, made.token)


def _must_refuse(fresh: World, token: str) -> None:
    with pytest.raises(InvalidCredentialError, match="another audience"):
        fresh.verify(token)
    with fresh.ledger.read() as snapshot, pytest.raises(UnauthenticatedError):
        authenticate(snapshot, snapshot.names, Secret.single(token))


def test_nothing_new_is_for_a_former_name(world: World) -> None:
    """A request with the former name is refused. In a configuration, the former name means the issuer."""
    first = world.issue()
    rename(world)
    with pytest.raises(UsageError, match="former name"):
        world.issue(audiences=(OLD,))
    with pytest.raises(UsageError, match="former name"):
        world.issue(parent=first.token, audiences=(OLD,))
    with pytest.raises(UsageError, match="former name"):
        world.authority.perform(
            Attach(request=AttachRequest(Secret.single(first.token), "jwt", audiences=(OLD,)))
        )
    world.terms = world.terms._replace(audiences=(OLD, API))
    world.reopen()
    # The authority as a usual audience does not make a token that is for both uses.
    assert claims(world.issue().token)["aud"] == API


def test_it_goes_back_and_forth(world: World) -> None:
    """A former name may become the current one again. The names in between are former names then."""
    assert rename(world) is not None
    first = world.issue(ttl=400)
    rename(world, NEWER)
    rename(world, NEW)
    rename(world, OLD)
    with world.ledger.read() as snapshot:
        names = snapshot.names
    assert names.issuers == (OLD, NEWER, NEW)
    assert dict(names.lasting())[NEW] == NOW + 400
    assert world.verify(first.token)
    with pytest.raises(UsageError, match="already"):
        rename(world, OLD)
    world.check()
    world.reopen()
    assert world.ledger.names == names


def test_another_process_that_has_the_ledger_open_notices(world: World, other: World) -> None:
    """It never signs under the old name again, and learns the new name by its first operation of any kind."""
    rename(world)
    assert named(other.issue().token) == (NEW, NEW)
    rename(world, NEWER)
    made = world.issue()
    assert other.verify(made.token)
    rename(world, NEW)
    chain = other.chain(3)
    assert {named(each.token) for each in chain} == {(NEW, NEW)}
    rename(other, NEWER)
    assert named(world.issue(kind="jwt").token) == (NEWER, NEWER)
    with world.ledger.glance() as snapshot:
        assert snapshot.names.issuer == NEWER
    assert world.check() == other.check()


def test_what_was_foreseen_under_another_name_is_made_anew(world: World) -> None:
    """The plan of an issue is made before the lock is held."""
    asked = request()
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, snapshot.names, [asked], world.terms, world.authority._keyring)
    assert foreseen.each != [None]
    rename(world)
    with world.ledger.write() as transaction:
        (issued,) = issuance.issue(
            transaction, transaction.names, [asked], world.terms, world.authority._keyring, foreseen
        )
    assert named(issued.credentials[0].secret.reveal()) == (NEW, NEW)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE setting SET value = 'https://evil.example' WHERE name = 'issuer'",
        "UPDATE setting SET value = 'evil.example' WHERE name = 'trust_domain'",
        "UPDATE setting SET value = '9999999999' WHERE name = 'former_until'",
        "UPDATE setting SET value = '0' WHERE name = 'former_until'",
        "UPDATE setting SET value = 'https://evil.example' WHERE name = 'former_issuers'",
        "UPDATE setting SET value = value || ' https://evil.example' WHERE name = 'former_issuers'",
        "UPDATE setting SET value = '1' WHERE name = 'named_at'",
        "DELETE FROM setting WHERE name = 'former_issuers'",
        "DELETE FROM setting WHERE name = 'former_until'",
        "DELETE FROM setting WHERE name = 'named_at'",
        "DELETE FROM setting WHERE name = 'trust_domain'",
    ],
)
def test_an_edit_of_the_names_is_seen(world: World, statement: str) -> None:
    """This holds whether or not the process had the ledger open before."""
    world.issue(ttl=600)
    rename(world)
    world.issue()
    world.check()
    edit(world.path, statement)
    with pytest.raises(IntegrityError):
        world.check()
    with pytest.raises(IntegrityError), World(world.path) as fresh:
        fresh.check()


def test_an_edit_is_seen_where_no_name_was_ever_changed(world: World) -> None:
    world.issue()
    edit(world.path, "INSERT INTO setting VALUES ('former_issuers', 'https://evil.example')")
    with pytest.raises(IntegrityError, match="former issuers"):
        world.check()


def test_a_former_name_of_before_the_schema_knew_until_when_gets_the_last_expiry(world: World) -> None:
    """An earlier version copied the ledger under another issuer. Its event has no end of the former name."""
    world.issue(ttl=700)
    with world.ledger.write() as transaction:
        transaction.begin_anew()
        transaction.append("ledger-copy", {"from": "sqlite", "to": "sqlite", "events": 2, "issuer": NEW})
    edit(
        world.path,
        f"UPDATE setting SET value = '{NEW}' WHERE name = 'issuer'",
        f"INSERT INTO setting VALUES ('former_issuers', '{OLD}')",
    )
    with World(world.path) as before:
        assert before.ledger.names.former_until == (FOREVER,)
        before.check()
    (step,) = [each for step in SQLITE_STEPS for each in step if "former_until" in each]
    edit(world.path, step)
    with World(world.path) as after:
        assert after.ledger.names.former_until == (NOW + 700,)
        after.check()
    edit(world.path, "UPDATE setting SET value = '9999999999' WHERE name = 'former_until'")
    with pytest.raises(IntegrityError, match="the end of the former issuer"):
        world.check()


def test_a_configuration_may_state_a_former_name_and_no_foreign_one(world: World) -> None:
    rename(world)
    names = world.authority.names_now()
    for stated in (OLD, NEW, None):
        folder.check_names(names, {"issuer": stated, "trust_domain": None})
    with pytest.raises(ConfigurationError, match=r"https://x\.example"):
        folder.check_names(names, {"issuer": "https://x.example", "trust_domain": None})


GATE = "system:gateway"
BELOW = f"{NEW}/api"
IN_USE: dict[str, Callable[[World], object]] = {
    "are for": lambda world: world.issue(audiences=(NEW,)),
    "are for opaque": lambda world: world.issue(audiences=(API, NEW), kind="opaque"),
    "are for jwt-svid": lambda world: world.issue(audiences=(NEW,), kind="jwt-svid"),
    "are for below": lambda world: world.issue(audiences=(BELOW,)),
    "may obtain": lambda world: world.issue(may_audience=(NEW,)),
    "may obtain wildcard": lambda world: world.issue(may_audience=("https://*.example.com",)),
    "may obtain below": lambda world: world.issue(may_audience=(BELOW,)),
    "may be exchanged": lambda world: world.issue(audiences=(API,), may_act=(MayAct(GATE, (NEW,)),)),
    "may be exchanged later": lambda world: world.issue(
        audiences=(API,), may_act=(MayAct(GATE), MayAct("system:next", (NEW,)))
    ),
    "access": lambda world: world.authority.perform(
        GrantAccess(wanted=AccessRequest(GATE, ("verifier",), ttl=900, audiences=(API, NEW)))
    ),
}
"""Ways in which a live row may contain a name as the name of a service."""


@pytest.mark.parametrize("how", IN_USE)
def test_the_name_of_a_service_is_not_taken_while_something_live_means_the_service(
    world: World, how: str
) -> None:
    """Otherwise, credentials for the service would become credentials for the authority."""
    IN_USE[how](world)
    before = world.head()
    for ask in (lambda: rename(world), lambda: world.authority.look_at_names(NEW)):
        with pytest.raises(UsageError, match="service"):
            ask()
    assert world.head() == before
    assert world.authority.names_now().issuer == OLD
    # Another name does not affect them. After their end, this name does not either.
    rename(world, NEWER)
    world.clock.now += DAY
    rename(world)
    world.check()


@pytest.mark.deep
def test_one_function_alone_gives_a_ledger_another_issuer() -> None:
    """The other function reads the change from the audit events."""
    package = Path(jitid.__file__).parent
    found = {
        f"{path.relative_to(package)}:{function.name}"
        for path in package.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "renamed"
        and not (isinstance(call.func.value, ast.Name) and call.func.value.id in ("own_issuer", "reach"))
    }
    assert found == {
        "capabilities/trust/own_issuer.py:renamed",
        "capabilities/integrity/verify_keys.py:take",
    }


def test_what_has_ended_or_was_replaced_keeps_no_name(world: World) -> None:
    world.revoke(world.issue(audiences=(NEW,)).id)
    granted = world.authority.perform(
        GrantAccess(wanted=AccessRequest(GATE, ("verifier",), audiences=(NEW,)))
    )
    world.authority.perform(RevokeAccess(ids=(granted.access.id,)))
    world.authority.perform(GrantAccess(wanted=AccessRequest(GATE, ("verifier",), all_audiences=True)))
    rename(world)
    world.check()


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_renewal_never_makes_an_identity_token_of_a_service_token(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds even if the issuer got the name of a service in a version without a check."""
    made = world.issue(audiences=(NEW,), kind=kind, may_act=(MayAct(GATE, (API,)),))
    other = world.issue(audiences=(API,), kind=kind)
    monkeypatch.setattr(own_issuer, "must_be_free", lambda *_: None)
    rename(world)
    with pytest.raises(UsageError, match="service token"):
        world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token))))
    (renewed,) = world.authority.perform(Renew(request=RenewRequest(Secret.single(other.token)))).credentials
    found = world.authority.perform(Inspect(id=renewed.jti)).credential
    assert (found.token_use, found.audiences) == ("service", (API,))
    rename(world, NEWER)
    with pytest.raises(UsageError, match="service token"):
        world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token))))
    world.check()


def test_names_are_what_their_rows_say() -> None:
    names = Names("u", "a", "t")
    for issuer, until in (("b", 5), ("c", 0), ("a", 7), ("d", 9)):
        names = names.renamed(issuer, until)
        assert Names.of(names.settings()) == names
    assert names.lasting() == (("b", 0), ("c", 7), ("a", 9))
    assert names.accepted(6) == ("d", "c", "a")
    assert names.current(("a", "x", "d", "b")) == ("d", "x")
