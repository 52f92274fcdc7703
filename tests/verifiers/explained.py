"""Why a verifier judges a token differently from jitid: each cell of the matrix that differs has a reason here.

The explanations are exact: a test fails if one is missing, and if one is no longer needed.
"""

from __future__ import annotations

from tests.verifiers.explained_servers import SERVERS

NO_EDDSA = (
    "jsonwebtoken",
    "ruby-jwt",
    "HAProxy",
    "nginx",
    "mod_oauth2",
    "mod_auth_openidc",
    "latchset jose",
)
"""Verifiers that accept no token of EdDSA, good or not."""

REASONS = {
    "repeated": "A repeated member replaces the earlier one, as RFC 7519, section 4, allows.",
    "first": "The first of repeated members counts; RFC 7519, section 4, allows only the last one.",
    "unknown-header": "Header members of encryption are ignored in a signed token (RFC 7515, section 4).",
    "crit": "`crit` is ignored, or not checked for every malformed value (RFC 7515, section 4.1.11).",
    "far-times": "A time beyond 64 bits counts as a number; only the holder of the key can write it.",
    "time-types": "Times that are texts or lists are converted or ignored (RFC 7519, section 2, requires numbers).",
    "null-is-missing": "A member that is null counts as missing.",
    "iat": "`iat` is not compared with the clock; RFC 7519, section 4.1.6, does not require it.",
    "nbf": "`nbf` is compared only where it is required, and tokens may lack it.",
    "exp": "A token without `exp` or with -1 in it is accepted; jitid writes `exp` into every token.",
    "typ": "`typ` is not checked: only the audience distinguishes a service token from other tokens.",
    "encodings": "The encoding of JSON is detected: a byte order mark and UTF-16 are accepted.",
    "nan": "NaN and Infinity are accepted as JSON numbers.",
    "utf-8": "Invalid UTF-8 or a lone surrogate is accepted or replaced.",
    "depth": "Nesting has no limit below the size of the token.",
    "numbers": "Numbers of any size are accepted as floats or long integers.",
    "comments": "The JSON parser accepts comments.",
    "loose-json": "Text that is not quite JSON is accepted; only the holder of the key can sign it.",
    "claim-list": "A rule for a claim also matches a list that contains the value.",
    "nested-audience": "The audience is compared with the text of the nested list.",
    "base64": "Base64url with padding, blanks or unused bits is accepted: one token has several spellings.",
    "parts": "An empty part before or after the token is accepted.",
    "http": "HTTP drops blanks and line ends around the token, so the server receives the token alone.",
    "json-form": "The JSON serialization is accepted where a compact token was expected.",
    "alg-case": "The name of the algorithm is compared without regard to case.",
    "signature-form": "Another encoding of a valid signature is accepted; only the holder of the token can write it.",
}

EXPLAINED: dict[str, dict[str, str]] = {
    "PyJWT": {
        "time-types": "exp/text iat/text nbf/text",
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "crit": "b64/text",
        "unknown-header": "enc/member zip/deflate",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "encodings": "json/byte-order-mark json/header-byte-order-mark json/header-utf-16 json/utf-16",
        "utf-8": "json/surrogate",
        "nan": "json/infinity json/nan",
        "numbers": "json/huge-exponent",
        "base64": "spelling/padded-signature",
    },
    "joserfc": {
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "crit": "crit/empty crit/registered",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "encodings": "json/byte-order-mark json/header-byte-order-mark json/header-utf-16 json/utf-16",
        "utf-8": "json/surrogate",
        "nan": "json/infinity json/nan",
        "numbers": "json/huge-exponent",
    },
    "jwcrypto": {
        "far-times": "exp/beyond-64-bits exp/beyond-floats nbf/far-future",
        "nbf": "nbf/future",
        "time-types": "iat/text nbf/text",
        "null-is-missing": "nbf/null",
        "iat": "iat/future",
        "crit": "crit/empty crit/registered",
        "unknown-header": "enc/member zip/deflate",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "nan": "json/infinity json/nan",
        "numbers": "json/huge-exponent",
        "base64": (
            "spelling/much-padding spelling/padded-header spelling/padded-signature "
            "spelling/unused-bits-in-signature"
        ),
        "signature-form": "signature/wide-halves",
    },
    "fastmcp": {
        "exp": "exp/missing",
        "null-is-missing": "exp/null nbf/null",
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "iat": "iat/future",
        "time-types": "iat/list iat/text",
        "typ": "typ/empty typ/id-token typ/identity-token typ/missing typ/security-event typ/status-list",
        "crit": "crit/empty crit/registered",
        "unknown-header": "enc/member zip/deflate",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "encodings": "json/byte-order-mark json/header-byte-order-mark json/header-utf-16 json/utf-16",
        "utf-8": "json/surrogate",
        "nan": "json/infinity json/nan",
        "numbers": "json/huge-exponent",
    },
    "jose": {
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "iat": "iat/future",
        "unknown-header": "enc/member zip/deflate",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "encodings": "json/byte-order-mark json/header-byte-order-mark",
        "depth": "json/deep json/deep-objects json/header-deep",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": (
            "spelling/blank-in-signature spelling/newline-after spelling/padded-signature "
            "spelling/unused-bits-in-signature"
        ),
    },
    "jsonwebtoken": {
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "iat": "iat/future",
        "time-types": "iat/list iat/text",
        "crit": "b64/text b64/with-crit crit/*",
        "unknown-header": "enc/member zip/deflate",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "utf-8": "json/latin-1 json/overlong-utf-8 json/surrogate",
        "depth": "json/deep json/deep-objects json/header-deep",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": "spelling/unused-bits-in-signature",
    },
    "fast-jwt": {
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "iat": "iat/future",
        "time-types": "iat/list iat/text",
        "crit": "crit/null",
        "unknown-header": "enc/member zip/deflate",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "utf-8": "json/latin-1 json/overlong-utf-8 json/surrogate",
        "depth": "json/deep json/deep-objects json/header-deep",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": "spelling/unused-bits-in-signature",
    },
    "Crypt::JWT": {
        "time-types": "exp/list exp/object exp/text iat/text nbf/text",
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "null-is-missing": "nbf/null",
        "nested-audience": "aud/list-in-a-list",
        "crit": "b64/text b64/with-crit crit/*",
        "unknown-header": "enc/member",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "utf-8": "json/surrogate",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": (
            "spelling/much-padding spelling/newline-after spelling/padded-header "
            "spelling/padded-payload spelling/padded-signature spelling/unused-bits-in-signature"
        ),
        "json-form": "spelling/flattened-json",
        "signature-form": "signature/s-plus-order signature/without-null",
    },
    "ruby-jwt": {
        "time-types": "exp/text nbf/text",
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "null-is-missing": "nbf/null",
        "crit": "b64/text b64/with-crit crit/*",
        "unknown-header": "enc/member zip/deflate",
        "alg-case": "alg/lower-case",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/header-kid "
            "twice/header-none-then-alg twice/header-typ twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "comments": "json/comment json/header-comment",
        "utf-8": "json/latin-1 json/overlong-utf-8 json/surrogate",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": (
            "spelling/blank-in-signature spelling/much-padding spelling/newline-after "
            "spelling/nul-after spelling/padded-signature spelling/unused-bits-in-signature"
        ),
        "parts": "spelling/dot-after",
    },
    "go-oidc": {
        "time-types": "exp/text iat/text nbf/text",
        "null-is-missing": "nbf/null",
        "far-times": "nbf/far-future",
        "iat": "iat/future",
        "crit": "b64/text crit/empty crit/null",
        "unknown-header": "enc/member zip/deflate",
        "repeated": (
            "twice/escaped-name-twice twice/expired-then-valid twice/two-audiences twice/two-issuers "
            "twice/two-subjects"
        ),
        "utf-8": "json/latin-1 json/overlong-utf-8 json/surrogate",
        "depth": "json/deep-objects json/header-deep",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": (
            "spelling/blank-before spelling/blank-in-signature spelling/newline-after "
            "spelling/newline-within spelling/unused-bits-in-signature"
        ),
    },
    "go-jose": {
        "null-is-missing": "nbf/null",
        "far-times": "nbf/far-future",
        "crit": "b64/text crit/empty crit/null",
        "unknown-header": "enc/member zip/deflate",
        "utf-8": "json/latin-1 json/overlong-utf-8 json/surrogate",
        "depth": "json/deep json/deep-objects json/header-deep",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": "spelling/newline-after spelling/newline-within spelling/unused-bits-in-signature",
    },
    **SERVERS,
}
"""By verifier and reason: the tokens, with `*` all tokens of a family, and after `@` the only algorithm."""


def patterns(verifier: str, algorithm: str) -> list[str]:
    """Return the tokens of an algorithm that a verifier judges differently."""
    words = [word.partition("@") for words in EXPLAINED.get(verifier, {}).values() for word in words.split()]
    return [pattern for pattern, _, only in words if only in ("", algorithm)]
