"""Verification of many tokens together: each result is the same as for the token alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.identity import recognise_token
from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.trust.operations import RevokeKey, RotateKey
from jitid.errors import InvalidCredentialError
from jitid.ledger.signing_keys import KeyStore
from jitid.model.request import RenewRequest
from jitid.values.ids import parse_id
from jitid.values.secret import Secret
from tests.builders import NAMES, World, edit

ES256 = "urn:es256"
"""A service whose tokens are signed by another algorithm."""
OWN = (NAMES.issuer, ES256)


@pytest.fixture
def tokens(world: World) -> list[str]:
    """Return tokens of every kind: live, ended in each way, foreign, forged."""
    world.terms = world.terms._replace(algorithms={ES256: "ES256"})
    world.reopen()
    chain = world.chain(4, scopes=["db:read"])
    dead_above = world.chain(3, task="T2", kind="opaque")
    foreign_task = world.issue(task="T9")
    below_ended_task = world.issue(parent=foreign_task.token, task="T9/10", agent="child")
    one_of_many = [world.issue(kind=kind).token for kind in ("jwt", "opaque")]
    elsewhere = [world.issue(kind=kind, audiences=("urn:else",)).token for kind in ("jwt", "opaque")]
    es256 = world.issue(audiences=(ES256,)).token
    expired = [world.issue(kind=kind, ttl=30).token for kind in ("jwt", "opaque")]
    renewed = world.issue()
    successor = world.authority.perform(Renew(request=RenewRequest(Secret.single(renewed.token))))
    world.revoke(dead_above[1].id)
    world.retire("T9")
    world.clock.now += 31
    # A secret that a target made may look like an opaque token.
    lookalike = world.issue(kind="opaque")
    raw = parse_id(lookalike.jti)[1].hex()
    edit(world.path, f"UPDATE credential SET kind = 'exec:shop' WHERE jti = x'{raw}'")
    spoilt = [one_of_many[0][:-6] + "AAAAAA", one_of_many[0] + "=", one_of_many[1][:-1], "", "x", "a.b.c"]
    return [
        *(made.token for made in (*chain, *dead_above, foreign_task, below_ended_task, renewed, lookalike)),
        *(one.secret.reveal() for one in successor.credentials),
        *one_of_many,
        *elsewhere,
        es256,
        *expired,
        *spoilt,
        "x" * 20_000,
        "jitid_" + "0" * 38,
        "\udcff.\0.\x1b",
    ]


def _alone(world: World, token: str) -> str | None:
    try:
        world.verify(token, *OWN)
    except InvalidCredentialError as error:
        return error.message
    return None


def _together(world: World, tokens: list[str]) -> list[recognise_token.HeldToken]:
    with world.ledger.read() as snapshot:
        presented = recognise_token.present(NAMES, recognise_token.signing_keys_of(snapshot), tokens)
        return recognise_token.look_up_tokens(snapshot, presented, OWN)


def test_many_are_judged_as_each_is_alone(world: World, tokens: list[str]) -> None:
    held = _together(world, [*tokens, *tokens])
    told = [_alone(world, token) if token else "empty" for token in tokens]
    assert [one.refusal is None for one in held] == [reason is None for reason in (*told, *told)]
    assert {True, False} == {one.refusal is None for one in held}
    for one, token in zip(held, tokens, strict=False):
        if one.refusal is None:
            credential = world.verify(token, *OWN)
            assert one.credential == credential
            assert one.task is not None
            assert one.task.name == credential.task
            assert len(one.lineage) == credential.depth


def test_what_is_dead_is_known_all_the_same(world: World, tokens: list[str]) -> None:
    """An ended token is identified, so that its use is recorded with its holder."""
    held = _together(world, tokens)
    for one, token in zip(held, tokens, strict=True):
        assert one.refusal is None or len(token) < 20 or token not in one.refusal
    reasons = " ".join(str(one.refusal) for one in held if one.credential is not None)
    for why in ("for another audience", "was revoked", "was retired", "expired at"):
        assert why in reasons


def test_the_end_of_a_key_ends_what_it_signed(world: World) -> None:
    made = [world.issue(kind=kind) for kind in ("jwt", "opaque")]
    with world.ledger.read() as snapshot:
        kid = KeyStore(snapshot).signing_keys()[0].kid
    world.authority.perform(RotateKey(algorithm="EdDSA"))
    world.authority.perform(RevokeKey(kid=kid, most=None))
    # The key's revocation counts even if an edit has restored the row of the credential.
    edit(world.path, "UPDATE credential SET ended_at = NULL, ended_as = NULL, ended_event = NULL")
    world.reopen()
    signed, opaque = _together(world, [one.token for one in made])
    assert signed.refusal == "the key that signed the token was revoked"
    assert opaque.refusal is None


def test_a_key_that_is_revoked_before_the_lock_is_not_believed_under_it(world: World) -> None:
    made = world.issue()
    with world.ledger.read() as snapshot:
        presented = recognise_token.present(NAMES, recognise_token.signing_keys_of(snapshot), [made.token])
        kid = KeyStore(snapshot).signing_keys()[0].kid
    world.authority.perform(RevokeKey(kid=kid, most=None))
    with world.ledger.read() as snapshot:
        (held,) = recognise_token.look_up_tokens(snapshot, presented, (NAMES.issuer,))
    assert held.refusal is not None


@pytest.fixture
def other(tmp_path: Path) -> Iterator[World]:
    """Return another ledger."""
    with World(
        tmp_path / "other", policy=[("all.cedar", '@id("all") permit (principal, action, resource);')]
    ) as other:
        yield other


def test_what_another_ledger_issued_is_nobodys(world: World, other: World) -> None:
    tokens = [other.issue(kind=kind).token for kind in ("jwt", "opaque")]
    for one in _together(world, tokens):
        assert one.credential is None
        assert one.refusal is not None
