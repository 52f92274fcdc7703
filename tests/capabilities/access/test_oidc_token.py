import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitid.capabilities.access import oidc
from jitid.capabilities.access.oidc import verify_token
from jitid.errors import ConfigurationError, InvalidCredentialError
from jitid.model.access import OidcIssuer, Proof
from tests.crypto.signed import ED25519, NOW, P256, Private, encode, jwk, token

ISSUER = "https://ci.example"
RSA = generate_private_key(65537, 2048)
RSA_PSS = generate_private_key(65537, 2048)
KEYS = [
    jwk(RSA, kid="rsa", use="sig", alg="RS256"),
    jwk(RSA_PSS, kid="pss", alg="PS256"),
    jwk(P256, kid="p256", key_ops=["verify"]),
    jwk(ED25519, kid="ed25519"),
    {"kty": "oct", "kid": "oct", "k": encode(b"a shared secret of 32 characters")},
    jwk(RSA, kid="enc", use="enc"),
]
HEADER = {"alg": "EdDSA", "typ": "JWT", "kid": "ed25519"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "jitid",
    "sub": "alice@example.com",
    "iat": NOW,
    "exp": NOW + 300,
    "azp": "app",
    "nonce": 1.5,
}

Verify = Callable[..., Proof]


@pytest.fixture
def key_set(tmp_path: Path) -> Path:
    """Write the issuer's keys to a file and return its path."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": KEYS}))
    path.chmod(0o644)
    return path


@pytest.fixture
def verify(key_set: Path) -> Verify:
    """Return a function that verifies a token against the issuer with some of its settings changed."""

    def call(text: str, /, now: int = NOW, **settings: Any) -> Proof:
        issuer = OidcIssuer(ISSUER, str(key_set), "jitid")._replace(**settings)
        kind = "user" if issuer.kind == "system" else "system"
        other = issuer._replace(issuer="https://other.example", kind=kind)
        return verify_token(text, [other, issuer], now, timeout=5)

    return call


def refusal(verify: Verify, text: str, **settings: Any) -> str:
    """Return the reason for refusing a token."""
    with pytest.raises(InvalidCredentialError) as caught:
        verify(text, **settings)
    return caught.value.message


@pytest.mark.parametrize(
    ("private", "alg", "kid"),
    [
        (RSA, "RS256", "rsa"),
        (RSA_PSS, "PS256", "pss"),
        (P256, "ES256", "p256"),
        (ED25519, "EdDSA", "ed25519"),
    ],
)
def test_a_token_of_each_algorithm_proves_its_subject(
    verify: Verify, private: Private, alg: str, kid: str
) -> None:
    """The proof names the delegator, the issuer and the expiry."""
    proof = verify(token({"alg": alg, "kid": kid, "x5t": "abc"}, CLAIMS, private))
    assert proof == Proof(
        "user:alice@example.com",
        ISSUER,
        "alice@example.com",
        NOW + 300,
        proof.mark,
        NOW,
        clients=("app",),
    )


@pytest.mark.parametrize(
    ("settings", "changed", "delegator"),
    [
        (
            {"kind": "system"},
            {"sub": "repo:org/app:ref:refs/heads/main"},
            "system:repo:org/app:ref:refs/heads/main",
        ),
        ({"claim": "email"}, {"email": "a@b.example", "email_verified": True}, "user:a@b.example"),
        ({"claim": "login"}, {"login": "alice"}, "user:alice"),
        ({}, {"aud": ["jitid"]}, "user:alice@example.com"),
    ],
)
def test_the_configured_claim_names_the_delegator(
    verify: Verify, settings: dict[str, Any], changed: dict[str, Any], delegator: str
) -> None:
    """The kind comes from the configuration: no claim can declare its subject a system or an agent."""
    assert verify(token(HEADER, {**CLAIMS, **changed}), **settings).delegator == delegator


EXTENSION = "the ID token's header has an extension (`crit` or `b64`), which is not supported"
ALGORITHM = "the ID token's algorithm is not that of its key"
NO_KEY = "the ID token's `kid` is not a signing key that its issuer publishes"
SIGNATURE = "the ID token's signature does not verify"
TYPE = "the ID token's type must be JWT"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({**HEADER, "alg": "none"}, ALGORITHM),
        ({**HEADER, "alg": "HS256"}, ALGORITHM),
        ({**HEADER, "alg": "Ed25519"}, ALGORITHM),
        ({**HEADER, "alg": "HS256", "kid": "oct"}, NO_KEY),
        ({**HEADER, "alg": "RS256", "kid": "enc"}, NO_KEY),
        ({**HEADER, "kid": "unknown"}, NO_KEY),
        ({"alg": "EdDSA"}, NO_KEY),
        ({**HEADER, "typ": "at+jwt"}, TYPE),
        ({**HEADER, "typ": None}, TYPE),
        ({**HEADER, "crit": ["exp"]}, EXTENSION),
        ({**HEADER, "crit": []}, EXTENSION),
        ({**HEADER, "b64": True}, EXTENSION),
        ({**HEADER, "alg": None}, "the ID token's `alg` and `kid` must be strings"),
        ({**HEADER, "kid": ["ed25519"]}, "the ID token's `alg` and `kid` must be strings"),
        ('{"alg":"none","alg":"EdDSA"}', "the token's header has two members with the same name"),
        ("null", "the token's header is not a JSON object"),
    ],
)
def test_a_header_cannot_choose_how_it_is_verified(
    verify: Verify, header: dict[str, Any] | str, reason: str
) -> None:
    """A header cannot choose how it is verified (RFC 8725, section 3)."""
    assert refusal(verify, token(header, CLAIMS)) == reason


def test_a_key_that_the_token_brings_is_not_looked_at(verify: Verify) -> None:
    """A key in the header is not trusted. It does not invalidate a token signed by the right key either."""
    attacker = Ed25519PrivateKey.generate()
    brought = {**HEADER, "jwk": jwk(attacker), "jku": "http://127.0.0.1:1/keys", "x5c": ["AA=="]}
    assert refusal(verify, token(brought, CLAIMS, attacker)) == SIGNATURE
    assert verify(token(brought, CLAIMS)).subject == "alice@example.com"


def test_a_mac_keyed_with_the_public_key_is_refused(verify: Verify) -> None:
    """This is the classic algorithm confusion attack."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    message = token({"alg": "HS256", "kid": "rsa"}, CLAIMS).rpartition(".")[0]
    mac = encode(hmac.digest(pem, message.encode(), hashlib.sha256))
    assert refusal(verify, f"{message}.{mac}") == ALGORITHM


def test_one_key_has_one_algorithm(verify: Verify) -> None:
    """An RSA key for one padding verifies no other. If the key states none, the configuration's order decides."""
    assert refusal(verify, token({"alg": "PS256", "kid": "rsa"}, CLAIMS, RSA)) == ALGORITHM
    assert refusal(verify, token(HEADER, CLAIMS), algorithms=("RS256",)) == NO_KEY
    key = jwk(RSA)
    for algorithms in (("RS256", "PS256"), ("PS256", "RS256")):
        assert oidc.choose_key([key], {"alg": algorithms[0]}, algorithms, "/keys.json").alg == algorithms[0]
        with pytest.raises(InvalidCredentialError):
            oidc.choose_key([key], {"alg": algorithms[1]}, algorithms, "/keys.json")


UNKNOWN = "the ID token is from the issuer `https://ci.example/`, which is not configured"
EXPIRED = "the ID token of `alice@example.com` has expired: its `exp` is 2026-11-24T12:00:00Z"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://ci.example/"}, UNKNOWN),
        ({"iss": None}, "the ID token has no valid `iss`"),
        ({"iss": [ISSUER]}, "the ID token has no valid `iss`"),
        ({"aud": "jitid2"}, "the ID token is for `jitid2`, not for `jitid` alone"),
        ({"aud": ["jitid", "somebody"]}, "the ID token is for `jitid`, `somebody`, not for `jitid` alone"),
        ({"aud": ["jitid", "jitid"]}, "the ID token is for `jitid`, `jitid`, not for `jitid` alone"),
        ({"aud": ["jitid", 7]}, "the ID token is for no audience, not for `jitid` alone"),
        ({"aud": []}, "the ID token is for no audience, not for `jitid` alone"),
        ({"aud": None}, "the ID token is for no audience, not for `jitid` alone"),
        ({"exp": NOW}, EXPIRED),
        ({"exp": NOW, "sub": None}, "the ID token has expired: its `exp` is 2026-11-24T12:00:00Z"),
        ({"exp": None}, "the ID token's times are missing or not integers"),
        ({"exp": True}, "the ID token's times are missing or not integers"),
        ({"iat": float(NOW)}, "the ID token's times are missing or not integers"),
        ({"iat": NOW + 61}, "the ID token is not valid yet"),
        ({"nbf": NOW + 61}, "the ID token is not valid yet"),
        ({"iat": NOW + 61, "nbf": NOW}, "the ID token was issued in the future"),
        ({"sub": ""}, "the ID token has no subject"),
        ({"sub": None}, "the ID token's `sub` is not a string"),
        ({"sub": 7}, "the ID token's `sub` is not a string"),
        ({"sub": "alice\x1b[31m"}, "the ID token's `sub` is not a valid name"),
        ({"sub": "al\u0456ce"}, "the ID token's `sub` is not a valid name"),
        ({"sub": "a" * 129}, "the ID token's `sub` is not a valid name"),
    ],
)
def test_claims_that_prove_nothing_are_refused(verify: Verify, changed: dict[str, Any], reason: str) -> None:
    """Insufficient claims are refused (OpenID Connect Core, section 3.1.3.7)."""
    assert refusal(verify, token(HEADER, {**CLAIMS, **changed})) == reason


def test_the_issuers_clock_may_be_a_minute_ahead(verify: Verify) -> None:
    """The clock of jitid decides expiry, to the second."""
    assert verify(token(HEADER, {**CLAIMS, "iat": NOW + 60}))
    assert verify(token(HEADER, CLAIMS), now=NOW + 299)
    assert refusal(verify, token(HEADER, CLAIMS), now=NOW + 300) == EXPIRED.replace("12:00", "12:05")


@pytest.mark.parametrize("verified", [None, False, "true", 1])
def test_an_unverified_address_proves_nobody(verify: Verify, verified: Any) -> None:
    """A user who types an address into a form must not become its owner."""
    text = token(HEADER, {**CLAIMS, "email": "root@b.example", "email_verified": verified})
    assert refusal(verify, text, claim="email") == "the ID token's email address is not verified"


def test_a_claim_that_is_no_string_proves_nobody(verify: Verify) -> None:
    """A missing claim proves no identity, and neither does a list of names."""
    for value in (None, "", ["alice"], True):
        text = token(HEADER, {**CLAIMS, "login": value})
        assert refusal(verify, text, claim="login") == "the ID token's `login` is missing or not a string"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (token(HEADER, CLAIMS) + ".", "not a JWT: expected three dot-separated parts"),
        (token(HEADER, CLAIMS) + "\n", "the token's signature is not canonical base64url"),
        (token(HEADER, CLAIMS) + "AA", SIGNATURE),
        (token(HEADER, CLAIMS).rpartition(".")[0] + ".", "not a JWT: one of its parts is empty"),
        (token(HEADER, '{"iss":"a","iss":"b"}'), "the token's payload has two members with the same name"),
        (token(HEADER, b"\xff"), "the token's payload is not UTF-8 text"),
        ("A" * 1_000_000, "the token is longer than 16384 bytes"),
    ],
)
def test_a_text_of_another_form_is_refused(verify: Verify, text: str, reason: str) -> None:
    """The rules are the same for jitid's own tokens (promise 9)."""
    assert refusal(verify, text) == reason


def test_settings_that_cannot_be_meant_are_refused(verify: Verify) -> None:
    """A symmetric algorithm is invalid, and so is the kind `agent`."""
    for settings in (
        {"kind": "agent"},
        {"claim": ""},
        {"algorithms": ()},
        {"algorithms": ("RS256", "HS256")},
        {"algorithms": ("none",)},
        {"jwks": "keys.json"},
        {"jwks": "http://ci.example/keys"},
        {"jwks": "ftp://127.0.0.1/keys"},
        {"jwks": "https:///keys"},
        {"jwks": "https://user@ci.example/keys"},
        {"jwks": "https://ci.example:port/keys"},
        {"jwks": "file:///etc/keys.json"},
        {"names": ()},
        {"names": ("a*b",)},
        {"names": ("**",)},
        {"names": ("alice@example.com", "a b")},
        {"clients": (("0oa123", "nobody:x"),)},
        {"clients": (("0oa123", ""),)},
    ):
        with pytest.raises(ConfigurationError):
            verify(token(HEADER, CLAIMS), **settings)


def test_an_issuer_may_stand_once_for_each_audience(key_set: Path) -> None:
    """The choice of the claim must not depend on the order of issuers."""
    one = OidcIssuer(ISSUER, str(key_set), "jitid")
    other = one._replace(audience="other", kind="system")
    assert verify_token(token(HEADER, CLAIMS), [other, one], NOW, timeout=5).delegator.startswith("user:")
    with pytest.raises(ConfigurationError, match="is configured twice"):
        verify_token(token(HEADER, CLAIMS), [one, one._replace(claim="login")], NOW, timeout=5)
    with pytest.raises(InvalidCredentialError):
        verify_token(token(HEADER, CLAIMS), [], NOW, timeout=5)


def test_what_is_refused_says_what_would_pass(key_set: Path) -> None:
    """The hint names the configured issuers or the published keys. A long key id is shortened."""
    one = OidcIssuer(ISSUER, str(key_set), "jitid")
    for header, claims, issuers, hint in (
        (
            HEADER,
            {"iss": "https://id.example"},
            [one],
            f"configured: `{ISSUER}`; to configure one, see jitid-config-set(1)",
        ),
        (HEADER, {}, [], "no issuer is configured; to configure one, see jitid-config-set(1)"),
        (HEADER, {"aud": "others"}, [one], f"request a token from `{ISSUER}` with the only audience `jitid`"),
        (HEADER, {"exp": NOW}, [one], f"request a new token from `{ISSUER}`"),
        (
            {**HEADER, "kid": "k" * 99},
            {},
            [one],
            f"its `kid`: `{'k' * 60}…`; keys in `{key_set}`: `rsa`, `pss`, `p256`, `ed25519`",
        ),
        ({**HEADER, "alg": "HS256"}, {}, [one], "the token has `HS256`, the key EdDSA"),
    ):
        with pytest.raises(InvalidCredentialError) as caught:
            verify_token(token(header, {**CLAIMS, **claims}), issuers, NOW, timeout=5)
        assert str(caught.value.hint).startswith(hint)


def test_an_issuer_that_cannot_be_meant_stands_in_nobodys_way(key_set: Path) -> None:
    """Its own tokens are refused, and the error names the invalid setting. Other issuers still work."""
    good = OidcIssuer(ISSUER, str(key_set), "jitid")
    bad = OidcIssuer("id.example", "", "jitid")
    assert verify_token(token(HEADER, CLAIMS), [bad, good], NOW, timeout=5)
    with pytest.raises(ConfigurationError, match=r"`id\.example` has no `jwks`") as caught:
        verify_token(token(HEADER, {**CLAIMS, "iss": "id.example"}), [bad, good], NOW, timeout=5)
    assert "jitid config unset oidc.id.example" in str(caught.value.hint)


def test_an_issuer_proves_the_names_that_it_is_configured_for(verify: Verify) -> None:
    """The names are checked even if there is only one issuer."""
    for names in (("*@example.com",), ("bob", "alice*"), ("alice@example.com",), ("*",)):
        assert verify(token(HEADER, CLAIMS), names=names).delegator == "user:alice@example.com"
    for names in (("*@example.org",), ("alice",), ("user:alice@example.com",), ("Alice*", "*@example.co")):
        reason = refusal(verify, token(HEADER, CLAIMS), names=names)
        assert (
            reason == f"the ID token proves `alice@example.com`, which is not among the `names` of `{ISSUER}`"
        )


def test_two_issuers_of_a_kind_prove_different_names(key_set: Path) -> None:
    """If the names of two issuers overlap, neither issuer proves any name."""
    first = OidcIssuer(ISSUER, str(key_set), "jitid", names=("*@example.com", "root"))
    second = first._replace(issuer="https://other.example", names=("*@example.org", "ci-7"))
    text, theirs = token(HEADER, CLAIMS), token(HEADER, {**CLAIMS, "iss": second.issuer, "sub": "ci-7"})

    def prove(text: str, *issuers: OidcIssuer) -> str:
        return verify_token(text, issuers, NOW, timeout=5).delegator

    assert prove(text, second, first) == "user:alice@example.com"
    assert prove(theirs, second, first) == "user:ci-7"
    for names in (("root",), ("*",), ("ro*",), ("*@a.example.com", "alice*")):
        wide = second._replace(names=names)
        for each in (text, theirs):
            with pytest.raises(ConfigurationError, match="tokens of both are refused") as caught:
                prove(each, first, wide)
            assert ISSUER in caught.value.message
            assert second.issuer in caught.value.message
    # An issuer of another kind does not conflict, and neither does an issuer without keys.
    assert prove(text, first, second._replace(names=("*",), kind="system"))
    assert prove(text, first._replace(names=None), second._replace(names=("*",), jwks=""))


def test_a_second_issuer_takes_all_names_from_one_that_states_none(key_set: Path) -> None:
    first = OidcIssuer(ISSUER, str(key_set), "jitid")
    second = first._replace(issuer="https://other.example", names=("*@example.org",))
    with pytest.raises(ConfigurationError, match="has no `names`; its tokens are refused") as caught:
        verify_token(token(HEADER, CLAIMS), [first, second], NOW, timeout=5)
    assert caught.value.hint == (
        f"state the names that it may prove: jitid config set oidc.{ISSUER}.names '*@example.com'"
    )
    named = token(HEADER, {**CLAIMS, "iss": second.issuer, "sub": "bob@example.org", "azp": "jitid"})
    assert verify_token(named, [first, second], NOW, timeout=5).delegator == "user:bob@example.org"


@pytest.mark.parametrize(
    ("claims", "clients"),
    [
        ({"azp": None}, ()),
        ({"azp": "jitid"}, ()),
        ({"azp": "jitid", "client_id": "app"}, ("app",)),
        ({"client_id": "app"}, ("app",)),
        ({"azp": "one", "client_id": "two"}, ("one", "two")),
    ],
)
def test_a_token_names_the_clients_that_it_was_issued_to(
    verify: Verify, claims: dict[str, Any], clients: tuple[str, ...]
) -> None:
    """The audience is the client id of jitid's own login, which is not another client."""
    told = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    assert verify(token(HEADER, told)).clients == clients


@pytest.mark.parametrize(
    "claims",
    [
        {"azp": None},
        {"azp": ""},
        {"azp": ["app"]},
        {"client_id": ""},
        {"may_act": None},
        {"cnf": None},
        {"cnf": "x"},
    ],
    ids=str,
)
def test_a_client_that_is_named_badly_is_not_taken_for_none(verify: Verify, claims: dict[str, Any]) -> None:
    assert refusal(verify, token(HEADER, {**CLAIMS, **claims}))


def test_a_token_is_one_token_in_each_spelling_of_its_signature(verify: Verify) -> None:
    """For an ECDSA signature (r, s), every reader of the token can compute the valid signature (r, n - s)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    text = token({"alg": "ES256", "typ": "JWT", "kid": "p256"}, CLAIMS, P256)
    signed, _, signature = text.rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    spelled = f"{signed}.{encode(other)}"
    assert spelled != text
    assert verify(spelled).mark == verify(text).mark
    assert verify(token(HEADER, {**CLAIMS, "sub": "bob"})).mark != verify(token(HEADER, CLAIMS)).mark
    ids = [
        token(HEADER, {**CLAIMS, "jti": jti, "nonce": nonce}) for jti, nonce in (("a", 1), ("a", 2), ("b", 1))
    ]
    first, again, another = [verify(each).mark for each in ids]
    assert first == again != another
