"""A key has one algorithm: no door accepts a token whose header names another one, signed by any key."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)

from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.issue.operations import Attach, Renew
from jitid.capabilities.issue.token_operations import Introspect
from jitid.capabilities.trust import offline
from jitid.capabilities.trust.operations import ListKeys, PublishKeys
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError, UnauthenticatedError
from jitid.model.ledger_rows import SigningKey
from jitid.model.request import AttachRequest, RenewRequest
from jitid.values.secret import Secret
from tests.builders import NAMES, NOW, World
from tests.crypto.signed import Private, encode, jwk, raw_public, signature

ALGORITHMS = ("EdDSA", "ES256", "RS256")
API = "https://api.example"
MANY = (*ALGORITHMS, "PS256", "HS256", "none")


class Signed(NamedTuple):
    """A token of the ledger, and the key that signed it as a thief would have it."""

    token: str
    key: SigningKey
    private: Private


@pytest.fixture
def tokens(world: World) -> Iterator[dict[str, Signed]]:
    """Return an identity token of each algorithm."""
    found = {}
    for algorithm in ALGORITHMS:
        world.terms = world.terms._replace(algorithms={NAMES.issuer: algorithm})
        world.reopen()
        token = world.issue(kind="jwt", may_audience=(API,)).token
        (key,) = [row.key for row in world.authority.perform(ListKeys()) if row.key.algorithm == algorithm]
        assert world.verify(token).kind == "jwt"
        found[algorithm] = Signed(token, key, stolen(world.path / "keys" / key.kid, algorithm))
    yield found


def stolen(path: Path, algorithm: str) -> Private:
    """Return the private key in a file."""
    raw = path.read_bytes()
    if algorithm == "EdDSA":
        return Ed25519PrivateKey.from_private_bytes(raw)
    if algorithm == "ES256":
        return ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())
    private = load_der_private_key(raw, None)
    assert isinstance(private, RSAPrivateKey)
    return private


def doors(world: World) -> dict[str, Callable[[str], object]]:
    """Return everything that accepts a token, by name."""
    keys = offline.read_keys(json.dumps(world.authority.perform(PublishKeys())).encode())
    one = Secret.single

    def without_ledger(token: str) -> object:
        return offline.verify(token, keys, NAMES.issuer, [NAMES.issuer], [], NOW)

    return {
        "verify": lambda token: world.verify(token),
        "introspect": lambda token: world.authority.perform(Introspect(token=one(token))),
        "parent": lambda token: world.issue(parent=token, agent="child"),
        "renew": lambda token: world.authority.perform(Renew(request=RenewRequest(one(token)))),
        "attach": lambda token: world.authority.perform(
            Attach(request=AttachRequest(one(token), "jwt", audiences=(API,)))
        ),
        "access": lambda token: world.authority.perform(Authenticate(bearer=one(token))),
        "offline": without_ledger,
    }


def public_forms(key: Private) -> Iterator[bytes]:
    """Yield each form in which a public key could serve as a MAC secret."""
    public = key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert load_pem_public_key(pem) == public
    raw = raw_public(key)
    yield from (pem, pem.rstrip(b"\n"), public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    yield from (raw, encode(raw).encode(), json.dumps(jwk(key)).encode())
    if isinstance(key, RSAPrivateKey):
        yield public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)


def forged(signed: Signed, others: dict[str, Signed]) -> Iterator[tuple[str, str]]:
    """Yield the forgeries that an attacker can make, even with the private keys: a name and the token."""
    head, payload, good = signed.token.split(".")
    header: dict[str, Any] = json.loads(jws.decode_part(head, "header"))

    def made(sign: Callable[[bytes], bytes], **changed: str) -> str:
        text = f"{encode(json.dumps({**header, **changed}, separators=(',', ':')).encode())}.{payload}"
        return f"{text}.{encode(sign(text.encode()))}"

    def by(key: Private, alg: str) -> Callable[[bytes], bytes]:
        return lambda text: signature(text, key, alg)

    def mac(secret: bytes, size: int) -> Callable[[bytes], bytes]:
        return lambda text: (hmac.digest(secret, text, hashlib.sha256) * 8)[:size]

    for alg in MANY:
        if alg != header["alg"]:
            yield f"the key's signature under {alg}", made(by(signed.private, alg), alg=alg)
            yield f"the old signature under {alg}", made(lambda _: jws.decode_part(good, "x"), alg=alg)
    for number, secret in enumerate(public_forms(signed.private)):
        yield f"MAC {number}", made(mac(secret, 32), alg="HS256")
        # The size of a signature does not protect.
        size = jws.SIGNATURE_SIZES[header["alg"]]
        yield f"MAC {number} under the key's algorithm", made(mac(secret, size))
    for other in others.values():
        if other.key.kid == header["kid"]:
            continue
        alg = other.key.algorithm
        yield f"{alg} of another key under this id", made(by(other.private, alg), alg=alg)
        yield f"this algorithm by a key of {alg}", made(by(other.private, alg))
        yield (
            f"this algorithm under the id of a key of {alg}",
            made(by(signed.private, header["alg"]), kid=other.key.kid),
        )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_door_takes_another_algorithm_than_the_keys(
    world: World, tokens: dict[str, Signed], algorithm: str
) -> None:
    attacks = list(forged(tokens[algorithm], tokens))
    assert len(attacks) >= 28
    for door, enter in doors(world).items():
        for name, token in attacks:
            try:
                enter(token)
            except (InvalidCredentialError, UnauthenticatedError) as error:
                assert token not in f"{error.message} {error.hint}"
            else:
                pytest.fail(f"{door}: {name}")
    world.check()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_door_takes_the_token_itself(world: World, tokens: dict[str, Signed], algorithm: str) -> None:
    """Otherwise the refusals above would prove nothing; offline, the token lacks only a status list."""
    for door, enter in doors(world).items():
        if door == "offline":
            with pytest.raises(InvalidCredentialError, match="status list"):
                enter(tokens[algorithm].token)
        elif door == "access":
            # An agent gets in with its identity token.
            assert enter(tokens[algorithm].token) is not None
        elif door != "renew":
            enter(tokens[algorithm].token)
    doors(world)["renew"](tokens[algorithm].token)


def test_a_key_id_has_one_algorithm_forever(world: World, tokens: dict[str, Signed]) -> None:
    """An edit of a key's algorithm in the ledger is found, and no token verifies by it."""
    from tests.builders import edit

    edit(world.path, "UPDATE signing_key SET algorithm = 'ES256' WHERE algorithm = 'RS256'")
    with World(world.path) as fresh:
        with pytest.raises((IntegrityError, InvalidCredentialError)):
            fresh.verify(tokens["RS256"].token)
        with pytest.raises(IntegrityError):
            fresh.check()


@pytest.mark.parametrize(
    "changed",
    [
        {"e": "Aw"},
        {"e": "AQAD"},
        {"n": encode(b"\x80" + bytes(126) + b"\x01")},
        {"n": encode(b"\x80" + bytes(382) + b"\x01")},
        {"n": encode(b"\x80" + bytes(1_022) + b"\x01")},
        {"n": encode(b"\x80" + bytes(254) + b"\x02")},
        {"alg": "PS256"},
        {"alg": "RS512"},
        {"use": "enc"},
        {"kty": "oct"},
        {"n": ""},
        {"n": 1},
    ],
    ids=str,
)
def test_another_rsa_key_in_a_published_set_verifies_nothing(
    world: World, tokens: dict[str, Signed], changed: dict[str, Any]
) -> None:
    """The size, the exponent and the use of a key are those of jitid's keys, also without the ledger."""
    keys = world.authority.perform(PublishKeys(algorithm="RS256"))["keys"]
    assert [*offline.read_keys(json.dumps({"keys": keys}).encode())] == [tokens["RS256"].key.kid]
    assert offline.read_keys(json.dumps({"keys": [{**keys[0], **changed}]}).encode()) == {}
