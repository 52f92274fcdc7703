"""Delegators with several names: the primary name is recorded, and the proof of any name counts."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory.operations import ListCredentials
from jitid.errors import PolicyDeniedError, UsageError
from jitid.values.names import check_delegator
from jitid.values.secret import Secret
from jitid.values.strict_json import b64url_decode, loads
from tests.builders import NOW, World
from tests.crypto import signed

CENTURY = 100 * 365 * 86_400
ISSUER = "https://id.example"


def who(world: World, **fields: Any) -> tuple[str, str]:
    """Issue a credential; return its delegator and the delegator's proof."""
    made = world.issue(**fields)
    claims = loads(b64url_decode(made.token.split(".")[1]))
    assert claims["sub"] == made.issued.delegator
    assert world.events()[-1]["delegator"] == made.issued.delegator
    return made.issued.delegator, made.issued.delegator_proof


@pytest.mark.parametrize("stated", ["user:alice", "user:al", "system:alice"])
def test_whoever_is_stated_by_another_name_is_taken_by_their_own(world: World, stated: str) -> None:
    world.know(aliases=("user:al", "system:alice"))
    assert who(world, delegator=stated) == ("user:alice", "asserted")
    assert who(world, delegator="user:bob") == ("user:bob", "asserted")


@pytest.mark.parametrize("stated", ["user:alice", "user:al", "user:tester"])
def test_the_callers_login_proves_whoever_has_it_as_a_name(world: World, stated: str) -> None:
    world.know(aliases=("user:al", "user:tester"))
    assert who(world, delegator=stated) == ("user:alice", "os-user")
    assert who(world, delegator="user:bob") == ("user:bob", "asserted")


def test_the_callers_login_proves_nobody_who_lacks_it(world: World) -> None:
    world.know(aliases=("user:al", "system:tester"))
    world.know("user:tester", aliases=("user:test",))
    assert who(world, delegator="user:al") == ("user:alice", "asserted")
    assert who(world, delegator="user:test") == ("user:tester", "os-user")


def carols_token() -> Secret:
    """Return an ID token with the subject `carol`."""
    claims = {"iss": ISSUER, "aud": "jitid", "sub": "carol", "iat": 0, "exp": NOW + CENTURY}
    return Secret.single(signed.token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims))


@pytest.mark.parametrize("alias", [f"{ISSUER} carol", "user:carol"])
@pytest.mark.parametrize("stated", [None, "user:alice", "user:al", "user:carol"])
def test_an_id_token_proves_whoever_has_its_subject_or_its_name(
    oidc: World, alias: str, stated: str | None
) -> None:
    with oidc:
        oidc.know(aliases=("user:al", "user:tester", alias))
        assert who(oidc, delegator=stated, delegator_token=carols_token()) == ("user:alice", "oidc")


@pytest.mark.parametrize("alias", [f"{ISSUER} caro", f"{ISSUER}/ carol", "carol", f"{ISSUER}  carol"])
def test_an_id_token_proves_nobody_who_has_another_subject(oidc: World, alias: str) -> None:
    with oidc:
        oidc.know(aliases=(alias,))
        assert who(oidc, delegator=None, delegator_token=carols_token()) == ("user:carol", "oidc")


def test_the_subject_of_an_id_token_goes_before_its_name(oidc: World) -> None:
    with oidc:
        oidc.know(aliases=(f"{ISSUER} carol",))
        oidc.know("user:carol")
        assert who(oidc, delegator=None, delegator_token=carols_token()) == ("user:alice", "oidc")


@pytest.mark.parametrize("stated", ["user:bob", "user:mallory", "user:bobby"])
def test_an_id_token_proves_nobody_else(oidc: World, stated: str) -> None:
    with oidc:
        oidc.know(aliases=(f"{ISSUER} carol",))
        oidc.know("user:bob", aliases=("user:bobby",))
        with pytest.raises(UsageError, match=f"proves `user:alice`, not `{stated}`"):
            oidc.issue(delegator=stated, delegator_token=carols_token())


def test_the_subject_of_an_id_token_is_no_name_that_could_be_stated() -> None:
    with pytest.raises(UsageError):
        check_delegator(f"{ISSUER} carol")


def test_a_chain_keeps_the_name_of_its_root(world: World) -> None:
    parent = world.issue(delegator="user:al")
    world.know(aliases=("user:al",))
    child = world.issue(parent=parent.token, agent="coder")
    assert (child.issued.delegator, child.issued.delegator_proof) == ("user:al", "asserted")
    assert (parent.issued.delegator_state, child.issued.delegator_state) == ("unverified", "known")
    world.know(disabled_at=NOW)
    with pytest.raises(PolicyDeniedError, match="delegator-disabled"):
        world.issue(parent=child.token, agent="tester")


def test_a_person_is_listed_and_revoked_with_all_their_names(world: World) -> None:
    for name in ("user:alice", "user:al", "user:bob"):
        world.issue(delegator=name)
    world.know(aliases=("user:al", f"{ISSUER} carol"))

    def live() -> list[str]:
        page = world.authority.perform(
            ListCredentials(chosen=Filter(live=True), sort="id", descending=False, after=None, limit=9)
        )
        # Credentials of the same millisecond have no fixed order.
        return sorted(one.delegator for one in page.credentials)

    assert live() == ["user:al", "user:alice", "user:bob"]
    assert world.revoke(delegators=("user:al",)).radius.credentials == 2
    assert live() == ["user:bob"]
    assert world.revoke(delegators=("user:bob",)).radius.credentials == 1
    world.check()
