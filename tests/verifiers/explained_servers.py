"""Why a server or a command judges a token differently from jitid; `explained` has the reasons."""

from __future__ import annotations

_REPEATED = (
    "twice/escaped-name-twice twice/expired-then-valid twice/header-kid twice/header-none-then-alg "
    "twice/header-typ twice/two-audiences twice/two-issuers twice/two-subjects"
)

SERVERS: dict[str, dict[str, str]] = {
    "HAProxy": {
        "time-types": "exp/text iat/list iat/text nbf/list nbf/text",
        "far-times": "nbf/far-future",
        "null-is-missing": "nbf/null",
        "nested-audience": "aud/list-in-a-list",
        "crit": "crit/null",
        "unknown-header": "enc/member zip/deflate",
        "first": (
            "twice/escaped-name-twice twice/header-alg-then-none twice/two-subjects twice/valid-then-expired"
        ),
        "loose-json": (
            "json/comma-at-the-end json/comment json/control-character json/cut json/header-comment "
            "json/header-more-after json/leading-zero json/more-after json/nul-byte json/two-objects"
        ),
        "utf-8": "json/latin-1 json/overlong-utf-8 json/surrogate",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": "spelling/unused-bits-in-signature",
        "http": "spelling/blank-before spelling/newline-after",
        "signature-form": "signature/wide-halves",
    },
    "nginx": {
        "far-times": "exp/beyond-64-bits",
        "unknown-header": "enc/member zip/deflate",
        "repeated": _REPEATED,
        "loose-json": "json/leading-zero",
        "encodings": "json/byte-order-mark json/header-byte-order-mark",
        "numbers": "json/huge-exponent json/huge-number",
        "base64": "spelling/unused-bits-in-signature",
        "http": "spelling/newline-after",
    },
    "Envoy": {
        "iat": "iat/future",
        "unknown-header": "enc/member zip/deflate",
        "loose-json": "json/comma-at-the-end json/control-character json/single-quotes",
        "base64": ("spelling/blank-in-signature spelling/padded-signature spelling/unused-bits-in-signature"),
        "parts": "spelling/dot-after spelling/dot-before",
        "http": "spelling/blank-before spelling/newline-after",
        "signature-form": "signature/byte-after@ES256 signature/wide-halves",
    },
    "mod_oauth2": {
        "time-types": "nbf/list nbf/text",
        "null-is-missing": "nbf/null",
        "nbf": "nbf/future",
        "claim-list": "iss/list",
        "unknown-header": "enc/member zip/deflate",
        "repeated": _REPEATED,
        "loose-json": "json/nul-byte",
        "base64": "spelling/much-padding spelling/padded-signature spelling/unused-bits-in-signature",
        "signature-form": "signature/byte-after@ES256 signature/wide-halves",
    },
    "mod_auth_openidc": {
        "exp": "exp/missing exp/negative",
        "time-types": ("exp/list exp/object exp/text exp/true iat/list iat/text nbf/list nbf/text"),
        "null-is-missing": "exp/null nbf/null",
        "iat": "iat/future",
        "nbf": "nbf/future",
        "claim-list": "iss/list",
        "unknown-header": "enc/member zip/deflate",
        "repeated": _REPEATED,
        "loose-json": "json/nul-byte",
        "base64": "spelling/much-padding spelling/padded-signature spelling/unused-bits-in-signature",
        "signature-form": "signature/byte-after@ES256 signature/wide-halves",
    },
    "latchset jose": {
        "far-times": "exp/beyond-64-bits exp/beyond-floats",
        "null-is-missing": "nbf/null",
        "unknown-header": "enc/member zip/deflate",
        "repeated": _REPEATED,
        "loose-json": "json/leading-zero",
        "encodings": "json/byte-order-mark",
        "utf-8": "json/latin-1 json/overlong-utf-8 json/surrogate",
        "nan": "json/infinity json/nan",
        "numbers": "json/huge-exponent json/huge-number",
    },
}
