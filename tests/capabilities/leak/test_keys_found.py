"""Private keys that were found: each is traced to its credential, or recognised as the ledger's own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.trace_result import Match, Traced, honour
from jitid.capabilities.trust import operations as trust_operations
from jitid.errors import IntegrityError
from jitid.model.request import AttachRequest
from jitid.search.find import Finds
from jitid.search.pasted import search_pasted
from jitid.search.strings import search
from jitid.values.secret import Secret
from tests.builders import World, edit, request

KINDS = ("x509-svid", "ssh-cert")
MINE = ec.generate_private_key(ec.SECP256R1())
LONG = rsa.generate_private_key(65537, 3072)


def issue(world: World, kind: str, **fields: Any) -> Any:
    """Issue a certificate, and return it in the form that the requester gets."""
    (issued,) = world.authority.perform(issue_operations.Issue(requests=(request(kind=kind, **fields),)))
    (made,) = issued.credentials
    return made


def key_of(made: Any) -> str:
    return str(made.secret.reveal("key"))


def traced(world: World, text: str | bytes) -> Traced:
    raw = text.encode() if isinstance(text, str) else text
    return world.authority.perform(leak_operations.Trace(finds=search_pasted(raw)))


def one(world: World, text: str) -> Match:
    found = traced(world, text)
    (match,) = found.matches
    return match


def public(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def private(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return str(key.private_bytes(Encoding.PEM, form, NoEncryption()).decode())


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_of_a_certificate_proves_it(world: World, kind: str) -> None:
    """The key alone is a match; together with its certificate it is still one match."""
    made, other = issue(world, kind), issue(world, kind)
    match = one(world, key_of(made))
    assert tuple(match.evidence)[:2] == ("private-key", "fingerprint")
    assert (match.credential.jti, match.reason) == (made.jti, None)
    both = one(world, made.secret.reveal("certificate") + "\n" + key_of(made))
    assert both.credential.jti == made.jti
    assert tuple(both.evidence)[:2] == ("private-key", "fingerprint")
    assert len(traced(world, key_of(made) + key_of(other)).matches) == 2
    world.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_a_large_text_is_found_as_well(world: World, kind: str) -> None:
    made = issue(world, kind)
    text = ("x" * 70_000 + "\n" + key_of(made)).encode()
    finds = Finds()
    search(text, 0, len(text), finds)
    (match,) = world.authority.perform(leak_operations.Trace(finds=finds)).matches
    assert match.credential.jti == made.jti


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [MINE, LONG], ids=["p256", "rsa"])
def test_the_callers_own_key_proves_every_certificate_that_can_still_be_used(
    world: World, kind: str, key: Any
) -> None:
    """Of expired credentials only the latest one matches, so that a late finder of the key learns its owner."""
    made = []
    for _ in range(3):
        made.append(issue(world, kind, public_key=public(key)).jti)
        world.clock.now += 300
    assert [match.credential.jti for match in traced(world, private(key)).matches] == made[1:]
    world.clock.now += 10_000
    assert [match.credential.jti for match in traced(world, private(key)).matches] == made[2:]
    world.check()


def test_a_public_key_or_a_certificate_alone_is_no_private_key(world: World) -> None:
    made = issue(world, "x509-svid", public_key=public(MINE))
    assert traced(world, public(MINE)).matches == []
    certificate = one(world, made.secret.reveal("certificate"))
    assert certificate.evidence.match == "fingerprint"


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_of_a_further_credential_is_known(world: World, kind: str) -> None:
    first = world.issue(may_kind=("jwt", kind))
    attached = world.authority.perform(
        Attach(request=AttachRequest(Secret.single(first.token), kind=kind))
    ).credentials[0]
    assert one(world, key_of(attached)).credential.jti == attached.jti
    world.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_was_found_has_leaked(world: World, kind: str) -> None:
    made = issue(world, kind)
    finds = search_pasted(key_of(made).encode())
    came = world.authority.perform(leak_operations.AddLeaks(finds=finds, report=LeakReport("wiki", None)))
    assert list(came.credentials.values()) == [made.jti]
    world.revoke(made.jti)
    assert honour(one(world, key_of(made)))[0] != "no verifier", "who does not ask the ledger takes it still"
    assert one(world, key_of(made)).reason == "the credential was revoked at 2026-11-24T12:00:00Z"
    world.check()


def test_what_an_encrypted_key_says_of_itself_proves_nothing(world: World) -> None:
    """An attacker can write the public key of another credential into such a file."""
    from jitid.crypto import openssh

    made = issue(world, "ssh-cert")
    lines = key_of(made).splitlines()
    raw = base64.b64decode("".join(lines[1:-1]))
    cipher = openssh.string("none") * 2
    assert raw.count(cipher) == 1
    locked = base64.b64encode(raw.replace(cipher, openssh.string("aes256-ctr") + openssh.string("bcrypt")))
    match = one(world, f"{lines[0]}\n{locked.decode()}\n{lines[-1]}")
    assert (match.credential.jti, match.evidence.match, match.evidence.proof) == (
        made.jti,
        "private-key",
        None,
    )
    (word,) = traced(
        world, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----"
    ).words
    assert "passphrase" in word.reason


SPELLINGS: list[Callable[[bytes], bytes]] = [bytes, base64.b64encode, lambda seed: seed.hex().encode()]


@pytest.mark.parametrize(
    ("kind", "spell"),
    [
        *[(kind, spell) for kind in ("jwt", *KINDS) for spell in SPELLINGS],
        # DER in hexadecimal digits is not searched.
        *[("RS256", spell) for spell in SPELLINGS[:2]],
    ],
)
def test_a_key_of_the_ledger_itself_is_told_like_a_stolen_one(
    world: World, kind: str, spell: Callable[[bytes], bytes]
) -> None:
    if kind == "RS256":
        world.terms = world.terms._replace(algorithms={"urn:api": kind})
        world.issue(kind="jwt", audiences=("urn:api",))
    else:
        world.issue(kind=kind)
    key = [row.key for row in world.authority.perform(trust_operations.ListKeys())][-1]
    seed = (Path(world.path) / "keys" / key.kid).read_bytes()
    found = traced(world, spell(seed))
    (stray,) = [stray for stray in found.strays if stray.signed_by]
    assert (stray.match, stray.signed_by, found.matches) == ("private-key", key.kid, [])
    world.authority.perform(trust_operations.RevokeKey(kid=key.kid, reason="found", most=None))
    (stray,) = [stray for stray in traced(world, spell(seed)).strays if stray.match == "private-key"]
    assert stray.signed_by is None
    assert "revoked" in stray.reason


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET public = NULL WHERE kind = 'x509-svid'",
        "UPDATE credential SET public = (SELECT public FROM credential WHERE kind = 'ssh-cert')",
        "UPDATE credential SET public = zeroblob(32) WHERE kind = 'jwt'",
        "UPDATE credential SET public = 'text' WHERE kind = 'x509-svid'",
        "UPDATE credential SET public = x'' WHERE kind = 'jwt'",
    ],
)
def test_who_edits_which_key_a_credential_is_for_is_found(world: World, change: str) -> None:
    for kind in ("jwt", *KINDS):
        world.issue(kind=kind)
    world.check()
    edit(world.path, change)
    with pytest.raises(IntegrityError):
        world.check()
