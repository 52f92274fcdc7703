"""Attacks on tokens: a token verifies only if it is unchanged since its issue and still live."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.identity import recognise_token, validity
from jitid.crypto import jws
from jitid.errors import InvalidCredentialError, JitidError
from jitid.model.credential import Kind
from jitid.values import strict_json
from jitid.values.secret import Secret
from tests.builders import NAMES, NOW, World, edit
from tests.crypto.signed import encode

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token."""
    header, payload, _ = token.split(".")
    return json.loads(strict_json.b64url_decode(header)), json.loads(strict_json.b64url_decode(payload))


def stolen(world: World) -> Ed25519PrivateKey:
    """Return the ledger's own signing key, as a thief would have it."""
    (path,) = (world.path / "keys").iterdir()
    return Ed25519PrivateKey.from_private_bytes(path.read_bytes())


def signed(private: Ed25519PrivateKey, header: dict[str, Any], claims: dict[str, Any] | str) -> str:
    """Return a token with any header and claims."""
    body = claims if isinstance(claims, str) else json.dumps(claims)
    text = f"{encode(json.dumps(header).encode())}.{encode(body.encode())}"
    return f"{text}.{encode(private.sign(text.encode()))}"


def refused(world: World, token: str) -> str:
    """Check that a token is refused and not echoed; return the reason."""
    with pytest.raises(InvalidCredentialError) as caught:
        world.verify(token)
    said = f"{caught.value.message} {caught.value.hint}"
    assert len(token) < 20 or token not in said
    return caught.value.message


def test_what_was_issued_verifies(world: World) -> None:
    for kind in ("jwt", "opaque"):
        made = world.issue(kind=kind, scopes=["db:read"])
        assert world.verify(made.token).jti == made.jti


def test_an_unsigned_token_is_refused(world: World) -> None:
    header, claims = parts(world.issue().token)
    body = f"{encode(json.dumps({**header, 'alg': 'none'}).encode())}.{encode(json.dumps(claims).encode())}"
    for token in (f"{body}.", f"{body}.AA", body):
        refused(world, token)


def test_a_mac_over_the_public_key_is_no_signature(world: World) -> None:
    header, claims = parts(world.issue().token)
    public = stolen(world).public_key().public_bytes_raw()
    for secret in (public, encode(public).encode()):
        body = (
            f"{encode(json.dumps({**header, 'alg': 'HS256'}).encode())}.{encode(json.dumps(claims).encode())}"
        )
        refused(world, f"{body}.{encode(hmac.digest(secret, body.encode(), hashlib.sha256))}")


@pytest.mark.parametrize("typ", ["JWT", "AT+JWT", "application/at+jwt", "jitid-audit-head+jws", "", None])
def test_a_token_of_another_type_is_refused(world: World, typ: str | None) -> None:
    header, claims = parts(world.issue().token)
    refused(world, signed(stolen(world), {**header, "typ": typ}, claims))


def test_a_signed_audit_head_is_no_token(world: World) -> None:
    from jitid.capabilities.integrity.operations import SignHead

    refused(world, world.authority.perform(SignHead()))


@pytest.mark.parametrize("more", ["jwk", "jku", "x5c", "crit", "b64", "cty", "extra"])
def test_a_header_that_says_more_is_refused(world: World, more: str) -> None:
    header, claims = parts(world.issue().token)
    thief = Ed25519PrivateKey.generate()
    jwk = jws.public_jwk("EdDSA", thief.public_key().public_bytes_raw(), header["kid"])
    value: Any = {"jwk": jwk, "crit": ["exp"], "b64": False}.get(more, "https://evil.example/keys")
    refused(world, signed(thief, {**header, more: value}, claims))
    refused(world, signed(stolen(world), {**header, more: value}, claims))


def test_another_key_is_refused_under_any_name(world: World) -> None:
    header, claims = parts(world.issue().token)
    thief = Ed25519PrivateKey.generate()
    refused(world, signed(thief, header, claims))
    kid = jws.thumbprint("EdDSA", thief.public_key().public_bytes_raw())
    refused(world, signed(thief, {**header, "kid": kid}, claims))
    refused(world, signed(thief, {**header, "kid": f"../{header['kid']}"}, claims))


@pytest.mark.parametrize(
    "change",
    [
        {"scope": "db:*"},
        {"aud": "urn:evil"},
        {"exp": NOW + 10**6},
        {"sub": "user:root"},
        {"client_id": "other"},
        {"iss": "urn:evil"},
        {"extra": 1},
        {"jti": "jti_" + "0" * 26},
        {"jti": None},
        {"jti": ["x"]},
        {"exp": str(NOW + 900)},
        {"exp": True},
        {"aud": [{"a": 1}]},
        {"aud": None},
    ],
)
def test_a_stolen_key_cannot_change_a_known_credential(world: World, change: dict[str, Any]) -> None:
    header, claims = parts(world.issue(scopes=["db:read"]).token)
    refused(world, signed(stolen(world), header, {**claims, **change}))


def test_a_stolen_key_cannot_make_an_unknown_credential(world: World) -> None:
    header, claims = parts(world.issue().token)
    _, other = parts(world.issue().token)
    assert claims["jti"] != other["jti"]
    refused(world, signed(stolen(world), header, {**claims, "jti": other["jti"]}))


def test_the_same_claims_in_another_spelling_are_refused(world: World) -> None:
    header, claims = parts(world.issue().token)
    refused(world, signed(stolen(world), header, json.dumps(claims, indent=1)))


def test_duplicate_members_are_refused(world: World) -> None:
    header, claims = parts(world.issue().token)
    twice = json.dumps(claims)[:-1] + f',"scope":"db:*","exp":{NOW + 999}}}'
    assert "two members" in refused(world, signed(stolen(world), header, twice))


@pytest.mark.parametrize(
    "spell",
    [
        lambda token: token + "=",
        lambda token: token + ".",
        lambda token: token + "A",
        lambda token: token + "\n",
        lambda token: token + "\x00",
        lambda token: " " + token,
        lambda token: token.swapcase(),
        lambda token: token.upper(),
        lambda token: token.replace(".", "..") + ".",
        lambda token: token[:-1],
        lambda token: token + ".x.y",
        lambda token: token.replace("-", "+").replace("_", "/") + "=",
        lambda token: token[:20] + "\n" + token[20:],
        lambda token: token + "\u200b",
    ],
)
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_token_has_one_spelling(world: World, kind: str, spell: object) -> None:
    assert callable(spell)
    refused(world, spell(world.issue(kind=kind).token))


def test_spare_bits_of_the_signature_are_no_other_spelling(world: World) -> None:
    """64 bytes take 86 characters, and the last character has four unused bits."""
    token = world.issue().token
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(token[-1])
    for spare in range(1, 16):
        refused(world, token[:-1] + alphabet[at ^ spare])


def test_the_other_signature_of_an_es256_token_is_refused(world: World) -> None:
    world.terms = world.terms._replace(algorithms={"urn:outside": "ES256"})
    made = world.issue(audiences=("urn:outside",))
    assert world.verify(made.token, "urn:outside").jti == made.jti
    body, _, signature = made.token.rpartition(".")
    raw = strict_json.b64url_decode(signature)
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    with pytest.raises(InvalidCredentialError, match="differs from the recorded one"):
        world.verify(f"{body}.{encode(other)}", "urn:outside")


def test_a_megabyte_of_text_is_refused_before_it_is_read(world: World) -> None:
    for text in ("a" * 1_000_000, "a." * 500_000, "jitid_" + "a" * 1_000_000, "[" * 1_000_000):
        refused(world, text)


def test_a_typo_in_an_opaque_token_is_told_from_an_unknown_one(world: World) -> None:
    token = world.issue(kind="opaque").token
    wrong = "a" if token[10] != "a" else "b"
    assert "mistyped" in refused(world, token[:10] + wrong + token[11:])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=st.text(min_size=1, max_size=200) | st.text(alphabet="aA0.-_=eyJ", min_size=1, max_size=120))
def test_whatever_is_presented_is_answered_or_refused(world: World, text: str) -> None:
    for presented in (text, f"jitid_{text}", f"eyJ.{text}.x"):
        with pytest.raises(InvalidCredentialError):
            world.verify(presented)


def test_an_actor_chain_a_hundred_deep_is_refused_however_signed(lenient: World) -> None:
    header, claims = parts(lenient.issue().token)
    act: dict[str, Any] = {"sub": "spiffe://jitid.test/agent/a/T/x"}
    for _ in range(100):
        act = {"sub": "spiffe://jitid.test/agent/a/T/x", "act": act}
    assert "deep" in refused(lenient, signed(stolen(lenient), header, {**claims, "act": act}))


def test_every_token_of_a_deep_chain_verifies_or_is_not_issued(lenient: World) -> None:
    """A token that all verifiers would refuse is refused at its issue, with an explanation, and changes nothing."""
    made = [lenient.issue()]
    with pytest.raises(JitidError) as caught:
        while len(made) <= 100:
            made.append(lenient.issue(parent=made[-1].token, agent=f"a{len(made)}"))
            lenient.verify(made[-1].token)
    assert "opaque" in str(caught.value.hint)
    assert len(made) > 50
    assert len(lenient.chain(2, kind="opaque")) == 2
    lenient.check()


def test_a_chain_a_hundred_deep_verifies_and_dies_at_its_root(lenient: World) -> None:
    chain = lenient.chain(100, kind="opaque", scopes=["db:read"])
    assert lenient.verify(chain[-1].token).depth == 99
    lenient.revoke(chain[0].id)
    for made in chain:
        assert "revoked" in refused(lenient, made.token)


def test_a_credential_is_dead_at_its_expiry(world: World) -> None:
    for kind in ("jwt", "opaque"):
        made = world.issue(kind=kind, ttl=60)
        world.clock.now = made.issued.expires_at - 1
        world.verify(made.token)
        world.clock.now += 1
        assert "expired" in refused(world, made.token)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_what_was_revoked_stays_dead(world: World, kind: str) -> None:
    made = world.issue(kind=kind)
    world.revoke(made.jti)
    world.reopen()
    world.clock.now -= 3600
    assert "revoked" in refused(world, made.token)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_child_dies_with_its_parent(world: World, kind: str) -> None:
    parent, child = world.chain(2, kind=kind)
    world.revoke(parent.id)
    refused(world, child.token)


def test_a_child_dies_with_the_task_of_its_parent(world: World) -> None:
    parent = world.issue(task="T1")
    child = world.issue(parent=parent.token, task="T1/2")
    world.retire("T1")
    assert "retired" in refused(world, child.token)


def test_a_child_is_dead_when_its_parent_has_expired(world: World) -> None:
    parent, child = world.chain(2, ttl=60)
    edit(world.path, f"UPDATE credential SET expires_at = {NOW + 30} WHERE id = 1")
    world.clock.now += 30
    assert parent.id in refused(world, child.token)


def test_a_scope_that_the_parent_does_not_hold_is_found_at_verify(world: World) -> None:
    parent, child = world.chain(2, kind="opaque", scopes=["db:read"])
    edit(world.path, "UPDATE credential SET scopes = 'db:*' WHERE id = 2")
    assert parent.id in refused(world, child.token)


def test_an_identity_cut_off_from_its_parent_is_found(world: World) -> None:
    _, child = world.chain(2, kind="opaque")
    edit(world.path, "UPDATE identity SET parent = NULL WHERE id = 2")
    with pytest.raises(JitidError):
        world.verify(child.token)


def test_a_task_past_its_deadline_kills_what_was_issued_for_it(world: World) -> None:
    made = world.issue(kind="opaque", deadline_after=60)
    edit(world.path, f"UPDATE credential SET expires_at = {NOW + 999}")
    world.clock.now += 60
    assert "task" in refused(world, made.token)


def test_another_audience_is_refused(world: World) -> None:
    made = world.issue(audiences=("urn:a", "urn:b"))
    assert world.verify(made.token, "urn:b", "urn:c").jti == made.jti
    for audiences in (("urn:c",), ("urn:A",), (NAMES.issuer,), ("urn",)):
        with pytest.raises(InvalidCredentialError, match="audience"):
            world.verify(made.token, *audiences)


NOT_SIGNED = "the ledger's row differs from the signed claims"

ACCESS_TOKEN_EDITS = {
    "sub": "UPDATE term SET text = 'user:mallory' WHERE text = 'user:alice'",
    "client_id": "UPDATE term SET text = 'deployer' WHERE text = 'coder'",
    "txn": "UPDATE task SET name = 'T9' WHERE name = 'T1/2'",
    "scope": "UPDATE credential SET scopes = 'db:read:a db:read:b' WHERE id = 2",
    "delegator_proof": "UPDATE identity SET proof = 'oidc' WHERE id = 2",
    # The edit cuts the identity off from its parent, so that it looks like a root.
    "depth": "UPDATE identity SET parent = NULL, depth = 0 WHERE id = 2",
}
SVID_EDITS = {
    "agent": "UPDATE term SET text = 'deployer' WHERE text = 'coder'",
    "task": "UPDATE task SET name = 'T9' WHERE name = 'T1/2'",
    "id": f"UPDATE identity SET uid = x'{'01' * 16}' WHERE id = 2",
}
EDITS_OF_ANY = {
    "exp": "UPDATE credential SET expires_at = expires_at + 1 WHERE id = 2",
    "aud": "UPDATE term SET text = text || ' urn:evil' WHERE id = (SELECT audiences FROM credential WHERE id = 2)",
    "kind": "UPDATE credential SET kind = 'opaque' WHERE id = 2",
}


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        pytest.param(kind, statement, id=f"{kind}-{claim}")
        for kind, edits in (
            ("jwt", {**ACCESS_TOKEN_EDITS, **EDITS_OF_ANY}),
            ("jwt-svid", {**SVID_EDITS, **EDITS_OF_ANY}),
        )
        for claim, statement in edits.items()
    ],
)
def test_a_row_that_differs_from_what_was_signed_is_found(world: World, kind: str, statement: str) -> None:
    """Each of these edits is consistent in itself: only the signed claim reveals it."""
    parent = world.issue(scopes=["db:read:*"], may_audience=("urn:a",), may_kind=("jwt", "jwt-svid"))
    scopes = ["db:read:a"] if kind == "jwt" else []
    made = world.issue(
        parent=parent.token, agent="coder", task="T1/2", kind=kind, scopes=scopes, audiences=("urn:a",)
    )
    assert world.verify(made.token, "urn:a").jti == made.jti
    edit(world.path, statement)
    with pytest.raises(InvalidCredentialError, match=NOT_SIGNED):
        world.verify(made.token, "urn:a")
    with world.ledger.read() as snapshot, pytest.raises(InvalidCredentialError, match=NOT_SIGNED):
        recognise_token.recognise(snapshot, NAMES, made.token)


@pytest.mark.parametrize("kind", [kind.value for kind in Kind if kind is not Kind.OPAQUE] + ["exec:shop"])
def test_a_secret_of_another_kind_that_looks_like_an_opaque_token_is_none(world: World, kind: str) -> None:
    """A target chooses the secrets that it makes, and the owner of an adopted secret chose it before."""
    made = world.issue(kind="opaque")
    assert world.verify(made.token).jti == made.jti
    edit(world.path, f"UPDATE credential SET kind = '{kind}'")
    assert refused(world, made.token) == validity.UNKNOWN


def test_a_token_of_another_ledger_is_refused(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    with World(tmp_path_factory.mktemp("other") / "ledger") as other:
        for kind in ("jwt", "opaque"):
            refused(world, other.issue(kind=kind).token)


def test_a_secret_does_not_show_itself(world: World) -> None:
    made = world.issue(kind="opaque")
    shown = f"{made.issued!r} {made.issued.credentials} {Secret.single(made.token)}"
    assert made.token not in shown
    everything = b"".join(path.read_bytes() for path in world.path.rglob("*") if path.is_file())
    assert made.token.encode() not in everything
