"""SVIDs, checked by other software: openssl, mutual TLS of Python's `ssl`, and the `spiffe` library."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from jitid.capabilities.trust.operations import (
    ImportAuthority,
    ListKeys,
    PublishBundle,
    PublishRevocations,
    RequestAuthority,
    RevokeKey,
    RotateKey,
)
from jitid.capabilities.trust.x509_authority import Bundle
from jitid.crypto.der import to_pem
from jitid.errors import NotFoundError, UsageError
from jitid.values.names import spiffe_id
from jitid.values.secret import Secret
from tests.builders import Made, World
from tests.issuers.tlsplace import Peer, meet
from tests.real import module, need
from tests.values.segments import decode_segment


@pytest.fixture
def now(tmp_path: Path) -> Iterator[World]:
    """Return a ledger that uses the system's clock."""
    with World(tmp_path / "ledger", now=int(time.time())) as world:
        yield world


def svid(made: Made) -> Secret:
    """Return the certificate and its key."""
    return made.issued.credentials[0].secret


def bundle(world: World) -> Bundle:
    """Return the current trust bundle of verifiers."""
    return world.authority.perform(PublishBundle())


def roots(world: World) -> str:
    """Return the roots in PEM."""
    return "".join(map(to_pem, bundle(world).roots))


def lists(world: World) -> str:
    """Return the revocation lists of all authorities in PEM."""
    return "".join(to_pem(one.der, "X509 CRL") for one in world.authority.perform(PublishRevocations()))


def serial(made: Made) -> int:
    """Return the serial number of a certificate."""
    return x509.load_pem_x509_certificate(made.token.encode()).serial_number


def openssl(*words: str, cwd: Path) -> str:
    """Run openssl, and return all of its output."""
    done = subprocess.run(
        [need("openssl"), *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def judged(world: World, made: Made, folder: Path, *more: str) -> str:
    """Return openssl's verdict on a certificate, checked against the revocation lists."""
    (folder / "roots.pem").write_text(roots(world))
    (folder / "lists.pem").write_text(lists(world))
    (folder / "leaf.pem").write_text(made.token)
    words = ("verify", "-x509_strict", "-crl_check", "-CAfile", "roots.pem", "-CRLfile", "lists.pem", *more)
    return openssl(*words, "leaf.pem", cwd=folder)


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_accepts_one_that_lives_and_refuses_what_was_revoked(
    now: World, tmp_path: Path, purpose: str
) -> None:
    kept, ended = now.issue(kind="x509-svid"), now.issue(kind="x509-svid")
    assert "leaf.pem: OK" in judged(now, kept, tmp_path, "-purpose", purpose)
    assert "leaf.pem: OK" in judged(now, ended, tmp_path, "-purpose", purpose)
    now.revoke(ended.id)
    assert "leaf.pem: OK" in judged(now, kept, tmp_path, "-purpose", purpose)
    assert "certificate revoked" in judged(now, ended, tmp_path, "-purpose", purpose)


@pytest.mark.parametrize(
    "algorithm",
    [
        None,
        ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        ["ED25519"],
        ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ],
    ids=["ours", "P-256", "P-384", "P-521", "Ed25519", "RSA"],
)
@pytest.mark.parametrize("as_request", [False, True], ids=["key", "request"])
def test_a_leaf_names_its_key_as_openssl_would(
    now: World, tmp_path: Path, algorithm: list[str] | None, as_request: bool
) -> None:
    """RFC 5280, section 4.2.1.2, method 1 defines the identifier; openssl computes it for its own certificate."""
    public_key = None
    if algorithm is not None:
        openssl("genpkey", "-algorithm", *algorithm, "-out", "key.pem", cwd=tmp_path)
        words = ["req", "-new", "-subj", "/CN=x"] if as_request else ["pkey", "-pubout"]
        openssl(*words, *("-key" if as_request else "-in", "key.pem", "-out", "asked.pem"), cwd=tmp_path)
        public_key = (tmp_path / "asked.pem").read_text()
    made = now.issue(kind="x509-svid", public_key=public_key)
    if algorithm is None:
        (tmp_path / "key.pem").write_text(svid(made).reveal("key"))
    openssl("req", "-x509", "-key", "key.pem", "-subj", "/CN=x", "-out", "own.pem", cwd=tmp_path)
    assert "leaf.pem: OK" in judged(now, made, tmp_path)
    named, expected = (
        openssl("x509", "-in", file, "-noout", "-ext", "subjectKeyIdentifier", cwd=tmp_path)
        for file in ("leaf.pem", "own.pem")
    )
    assert named == expected
    assert "X509v3 Subject Key Identifier: \n" in named


def test_openssl_refuses_one_at_its_expiry_and_no_sooner(now: World, tmp_path: Path) -> None:
    made = now.issue(kind="x509-svid", ttl=300)
    start = now.clock.now
    for at, word in (
        (start - 60, "OK"),
        (start + 298, "OK"),
        (start + 300, "expired"),
        (start - 61, "not yet"),
    ):
        (tmp_path / "leaf.pem").write_text(made.token)
        (tmp_path / "roots.pem").write_text(roots(now))
        said = openssl("verify", "-CAfile", "roots.pem", "-attime", str(at), "leaf.pem", cwd=tmp_path)
        assert word in said, at


def test_what_retired_or_was_superseded_is_on_the_list_and_what_expired_is_not(now: World) -> None:
    retired, renewed, expired = (now.issue(kind="x509-svid", task=f"T{n}") for n in range(3))
    short = now.issue(kind="x509-svid", task="T3", ttl=60)
    now.retire("T0")
    now.revoke(short.id)
    (found,) = now.authority.perform(PublishRevocations(lifetime=3600))
    listed = x509.load_der_x509_crl(found.der)
    numbers = {one.serial_number for one in listed}
    assert numbers == {serial(retired), serial(short)}
    reason = listed.get_revoked_certificate_by_serial_number(serial(retired))
    assert reason is not None
    assert (
        reason.extensions.get_extension_for_class(x509.CRLReason).value.reason.value == "cessationOfOperation"
    )
    assert found.next_update == found.this_update + 3600
    now.clock.now += 60
    (later,) = now.authority.perform(PublishRevocations())
    assert later.number > found.number
    assert {one.serial_number for one in x509.load_der_x509_crl(later.der)} == {serial(retired)}
    assert renewed, expired


def test_each_authority_tells_what_it_revoked_and_one_that_was_revoked_is_trusted_no_more(
    now: World, tmp_path: Path
) -> None:
    old, beside = now.issue(kind="x509-svid"), now.issue(kind="x509-svid")
    now.authority.perform(RotateKey(algorithm="ES256", use="x509"))
    new = now.issue(kind="x509-svid")
    assert len(bundle(now).roots) == 2
    for made in (old, new):
        assert "leaf.pem: OK" in judged(now, made, tmp_path)
    now.revoke(old.id)
    assert "certificate revoked" in judged(now, old, tmp_path)
    for made in (beside, new):
        assert "leaf.pem: OK" in judged(now, made, tmp_path)
    kid = [row.key.kid for row in now.authority.perform(ListKeys()) if row.key.use == "x509"][-1]
    now.authority.perform(RevokeKey(kid=kid, most=None))
    assert "unable to get local issuer" in judged(now, new, tmp_path)


def test_the_sequence_of_the_bundle_grows_with_each_change(now: World) -> None:
    seen = [bundle(now).document["spiffe_sequence"]]

    def must_grow() -> None:
        seen.append(bundle(now).document["spiffe_sequence"])
        assert seen[-1] > seen[-2]

    now.issue(kind="x509-svid")
    must_grow()
    now.issue(kind="jwt-svid")
    must_grow()
    now.authority.perform(RotateKey(algorithm="ES256", use="x509"))
    must_grow()
    now.clock.now += 900
    must_grow()
    now.authority.perform(RequestAuthority())
    now.authority.perform(RotateKey(algorithm="ES256"))
    must_grow()


def test_two_agents_meet_and_each_is_told_who_the_other_is(now: World, tmp_path: Path) -> None:
    server, client = now.issue(kind="x509-svid", agent="db"), now.issue(kind="x509-svid", agent="reader")
    trusted, revoked = roots(now), lists(now)
    seen = meet(Peer(svid(server), trusted, revoked), Peer(svid(client), trusted, revoked), tmp_path)
    domain = now.ledger.names.trust_domain
    assert seen == (
        spiffe_id(domain, "reader", "T1", client.id, registered=False),
        spiffe_id(domain, "db", "T1", server.id, registered=False),
    )


@pytest.mark.parametrize("who", ["server", "client"])
def test_who_was_revoked_is_refused_by_the_other_side(now: World, tmp_path: Path, who: str) -> None:
    both = {"server": now.issue(kind="x509-svid"), "client": now.issue(kind="x509-svid")}
    now.revoke(both[who].id)
    peers = [Peer(svid(made), roots(now), lists(now)) for made in both.values()]
    with pytest.raises(ssl.SSLError, match="revoked"):
        meet(peers[0], peers[1], tmp_path)
    # A peer that checks no revocation list accepts the certificate until it expires.
    unchecked = [peer._replace(lists="") for peer in peers]
    meet(unchecked[0], unchecked[1], tmp_path)


@pytest.mark.parametrize("who", ["server", "client"])
def test_who_has_expired_is_refused_by_the_other_side(now: World, tmp_path: Path, who: str) -> None:
    lives = now.issue(kind="x509-svid")
    with World(tmp_path / "old", now=now.clock.now - 3000) as old:
        expired = old.issue(kind="x509-svid")
        trusted = roots(now) + roots(old)
    both = {"server": lives, "client": lives, who: expired}
    peers = [Peer(svid(made), trusted) for made in both.values()]
    with pytest.raises(ssl.SSLError, match="expired"):
        meet(peers[0], peers[1], tmp_path)


def test_who_trusts_another_ledger_takes_nobody_of_this_one(now: World, tmp_path: Path) -> None:
    made = now.issue(kind="x509-svid")
    with World(tmp_path / "other", now=now.clock.now) as other:
        stranger = other.issue(kind="x509-svid")
        with pytest.raises(ssl.SSLError, match="unable to get local issuer"):
            meet(Peer(svid(stranger), roots(other)), Peer(svid(made), roots(other)), tmp_path)


def test_an_authority_under_a_root_of_openssl(now: World, tmp_path: Path) -> None:
    before = now.issue(kind="x509-svid")
    asked = now.authority.perform(RequestAuthority())
    assert now.authority.perform(RequestAuthority()).request[:40] == asked.request[:40]
    (tmp_path / "authority.csr").write_text(asked.request)
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem",
        "-days", "2", "-subj", "/CN=offline root", "-addext", "keyUsage=critical,keyCertSign,cRLSign", cwd=tmp_path,
    )  # fmt: skip
    openssl(
        "x509", "-req", "-in", "authority.csr", "-copy_extensions", "copy", "-CA", "root.pem", "-CAkey",
        "root.key", "-days", "1", "-out", "authority.pem", cwd=tmp_path,
    )  # fmt: skip
    own, root = (tmp_path / "authority.pem").read_text(), (tmp_path / "root.pem").read_text()
    for wrong in (own, root, root + own, "", own + root + own, before.token + root):
        with pytest.raises((UsageError, NotFoundError)):
            now.authority.perform(ImportAuthority(chain=wrong))
    done = now.authority.perform(ImportAuthority(chain=own + root))
    assert done.kid == asked.kid
    made = now.issue(kind="x509-svid")
    assert now.verify(made.token).signed_by == asked.kid
    assert now.verify(before.token).signed_by == done.retired[0]
    # Verifiers trust the root; the holder sends the intermediate certificates with the leaf.
    peer = Peer(svid(made), root)
    meet(peer, peer, tmp_path)
    assert to_pem(bundle(now).roots[-1]) == root
    (tmp_path / "leaf.pem").write_text(made.token)
    (tmp_path / "lists.pem").write_text(lists(now))
    words = ("verify", "-x509_strict", "-crl_check", "-CRLfile", "lists.pem", "-CAfile", "root.pem")
    assert "leaf.pem: OK" in openssl(*words, "-untrusted", "leaf.pem", "leaf.pem", cwd=tmp_path)
    now.revoke(made.id)
    (tmp_path / "lists.pem").write_text(lists(now))
    assert "certificate revoked" in openssl(*words, "-untrusted", "leaf.pem", "leaf.pem", cwd=tmp_path)
    with pytest.raises(UsageError, match="under a root"):
        now.authority.perform(RotateKey(algorithm="ES256", use="x509"))
    now.check()


def test_the_spiffe_library_accepts_certificates_tokens_and_bundle(now: World) -> None:
    spiffe = module("spiffe")
    made = now.issue(kind="x509-svid", agent="team/planner@1", task="INC-4821")
    token = now.issue(kind="jwt-svid", audiences=("urn:cloud",))
    domain = spiffe.TrustDomain(now.ledger.names.trust_domain)
    secret = svid(made)
    parsed = spiffe.X509Svid.parse(secret.reveal("certificate").encode(), secret.reveal("key").encode())
    assert str(parsed.spiffe_id) == spiffe_id(
        domain.name, "team/planner@1", "INC-4821", made.id, registered=False
    )
    assert parsed.spiffe_id.trust_domain == domain
    bundles = module("spiffe.bundle.jwt_bundle.jwt_bundle").JwtBundle
    authorities = bundles.parse(domain, json.dumps(bundle(now).for_tokens).encode())
    with pytest.raises(module("spiffe.bundle.jwt_bundle.errors").ParseJWTBundleError):
        # The roots in the joint bundle have no `kid`.
        bundles.parse(domain, json.dumps(bundle(now).document).encode())
    validated = spiffe.JwtSvid.parse_and_validate(token.token, authorities, {"urn:cloud"})
    assert str(validated.spiffe_id) == spiffe_id(domain.name, "planner", "T1", token.id, registered=False)
    held = module("spiffe.bundle.x509_bundle.x509_bundle").X509Bundle.parse(domain, roots(now).encode())
    (root,) = held.x509_authorities
    parsed.leaf.verify_directly_issued_by(root)
    with pytest.raises(Exception, match="udience"):
        spiffe.JwtSvid.parse_and_validate(token.token, authorities, {"urn:other"})
    access: Any = now.issue(audiences=("urn:cloud",))
    with pytest.raises(Exception, match=r"."):
        spiffe.JwtSvid.parse_and_validate(access.token, authorities, {"urn:cloud"})


def test_names_come_back_out_of_a_spiffe_id(now: World) -> None:
    made = now.issue(kind="x509-svid", agent="a.b_c:d/e+f@g-h".replace("_", "-"), task="T:1")
    names = (
        x509.load_pem_x509_certificate(made.token.encode())
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value.get_values_for_type(x509.UniformResourceIdentifier)
    )
    *_, agent, task, id_ = names[0].split("/")
    assert (decode_segment(agent), decode_segment(task), id_) == ("a.b-c:d/e+f@g-h", "T:1", made.id)
