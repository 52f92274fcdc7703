"""SSH certificates from their issue to their end, and the published data about both for hosts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue.issue_result import IssuedCredential
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.capabilities.leak.operations import Trace
from jitid.capabilities.trust.operations import (
    ListKeys,
    PublishKeys,
    PublishRevocations,
    PublishSshAuthorities,
    PublishSshRevocations,
    RevokeKey,
    RotateKey,
)
from jitid.capabilities.trust.publication import SLACK, SshRevocations
from jitid.crypto import openssh
from jitid.errors import InvalidCredentialError
from jitid.issuers.issuer import Ids, Order
from jitid.issuers.ssh_cert import SshCertIssuer
from jitid.model.credential import Credential
from jitid.model.request import RenewRequest
from jitid.search.pasted import search_pasted
from jitid.values.secret import Secret
from tests.builders import NOW, World, edit, request
from tests.issuers.test_sshcert import draft, new_ids, signer
from tests.real import need


def issue(world: World, **fields: Any) -> list[IssuedCredential]:
    (issued,) = world.authority.perform(Issue(requests=(request(kind="ssh-cert", **fields),)))
    return list(issued.credentials)


def one(world: World, **fields: Any) -> IssuedCredential:
    (made,) = issue(world, **fields)
    return made


def line(made: IssuedCredential) -> str:
    return made.secret.reveal("certificate")


def recognise(world: World, text: str) -> Credential:
    return world.authority.perform(Inspect(token=Secret.single(text))).credential


def krl(world: World) -> SshRevocations:
    return world.authority.perform(PublishSshRevocations())


def refused(world: World, folder: Path, *made: IssuedCredential) -> list[bool]:
    """Return, for each certificate, whether ssh-keygen finds it in the revocation list for hosts."""
    (folder / "krl").write_bytes(krl(world).krl)
    for each in made:
        (folder / f"{each.jti}.pub").write_text(line(each))
    names = [f"{each.jti}.pub" for each in made]
    shown = subprocess.run(
        [need("ssh-keygen"), "-Q", "-f", "krl", *names], cwd=folder, capture_output=True, text=True
    ).stdout.splitlines()
    assert len(shown) == len(made)
    return [each.endswith("REVOKED") for each in shown]


def authorities(world: World) -> list[str]:
    return [each.line for each in world.authority.perform(PublishSshAuthorities())]


def test_the_first_certificate_makes_a_key_that_signs_nothing_else(world: World) -> None:
    world.issue()
    assert authorities(world) == []
    made = one(world)
    (key,) = [row.key for row in world.authority.perform(ListKeys()) if row.key.use == "ssh"]
    parsed = openssh.parse_certificate(line(made))
    assert parsed.authority == openssh.public_blob(key.public)
    assert authorities(world) == [
        openssh.line("ssh-ed25519", parsed.authority, f"{world.ledger.names.issuer} {key.kid}")
    ]
    assert key.kid not in [each["kid"] for each in world.authority.perform(PublishKeys())["keys"]]
    assert recognise(world, line(made)).jti == made.jti
    world.check()


def test_the_ledger_keeps_of_it_what_it_keeps_of_a_token(world: World) -> None:
    made = one(world, ttl=600)
    found = recognise(world, line(made))
    assert (found.kind, found.expires_at) == ("ssh-cert", NOW + 600)
    assert found.claims_hash is not None
    assert openssh.parse_certificate(line(made)).valid_before == found.expires_at


def test_copies_are_many_certificates(world: World) -> None:
    made = issue(world, copies=20)
    assert len({recognise(world, line(each)).id for each in made}) == 20


def test_a_rotated_key_is_trusted_as_long_as_something_that_it_signed_lives(world: World) -> None:
    made = one(world, ttl=60)
    (old,) = authorities(world)
    world.authority.perform(RotateKey(algorithm="EdDSA", use="ssh"))
    assert authorities(world)[0] == old
    assert len(authorities(world)) == 2
    assert recognise(world, line(made)).jti == made.jti
    world.clock.now += 60
    (new,) = authorities(world)
    assert new != old


@pytest.mark.usefixtures("kept_in")
@pytest.mark.parametrize("end", ["revoke", "retire"])
def test_what_ended_before_its_time_is_on_the_list_until_every_clock_says_so(
    world: World, tmp_path: Path, end: str
) -> None:
    made, sibling = one(world, task="T1", ttl=600), one(world, task="T2", ttl=600)
    assert refused(world, tmp_path, made, sibling) == [False, False]
    if end == "revoke":
        world.revoke(made.jti)
    else:
        world.retire("T1")
    assert refused(world, tmp_path, made, sibling) == [True, False]
    assert krl(world).certificates == 1
    world.clock.now = NOW + 600 + SLACK - 1
    assert refused(world, tmp_path, made, sibling) == [True, False]
    world.clock.now += 1
    assert krl(world).certificates == 0
    world.check()


def test_what_descends_from_a_revoked_identity_is_on_the_list(world: World, tmp_path: Path) -> None:
    root = world.issue(may_kind=("jwt", "ssh-cert"))
    made = one(world, parent=root.token, agent="sub")
    world.revoke(root.id)
    assert refused(world, tmp_path, made) == [True]


@pytest.mark.parametrize("kind", ["ssh-cert", "x509-svid"])
def test_what_rests_on_a_line_that_expired_early_is_on_the_list(world: World, kind: str) -> None:
    """It does not matter whether another transaction has written since."""
    root = world.issue(may_kind=("jwt", kind))
    world.issue(parent=root.token, agent="sub", kind=kind)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(root.token), 60)))

    def listed() -> int:
        if kind == "ssh-cert":
            return krl(world).certificates
        return sum(found.revoked for found in world.authority.perform(PublishRevocations()))

    world.clock.now += 59
    assert listed() == 0
    world.clock.now += 1
    assert listed() == 1
    world.check()


def test_a_revoked_key_is_on_the_list_for_ever_and_no_longer_trusted(world: World, tmp_path: Path) -> None:
    made = one(world, ttl=60)
    (old,) = authorities(world)
    kid = old.split()[-1]
    world.authority.perform(RevokeKey(kid=kid, most=None))
    assert old not in authorities(world)
    assert (krl(world).certificates, krl(world).keys) == (1, 1)
    world.clock.now += 60 + SLACK
    assert krl(world).certificates == 0
    assert refused(world, tmp_path, made) == [True]
    world.check()


def test_an_empty_list_is_one(world: World, tmp_path: Path) -> None:
    assert (krl(world).certificates, krl(world).keys) == (0, 0)
    assert refused(world, tmp_path, one(world)) == [False]


def tampered(world: World) -> dict[str, str]:
    """Return texts that are almost the certificate of a ledger."""
    text = line(one(world))
    kind, blob, comment = text.split()
    turned = blob[:-8] + ("AAAAAAAA" if blob[-8:] != "AAAAAAAA" else "BBBBBBBB")
    (foreign,) = SshCertIssuer(signer()).mint([Order(draft(), [new_ids()])])
    return {
        "signature": f"{kind} {turned} {comment}",
        "cut": f"{kind} {blob[:-16]} {comment}",
        "foreign": foreign.secret.reveal("certificate"),
        "type": text.replace("ssh-ed25519", "ssh-rsa", 1),
        "twice": f"{text}\n{text}",
        "nothing": kind,
        "long": text + "x" * 20_000,
    }


@pytest.mark.parametrize("name", ["signature", "cut", "foreign", "type", "twice", "nothing", "long"])
def test_no_other_text_is_recognised(world: World, name: str) -> None:
    text = tampered(world)[name]
    with pytest.raises(InvalidCredentialError) as refusal:
        recognise(world, text)
    assert text not in str(refusal.value)


def test_another_certificate_under_a_known_id_is_not_the_one_remembered(world: World) -> None:
    """A thief of the key can sign any certificate, but the ledger does not accept it as the issued one."""
    made = one(world)
    (key,) = [row.key for row in world.authority.perform(ListKeys()) if row.key.use == "ssh"]
    stolen = world.authority._keyring.load(key.kid, key.algorithm, key.public)
    (other,) = SshCertIssuer(stolen).mint([Order(draft(), [Ids(made.id, made.jti)])])
    with pytest.raises(InvalidCredentialError, match="differs from the recorded one with its id"):
        recognise(world, other.secret.reveal("certificate"))


@pytest.mark.parametrize(
    "change", ["expires_at = expires_at + 1", "issued_at = issued_at - 1", "kind = 'opaque'"]
)
def test_a_row_that_says_something_else_is_noticed(world: World, change: str) -> None:
    made = one(world)
    edit(world.path, f"UPDATE credential SET {change}")
    with pytest.raises(InvalidCredentialError, match="the ledger was changed"):
        recognise(world, line(made))


def test_a_certificate_is_no_token(world: World) -> None:
    """A certificate is public: its holder may not delegate, renew or hand back with it."""
    text = line(one(world))
    with pytest.raises(InvalidCredentialError, match="a certificate is public"):
        world.issue(parent=text)
    with pytest.raises(InvalidCredentialError, match="a certificate is public"):
        world.authority.perform(Renew(request=RenewRequest(Secret.single(text))))


def test_a_callers_key_is_certified_and_none_is_made(world: World) -> None:
    public = openssh.line("ssh-ed25519", openssh.public_blob(signer(b"\7" * 32).public), "mine")
    made = one(world, public_key=public)
    assert isinstance(made.secret, Secret)
    assert made.secret.names == ("certificate",)
    assert openssh.parse_certificate(line(made)).key.blob == openssh.parse_public(public).blob


def test_what_it_tells_of_itself_is_verified_as_a_token_is(world: World) -> None:
    made = one(world, ttl=60)
    assert world.verify(line(made)).jti == made.jti
    with pytest.raises(InvalidCredentialError, match="another audience"):
        world.verify(line(made), "https://elsewhere.example")
    world.clock.now += 60
    with pytest.raises(InvalidCredentialError, match="expired"):
        world.verify(line(made))
    ended = one(world)
    world.revoke(ended.id)
    with pytest.raises(InvalidCredentialError, match="was revoked"):
        world.verify(line(ended))


def test_a_comment_does_not_make_another_certificate(world: World) -> None:
    made = one(world)
    assert world.verify(line(made).rpartition(" ")[0] + " somebody's").jti == made.jti


def test_a_row_that_does_not_say_who_signed_it_is_on_the_list_all_the_same(
    world: World, tmp_path: Path
) -> None:
    made = one(world)
    world.revoke(made.id)
    edit(world.path, "UPDATE credential SET signed_by = NULL")
    assert refused(world, tmp_path, made) == [True]


def test_a_certificate_that_was_found_somewhere_is_proved_to_be_whose_it_is(world: World) -> None:
    made = one(world)
    text = f"debug1: Offering public key: {line(made).rpartition(' ')[0]} agent\n"
    traced = world.authority.perform(Trace(finds=search_pasted(text.encode())))
    ((found, evidence),) = [(each.credential, each.evidence) for each in traced.matches]
    assert (found.jti, evidence.proof) == (made.jti, "fingerprint")
    assert not traced.strays


def test_a_private_key_that_was_found_somewhere_names_its_credential(world: World) -> None:
    made = one(world)
    traced = world.authority.perform(Trace(finds=search_pasted(made.secret.reveal("key").encode())))
    assert [each.credential.jti for each in traced.matches] == [made.jti]
