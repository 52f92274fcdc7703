import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.crypto import jws
from jitid.errors import InvalidCredentialError
from jitid.values import strict_json
from tests.crypto.signed import CLAIMS, ED25519, HEADER, NOW, encode, token
from tests.crypto.vectors import jws_cases, load, ranges

NOT_THREE = "not a JWT: expected three dot-separated parts"
EMPTY = "not a JWT: one of its parts is empty"
MEMBERS = "the token's header must have exactly the members alg, typ and kid"
HEADER_TEXT = "the token's header is not canonical base64url"

# None of these tokens has a `typ`, which jitid requires. The parser reports earlier defects first.
WYCHEPROOF = {
    NOT_THREE: "4 7 10 12-15 17 21 24 27 29-30 36 39 42 44-45",
    EMPTY: "3 6 9 11 16 20 23 26 28 35 38 41 43 259 264 268 272 320 325 341-344",
    HEADER_TEXT: "365-366 372",
    MEMBERS: "1-2 5 8 18-19 22 25 31-34 37 40 46-258 260-263 265-267 269-271 273-319 321-324 326-340 345-364"
    " 367-371 373-401",
}
RFC = {
    "8037 A.4": MEMBERS,
    "7515 A.1 and 7519 3.1": MEMBERS,
    "7515 A.2": MEMBERS,
    "7515 A.3": MEMBERS,
    "7515 A.5 / 7519 6.1": EMPTY,
    "7515 App. E (negative crit)": EMPTY,
    "7797 4.1": MEMBERS,
    "7797 4.2 (b64=false, detached)": EMPTY,
}


def refusal(text: str | bytes, **how: Any) -> str:
    """Return why a token is refused."""
    with pytest.raises(InvalidCredentialError) as caught:
        jws.parse(text, **how)
    return caught.value.message


def test_each_wycheproof_token_is_refused_for_its_reason() -> None:
    """None of the 401 tokens has jitid's header, whether its signature is valid or not."""
    expected = {number: reason for reason, text in WYCHEPROOF.items() for number in ranges(text)}
    assert {number: refusal(text) for number, _, text, _ in jws_cases()} == expected


def test_each_rfc_token_is_refused_for_its_reason() -> None:
    """The examples of the standards lack header members that jitid requires."""
    assert {case["rfc"]: refusal(case["jws"]) for case in load("rfc/rfc_vectors.json")["jws"]} == RFC


def test_each_cookbook_token_is_refused_for_its_reason() -> None:
    """The examples of RFC 7520 have no `typ`; those with detached content have no payload."""
    files = load("jose-cookbook/cookbook_jws_jwk.json")["files"]
    tokens = {
        name: file["output"]["compact"] for name, file in files.items() if "compact" in file.get("output", {})
    }
    reasons = {name: EMPTY if ".." in text else MEMBERS for name, text in tokens.items()}
    assert len(tokens) >= 6
    assert {name: refusal(text) for name, text in tokens.items()} == reasons


def test_a_token_of_our_form_is_taken_apart() -> None:
    """Text and bytes give the same result."""
    text = token()
    header, payload, signature = text.split(".")
    for given_as in (text, text.encode()):
        parsed = jws.parse(given_as)
        assert (parsed.alg, parsed.typ, parsed.kid) == ("EdDSA", "at+jwt", "k1")
        assert parsed.claims == CLAIMS == json.loads(parsed.payload)
        assert parsed.signing_input == f"{header}.{payload}".encode()
        assert encode(parsed.signature) == signature
        assert parsed.canonical == text


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({**HEADER, "alg": "none"}, "the token's algorithm is not accepted"),
        ({**HEADER, "alg": "HS256"}, "the token's algorithm is not accepted"),
        ({**HEADER, "alg": "eddsa"}, "the token's algorithm is not accepted"),
        ({**HEADER, "typ": "JWT"}, "the token's type is not accepted"),
        ({**HEADER, "typ": "AT+JWT"}, "the token's type is not accepted"),
        ({**HEADER, "typ": "application/at+jwt"}, "the token's type is not accepted"),
        ({"alg": "EdDSA", "kid": "k1"}, MEMBERS),
        ({"alg": "EdDSA", "typ": "at+jwt"}, MEMBERS),
        ({**HEADER, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}}, MEMBERS),
        ({**HEADER, "jku": "https://attacker.example/keys"}, MEMBERS),
        ({**HEADER, "x5u": "https://attacker.example/cert"}, MEMBERS),
        ({**HEADER, "crit": ["exp"]}, MEMBERS),
        ({**HEADER, "b64": False}, MEMBERS),
        ({**HEADER, "alg": ["EdDSA"]}, "the token's header has a member that is not a string"),
        ({**HEADER, "kid": 1}, "the token's header has a member that is not a string"),
        ({**HEADER, "kid": ""}, "the token's key id is invalid"),
        ({**HEADER, "kid": "k\n1"}, "the token's key id is invalid"),
        ({**HEADER, "kid": "k" * 129}, "the token's key id is invalid"),
        (
            '{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"k1"}',
            "the token's header has two members with the same name",
        ),
        ('["alg","typ","kid"]', "the token's header is not a JSON object"),
        ("alg", "the token's header does not parse at character 1"),
    ],
)
def test_a_header_of_another_form_is_refused(header: dict[str, Any] | str, reason: str) -> None:
    """RFC 8725, sections 3.1 and 3.11: jitid, not the token, determines algorithm and type."""
    assert refusal(token(header)) == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ("[]", "the token's payload is not a JSON object"),
        ("foo", "the token's payload does not parse at character 1"),
        (b"\xff{}", "the token's payload is not UTF-8 text"),
        ('{"sub":"user:alice","sub":"user:root"}', "the token's payload has two members with the same name"),
        ('{"act":' * 100 + "1" + "}" * 100, "the token's payload is nested more than 64 levels deep"),
        ('{"exp":1e999}', "the token's payload has a number that is out of range"),
        ('{"exp":99999999999999999999}', "the token's payload has an integer of more than 18 digits"),
    ],
)
def test_a_payload_that_readers_could_read_differently_is_refused(claims: str | bytes, reason: str) -> None:
    """RFC 7519, section 4, and RFC 8725, section 3.7."""
    assert refusal(token(claims=claims)) == reason


@pytest.mark.parametrize(
    ("spelling", "reason"),
    [
        ("", NOT_THREE),
        ("..", EMPTY),
        (token() + ".", NOT_THREE),
        (token() + "=", "the token's signature is not canonical base64url"),
        (token() + "\n", "the token's signature is not canonical base64url"),
        (" " + token(), HEADER_TEXT),
        # The last of the 86 characters has four unused bits.
        (token()[:-1] + chr(ord(token()[-1]) + 1), "the token's signature is not canonical base64url"),
        (token().replace(".", "=.", 1), HEADER_TEXT),
        (token() + "\N{CYRILLIC SMALL LETTER A}", "not a JWT: it contains characters other than ASCII"),
        (token().encode() + b"\xff", "not a JWT: it contains characters other than ASCII"),
        ("eyJ" + "A" * 1_000_000, "the token is longer than 16384 bytes"),
        ("." * 16_385, "the token is longer than 16384 bytes"),
        ("." * 16_384, NOT_THREE),
        ("{" * 16_384, NOT_THREE),
    ],
)
def test_another_spelling_is_refused(spelling: str | bytes, reason: str) -> None:
    """RFC 7515, section 2: base64url has no padding, no line breaks, no other characters."""
    assert refusal(spelling) == reason


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    """A token may have at most 16 KiB."""
    room = jws.MAX_TOKEN - len(token(claims={**CLAIMS, "x": ""}))
    fitting = token(claims={**CLAIMS, "x": "x" * (room * 3 // 4 - 2)})
    assert jws.MAX_TOKEN - 4 <= len(fitting) <= jws.MAX_TOKEN
    assert jws.parse(fitting).canonical == fitting
    assert (
        refusal(token(claims={**CLAIMS, "x": "x" * (room * 3 // 4 + 2)}))
        == "the token is longer than 16384 bytes"
    )


@given(st.binary())
def test_base64url_has_one_spelling_for_all_bytes(data: bytes) -> None:
    """Encoding and decoding are inverse, and agree with the standard library."""
    assert strict_json.b64url(data) == encode(data)
    assert strict_json.b64url_decode(strict_json.b64url(data)) == data


@given(st.text(st.sampled_from("AQgw-_+/=. \n\xe9"), max_size=9) | st.text(max_size=9))
def test_whatever_base64url_is_read_comes_out_again(text: str) -> None:
    """No two texts decode to the same bytes, so a revoked token has no other accepted spelling."""
    try:
        data = strict_json.b64url_decode(text)
    except ValueError:
        return
    assert strict_json.b64url(data) == text


@given(st.integers(0, len(token()) - 1), st.sampled_from("AZaz09-_.=+/ \n\x00"))
def test_a_changed_character_never_parses_as_the_same_token(place: int, character: str) -> None:
    """An accepted token is the only spelling of its content."""
    text = token()
    changed = text[:place] + character + text[place + 1 :]
    try:
        parsed = jws.parse(changed)
    except InvalidCredentialError as error:
        assert text[:20] not in error.message
        return
    assert parsed.canonical == changed
    original = jws.parse(text)
    same = (parsed.signing_input, parsed.signature) == (original.signing_input, original.signature)
    assert same == (changed == text)


def test_pyjwt_accepts_what_we_accept() -> None:
    """The form is a subset of the standard: other libraries can read jitid's tokens."""
    read = jwt.decode(
        token(),
        ED25519.public_key(),
        algorithms=["EdDSA"],
        audience=CLAIMS["aud"],
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert read == jws.parse(token()).claims


def check(changed: dict[str, Any], now: int = NOW, leeway: int = 0) -> str | None:
    """Return why the usual claims with some changes are refused, or None. The value None removes a claim."""
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    try:
        jws.check_claims(claims, issuer=CLAIMS["iss"], audiences={CLAIMS["aud"], "b"}, now=now, leeway=leeway)
    except InvalidCredentialError as error:
        return error.message
    return None


TIMES = "the token's times are missing or not integers"
STRINGS = "the token's audience is missing or not a string"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"iss": None}, "the token is from another issuer"),
        ({"iss": CLAIMS["iss"] + "/"}, "the token is from another issuer"),
        ({"iss": [CLAIMS["iss"]]}, "the token is from another issuer"),
        ({"aud": ["x", "b"]}, None),
        ({"aud": None}, STRINGS),
        ({"aud": 1}, STRINGS),
        ({"aud": {"b": 1}}, STRINGS),
        ({"aud": ["b", 1]}, STRINGS),
        ({"aud": [["b"]]}, STRINGS),
        ({"aud": []}, "the token is for another audience"),
        ({"aud": "B"}, "the token is for another audience"),
        ({"aud": ""}, "the token is for another audience"),
        ({"exp": None}, TIMES),
        ({"iat": None}, TIMES),
        ({"nbf": None}, None),
        ({"exp": True}, TIMES),
        ({"exp": str(NOW + 900)}, TIMES),
        ({"exp": NOW + 900.0}, TIMES),
        ({"nbf": 0.5}, TIMES),
        ({"exp": NOW}, "the token has expired"),
        ({"exp": NOW + 1}, None),
        ({"exp": -1}, "the token has expired"),
        ({"nbf": NOW + 1}, "the token is not valid yet"),
        ({"iat": NOW + 1}, "the token was issued in the future"),
        ({"sub": 1}, "the token's `sub` is not a string"),
        ({"jti": ["jti_1"]}, "the token's `jti` is not a string"),
        ({"client_id": False}, "the token's `client_id` is not a string"),
        ({"scope": ["a"]}, "the token's `scope` is not a string"),
    ],
)
def test_claims_are_checked_to_the_letter(changed: dict[str, Any], reason: str | None) -> None:
    """RFC 7519, section 4.1, and RFC 9068, section 4."""
    assert check(changed) == reason


NEARLY: dict[str, Callable[[str], str]] = {
    "empty": lambda name: name[:0],
    "its first half": lambda name: name[: len(name) // 2],
    "its second half": lambda name: name[len(name) // 2 :],
    "without its last character": lambda name: name[:-1],
    "with more behind it": lambda name: name + "x",
    "with more before it": lambda name: "x" + name,
    "in capitals": str.upper,
    "with a space": lambda name: name + " ",
    "with a slash": lambda name: name + "/",
}


@pytest.mark.parametrize("way", NEARLY)
def test_an_issuer_or_audience_is_itself_and_no_part_of_it(way: str) -> None:
    """CVE-2024-53861: the verifier searched for the token's issuer within the expected issuer."""
    for claim, reason in (("iss", "from another issuer"), ("aud", "for another audience")):
        nearly = NEARLY[way](CLAIMS[claim])
        assert check({claim: nearly}) == f"the token is {reason}"
        if claim == "aud":
            assert check({claim: [nearly]}) == f"the token is {reason}"


def test_leeway_is_for_the_start_and_never_for_the_end() -> None:
    """Another machine's clock may be ahead. A token is invalid from its expiry on, without leeway."""
    ahead = {"iat": NOW + 60, "nbf": NOW + 60}
    assert check(ahead, leeway=60) is None
    assert check(ahead, leeway=59) == "the token is not valid yet"
    assert check({}, now=NOW + 900, leeway=60) == "the token has expired"


def test_no_audience_of_ours_means_no() -> None:
    """Without an accepted audience the token is refused. A string as audiences would match its own substrings."""
    with pytest.raises(InvalidCredentialError, match="another audience"):
        jws.check_claims(CLAIMS, issuer=CLAIMS["iss"], audiences=(), now=NOW)
    with pytest.raises(TypeError):
        jws.check_claims(CLAIMS, issuer=CLAIMS["iss"], audiences=CLAIMS["aud"], now=NOW)


@pytest.mark.parametrize(
    ("expires_at", "said"),
    [
        (NOW, "its `exp` is 2026-11-24T12:00:00Z; "),
        (0, "its `exp` is 1970-01-01T00:00:00Z; "),
        (-1, "its `exp` is before 1970; "),
        (-(10**12), "its `exp` is before 1970; "),
        (-(10**4000), "its `exp` is before 1970; "),
    ],
)
def test_of_claims_that_nobody_has_verified_the_hint_says_what_they_say(expires_at: int, said: str) -> None:
    """The claims may be forged, so the hint must not state that the token was ever valid."""
    with pytest.raises(InvalidCredentialError) as refused:
        jws.check_claims(
            {**CLAIMS, "exp": expires_at}, issuer=CLAIMS["iss"], audiences={CLAIMS["aud"]}, now=NOW
        )
    assert str(refused.value.hint).startswith(said)
