import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError
from jitid.values import strict_json
from tests.crypto.signed import ED25519, HEADER, P256, RSA, RSA_OTHER, Private, encode, jwk, raw_public, token
from tests.crypto.vectors import ed25519_cases, jws_cases, load, ranges

# These are labelled invalid because of other parts of the token. Their signatures are valid.
GOOD_SIGNATURES = ranges("332 353-356")


def parsed(alg: str, message: bytes, signature: bytes) -> jws.Parsed:
    """Return a parsed token around a signed message, to verify signatures without the parser."""
    return jws.Parsed(alg, "at+jwt", "k", b"", {}, message, signature, "")


def verifies(token: jws.Parsed, alg: str, public: bytes) -> bool:
    """Return whether the signature is accepted."""
    try:
        jws.verify_signature(token, alg, public)
    except InvalidCredentialError:
        return False
    return True


def point(key: dict[str, Any]) -> bytes:
    """Return the uncompressed point of an EC key."""
    return b"\x04" + strict_json.b64url_decode(key["x"]) + strict_json.b64url_decode(key["y"])


def test_ed25519_vectors_are_judged_as_labelled() -> None:
    """Of the 151 vectors, forged, malleable and truncated signatures are refused; the 88 valid ones are accepted."""
    labels = {number: label == "valid" for number, label, *_ in ed25519_cases()}
    assert sum(labels.values()) == 88
    seen = {
        number: verifies(parsed("EdDSA", message, signature), "EdDSA", public)
        for number, _, public, message, signature in ed25519_cases()
    }
    assert seen == labels


def test_p256_vectors_are_judged_as_labelled() -> None:
    """Each token with a P-256 key and three decodable parts."""
    seen = {}
    for number, label, text, key in jws_cases():
        parts = text.split(".")
        if key.get("crv") != "P-256" or len(parts) != 3 or not all(parts):
            continue
        header, payload, signature = parts
        alg = json.loads(strict_json.b64url_decode(header))["alg"]
        message = f"{header}.{payload}".encode()
        accepted = verifies(parsed(alg, message, strict_json.b64url_decode(signature)), "ES256", point(key))
        seen[number] = (accepted, label == "valid" or number in GOOD_SIGNATURES)
    assert {number for number, (accepted, _) in seen.items() if accepted} == ranges("18 354 356 378")
    assert all(accepted == good for accepted, good in seen.values())
    assert len(seen) == 32


@pytest.mark.parametrize("example", ["8037 A.4", "7515 A.3", "7515 A.2"])
def test_the_signatures_of_the_standards_verify(example: str) -> None:
    """RFC 8037, appendix A.4 (Ed25519), and RFC 7515, appendices A.3 (P-256) and A.2 (RSA)."""
    (case,) = [case for case in load("rfc/rfc_vectors.json")["jws"] if case["rfc"] == example]
    message, _, signature = case["jws"].rpartition(".")
    jwk = case["jwk"]
    public = point(jwk) if case["alg"] == "ES256" else strict_json.b64url_decode(jwk.get("x") or jwk["n"])
    good = parsed(case["alg"], message.encode(), strict_json.b64url_decode(signature))
    assert verifies(good, case["alg"], public)
    assert not verifies(good._replace(signing_input=message.encode() + b"A"), case["alg"], public)


KEYS = [(ED25519, "EdDSA"), (P256, "ES256"), (RSA, "RS256")]


@pytest.mark.parametrize(("private", "alg"), KEYS)
def test_our_tokens_verify_by_their_key_and_no_other(private: Private, alg: str) -> None:
    """Verify twice with the same key: the second time, the prepared key comes from the cache."""
    text = token({**HEADER, "alg": alg}, private=private)
    for _ in range(2):
        jws.verify_signature(jws.parse(text), alg, raw_public(private))
    others: dict[str, Private] = {
        "EdDSA": Ed25519PrivateKey.generate(),
        "ES256": generate_private_key(SECP256R1()),
        "RS256": RSA_OTHER,
    }
    assert not verifies(jws.parse(text), alg, raw_public(others[alg]))


@given(st.integers(0, 2047), st.sampled_from(KEYS))
def test_no_bit_of_a_signature_is_idle(bit: int, key: tuple[Private, str]) -> None:
    """A signature with one changed bit is refused."""
    private, alg = key
    good = jws.parse(token({**HEADER, "alg": alg}, private=private))
    size = len(good.signature)
    changed = (int.from_bytes(good.signature) ^ 1 << bit % (8 * size)).to_bytes(size)
    assert not verifies(good._replace(signature=changed), alg, raw_public(private))


@pytest.mark.parametrize(("private", "alg"), KEYS)
@pytest.mark.parametrize("length", [0, 1, 63, 65, 70, 128, 255, 257, 512])
def test_a_signature_of_another_length_is_refused(length: int, private: Private, alg: str) -> None:
    """DER is refused as well (RFC 7518, section 3.4), and so is a leading zero (section 3.3)."""
    good = jws.parse(token({**HEADER, "alg": alg}, private=private))
    signature = (good.signature * 8)[:length]
    assert not verifies(good._replace(signature=signature), alg, raw_public(private))
    assert not verifies(good._replace(signature=b"\x00" + good.signature), alg, raw_public(private))
    assert not verifies(good._replace(signature=good.signature[1:]), alg, raw_public(private))


def test_rsa_vectors_are_judged_as_labelled() -> None:
    """Each token with an RSA key of 2048 bits, with any algorithm: only RS256 is accepted."""
    seen = {}
    for number, label, text, key in jws_cases():
        parts = text.split(".")
        if key.get("kty") != "RSA" or len(parts) != 3 or not all(parts):
            continue
        modulus = strict_json.b64url_decode(key["n"])
        header, payload, signature = parts
        alg = json.loads(strict_json.b64url_decode(header))["alg"]
        message = f"{header}.{payload}".encode()
        try:
            accepted = verifies(parsed(alg, message, strict_json.b64url_decode(signature)), "RS256", modulus)
        except IntegrityError:
            assert len(modulus) != 256
            continue
        seen[number] = accepted, alg, label
    good = {number for number, (accepted, _, _) in seen.items() if accepted}
    assert len(seen) > 250
    assert good == {
        number
        for number, (_, alg, label) in seen.items()
        if alg == "RS256" and (label == "valid" or number in GOOD_SIGNATURES)
    }
    assert len(good) >= 5


def test_a_modulus_is_no_mac_secret() -> None:
    """Neither the bytes of an RSA key nor its text forms verify a token of HS256 at any door."""
    message = token({**HEADER, "alg": "HS256"}).rpartition(".")[0]
    for secret in (raw_public(RSA), encode(raw_public(RSA)).encode(), json.dumps(jwk(RSA)).encode()):
        mac = hmac.digest(secret, message.encode(), hashlib.sha256)
        with pytest.raises(InvalidCredentialError, match="algorithm is not accepted"):
            jws.parse(f"{message}.{encode(mac)}")
        lax = jws.parse(f"{message}.{encode(mac)}", algorithms=frozenset({"HS256"}))
        assert not verifies(lax._replace(signature=mac * 8), "RS256", raw_public(RSA))


@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "PS256", "RS384", "RS512", "HS256", "none"])
def test_an_rsa_key_is_used_for_rs256_only(alg: str) -> None:
    """RFC 8725, section 3.1: also where the signature is a valid one of that other algorithm."""
    text = token({**HEADER, "alg": alg}, private=RSA)
    lax = jws.parse(text, algorithms=frozenset({alg}))
    with pytest.raises(InvalidCredentialError, match="algorithm does not match its key"):
        jws.verify_signature(lax, "RS256", raw_public(RSA))


def test_the_algorithm_is_the_keys_whatever_the_token_says() -> None:
    """RFC 8725, section 3.1: the key determines the algorithm; a token cannot choose how a key is used."""
    text = token({**HEADER, "alg": "ES256"}, private=P256)
    with pytest.raises(InvalidCredentialError, match="algorithm does not match its key"):
        jws.verify_signature(jws.parse(text), "EdDSA", raw_public(ED25519))


@pytest.mark.parametrize("secret", ["raw", "x", "jwk"])
def test_a_mac_keyed_with_the_public_key_is_refused(secret: str) -> None:
    """The known attack of key confusion, for each form in which a public key could serve as a MAC secret."""
    public = raw_public(ED25519)
    secrets = {"raw": public, "x": encode(public).encode(), "jwk": json.dumps(jwk(ED25519)).encode()}
    message = token({**HEADER, "alg": "HS256"}).rpartition(".")[0]
    mac = hmac.digest(secrets[secret], message.encode(), hashlib.sha256)
    with pytest.raises(InvalidCredentialError, match="algorithm is not accepted"):
        jws.parse(f"{message}.{encode(mac)}")
    # Even if the parser accepts the algorithm, the key does not.
    lax = jws.parse(f"{message}.{encode(mac)}", algorithms=frozenset({"HS256"}))
    assert not verifies(lax, "EdDSA", public)
    with pytest.raises(IntegrityError):
        jws.verify_signature(lax._replace(signature=mac * 2), "HS256", public)


@pytest.mark.parametrize(
    ("alg", "public"),
    [
        ("EdDSA", b""),
        ("EdDSA", bytes(31)),
        ("EdDSA", bytes(33)),
        ("ES256", bytes(65)),
        ("ES256", b"\x04" + bytes(64)),
        ("ES256", b"\x02" + raw_public(P256)[1:33]),
        ("ES256", raw_public(P256) + b"\x00"),
        ("none", b""),
        ("RS256", bytes(32)),
        ("RS256", bytes(256)),
        ("RS256", b"\x7f" + bytes(254) + b"\x01"),
        ("RS256", raw_public(RSA)[:-1] + b"\x02"),
        ("RS256", raw_public(RSA) + b"\x01"),
        ("RS256", b"\x00" + raw_public(RSA)),
    ],
    ids=[
        "no bytes",
        "a byte short",
        "a byte too many",
        "of zeros",
        "of no point",
        "compressed",
        "P-256 and a byte too many",
        "of no algorithm",
        "of another algorithm",
        "a modulus of zeros",
        "a modulus of 2047 bits",
        "an even modulus",
        "a modulus and a byte too many",
        "a modulus with a leading zero",
    ],
)
def test_a_damaged_key_is_an_integrity_failure(alg: str, public: bytes) -> None:
    """The defect is in the key. The token is not accepted."""
    with pytest.raises(IntegrityError):
        jws.verify_signature(parsed(alg, b"", bytes(jws.SIGNATURE_SIZES.get(alg, 64))), alg, public)


def test_thumbprints_are_those_of_the_standard() -> None:
    """RFC 8037, appendix A.3; P-256 against the definition in RFC 7638, section 3."""
    (case,) = [one for one in load("rfc/rfc_vectors.json")["thumbprints"] if one["rfc"] == "8037 A.3"]
    assert jws.thumbprint("EdDSA", strict_json.b64url_decode(case["jwk"]["x"])) == case["sha256"]
    key = jwk(P256)
    text = f'{{"crv":"P-256","kty":"EC","x":"{key["x"]}","y":"{key["y"]}"}}'
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    assert jws.thumbprint("ES256", raw_public(P256)) == digest
    (case,) = [one for one in load("rfc/rfc_vectors.json")["thumbprints"] if one["rfc"].startswith("7638")]
    assert jws.thumbprint("RS256", strict_json.b64url_decode(case["jwk"]["n"])) == case["sha256"]


@pytest.mark.parametrize(("private", "alg"), KEYS)
def test_a_public_key_is_published_as_others_read_it(private: Private, alg: str) -> None:
    """RFC 7517, section 4."""
    assert jws.public_jwk(alg, raw_public(private), "k1") == jwk(private, alg=alg, use="sig", kid="k1")


def test_a_damaged_key_is_not_published() -> None:
    """A key set must not contain an unusable key."""
    for alg, public in (
        ("EdDSA", bytes(31)),
        ("ES256", bytes(65)),
        ("RS256", bytes(32)),
        ("PS256", bytes(256)),
    ):
        with pytest.raises(IntegrityError):
            jws.public_jwk(alg, public, "k1")
