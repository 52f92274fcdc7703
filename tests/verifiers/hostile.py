"""The families of tokens: each yields names, tokens, and whether a verifier must accept them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.crypto.signed import encode, jwk, signature
from tests.verifiers.cases import AUDIENCE, ISSUER, KID, Case, Maker

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def cases(algorithm: str, now: int) -> list[Case]:
    """Return the tokens of an algorithm."""
    make = Maker(algorithm, now)
    found = [case for family in FAMILIES for case in family(make)]
    assert len({case.name for case in found}) == len(found)
    return found


def _good(make: Maker) -> Iterator[Case]:
    long = {"authorization_details": [{"type": "x", "actions": [f"a{number}" for number in range(600)]}]}
    nested = {"sub": "spiffe://x/a", "act": {"sub": "spiffe://x/b", "act": {"sub": "spiffe://x/c"}}}
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "audience-in-a-list": {"aud": [AUDIENCE]},
        "two-audiences": {"aud": ["https://other.example", AUDIENCE]},
        "no-nbf": {"nbf": ...},
        "empty-scope": {"scope": ""},
        "no-scope": {"scope": ...},
        "long": long,
        "nested-actors": {"act": nested},
        "text-beyond-ascii": {"jitid": {"purpose": "déployer 部署 🚀"}},
        "now": {"iat": make.now, "nbf": make.now},
        "several-hours": {"exp": make.now + 8 * 3_600},
    }
    for name, claims in changes.items():
        yield Case(f"good/{name}", make.token(claims=claims), accepted=True)
    turned = dict(reversed(make.header.items()))
    yield Case("good/header-in-another-order", make.raw(json.dumps(turned).encode(), _payload(make)), True)
    spaced = json.dumps(make.claims, indent=2).encode()
    yield Case("good/spaces-in-json", make.raw(json.dumps(make.header).encode(), spaced), True)


def _payload(make: Maker, **claims: Any) -> bytes:
    return json.dumps(make.claims | claims).encode()


def _claims(make: Maker) -> Iterator[Case]:
    now = make.now
    values: dict[str, Sequence[tuple[str, Any]]] = {
        "exp": [
            ("past", now - 3_600),
            ("just-past", now - 5),
            ("zero", 0),
            ("negative", -1),
            ("missing", ...),
            ("null", None),
            ("text", str(now + 3_600)),
            ("true", True),
            ("list", [now + 3_600]),
            ("object", {"n": now + 3_600}),
            ("float-in-the-past", now - 3_600.5),
            ("beyond-64-bits", 2**70),
            ("beyond-floats", 10**400),
        ],
        "nbf": [
            ("future", now + 3_600),
            ("text", str(now)),
            ("null", None),
            ("far-future", 2**70),
            ("list", [now]),
        ],
        "iat": [("future", now + 3_600), ("text", str(now)), ("list", [now])],
        "iss": [
            ("other", "https://evil.example"),
            ("missing", ...),
            ("null", None),
            ("list", [ISSUER]),
            ("longer", f"{ISSUER}/"),
            ("prefix", ISSUER[:-1]),
            ("capitals", ISSUER.upper()),
            ("blank-after", f"{ISSUER} "),
            ("empty", ""),
            ("number", 1),
            ("under-it", f"{ISSUER}.evil.example"),
        ],
        "aud": [
            ("other", "https://other.example"),
            ("missing", ...),
            ("null", None),
            ("empty", ""),
            ("empty-list", []),
            ("others", ["https://other.example", "x"]),
            ("longer", f"{AUDIENCE}/"),
            ("prefix", AUDIENCE[:-1]),
            ("capitals", AUDIENCE.upper()),
            ("object", {AUDIENCE: True}),
            ("number", 1),
            ("list-in-a-list", [[AUDIENCE]]),
            ("substring-of", f"x {AUDIENCE} y"),
            ("issuer", ISSUER),
        ],
    }
    for name, each in values.items():
        for label, value in each:
            yield Case(f"{name}/{label}", make.token(claims={name: value}))


def _header(make: Maker) -> Iterator[Case]:
    other = jwk(make.keys.other, kid=KID, alg=make.keys.algorithm)

    def thief(text: bytes) -> bytes:
        return make.sign(text, make.keys.other)

    for label, typ in {
        "id-token": "JWT",
        "identity-token": "jitid-identity+jwt",
        "missing": ...,
        "null": None,
        "number": 1,
        "list": ["at+jwt"],
        "security-event": "secevent+jwt",
        "status-list": "statuslist+jwt",
        "empty": "",
    }.items():
        yield Case(f"typ/{label}", make.token({"typ": typ}))
    for label, kid in {
        "unknown": "k2",
        "empty": "",
        "null": None,
        "number": 1,
        "list": [KID],
        "path": "../../../../dev/null",
        "sql": "k1' OR '1'='1",
        "url": "https://evil.example/key",
        "long": "k" * 12_000,
        "newline": "k1\n",
        "nul": "k1\0",
    }.items():
        yield Case(f"kid/{label}", make.token({"kid": kid}, sign=thief))
    headers: dict[str, dict[str, Any]] = {
        "jwk": {"jwk": other},
        "jwk-of-another-id": {"jwk": {**other, "kid": "k2"}, "kid": "k2"},
        "jku": {"jku": "https://127.0.0.1:1/jwks"},
        "x5u": {"x5u": "https://127.0.0.1:1/x5u"},
        "x5c": {"x5c": ["MIIB"]},
    }
    for label, more in headers.items():
        yield Case(f"key-in-header/{label}", make.token(more, sign=thief))
    headers = {
        "unknown": {"crit": ["x-must"], "x-must": 1},
        "empty": {"crit": []},
        "text": {"crit": "exp"},
        "numbers": {"crit": [1]},
        "registered": {"crit": ["alg"]},
        "missing-member": {"crit": ["x-must"]},
        "claim": {"crit": ["exp"], "exp": 1},
        "null": {"crit": None},
        "many": {"crit": ["x-must"] * 100, "x-must": 1},
    }
    for label, more in headers.items():
        yield Case(f"crit/{label}", make.token(more))
    headers = {
        "with-crit": {"b64": False, "crit": ["b64"]},
        "text": {"b64": "false", "crit": ["b64"]},
    }
    for label, more in headers.items():
        yield Case(f"b64/{label}", make.token(more))
    head = json.dumps({**make.header, "b64": False, "crit": ["b64"]}).encode()
    detached = f"{encode(head)}.{_payload(make).decode()}"
    yield Case("b64/unencoded", f"{detached}.{encode(make.sign(detached.encode()))}")
    yield Case("zip/deflate", make.token({"zip": "DEF"}))
    yield Case("enc/member", make.token({"enc": "A256GCM"}))


def _algorithms(make: Maker) -> Iterator[Case]:
    algorithm = make.keys.algorithm
    for label in ("none", "None", "nOnE", "NONE", ""):
        empty = make.token({"alg": label}, sign=lambda _: b"")
        yield Case(f"alg/none-{label or 'empty'}-without-signature", empty)
        yield Case(f"alg/none-{label or 'empty'}-with-signature", make.token({"alg": label}))
    macs = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
    for form, secret in make.public_forms().items():
        for name, digest in macs.items() if form == "pem" else [("HS256", hashlib.sha256)]:
            sign = _mac(secret, digest)
            yield Case(f"mac/{name}-{form}", make.token({"alg": name}, sign=sign))
    yield Case("mac/HS256-empty-secret", make.token({"alg": "HS256"}, sign=_mac(b"", hashlib.sha256)))
    others = ("EdDSA", "ES256", "RS256", "ES384", "ES512", "ES256K", "RS384", "RS512", "PS256", "Ed448", "x")
    for other in others:
        if other != algorithm:
            yield Case(f"alg/{other}-by-the-key", make.token({"alg": other}, sign=_as(make, other)))
    for label, value in {
        "missing": ...,
        "null": None,
        "number": 256,
        "list": [algorithm],
        "lower-case": algorithm.lower(),
        "blank-after": f"{algorithm} ",
    }.items():
        yield Case(f"alg/{label}", make.token({"alg": value}))


def _mac(secret: bytes, digest: Any) -> Callable[[bytes], bytes]:
    return lambda text: hmac.digest(secret, text, digest)


def _as(make: Maker, other: str) -> Callable[[bytes], bytes]:
    """Return how the key signs under another algorithm for the same kind of key; else as usual."""
    good = make.keys.good
    if isinstance(good, rsa.RSAPrivateKey) and other in ("RS384", "RS512", "PS256"):
        digest: Any = {"RS384": hashes.SHA384(), "RS512": hashes.SHA512(), "PS256": hashes.SHA256()}[other]
        scheme: Any = padding.PSS(padding.MGF1(digest), 32) if other == "PS256" else padding.PKCS1v15()
        return lambda text: good.sign(text, scheme, digest)
    return make.sign


def _json(make: Maker) -> Iterator[Case]:
    head, body = json.dumps(make.header), json.dumps(make.claims)
    past = f'"exp":{make.now - 9_999}'
    raw = {
        "expired-then-valid": f"{{{past},{body[1:]}",
        "valid-then-expired": f"{body[:-1]},{past}}}",
        "two-audiences": f'{{"aud":"https://other.example",{body[1:]}',
        "two-issuers": f'{{"iss":"https://evil.example",{body[1:]}',
        "two-subjects": f'{{"sub":"user:root",{body[1:]}',
        "escaped-name-twice": f'{{"\\u0065xp":1,{body[1:]}',
    }
    for label, text in raw.items():
        yield Case(f"twice/{label}", make.raw(head.encode(), text.encode()))
    for label, text in {
        "none-then-alg": f'{{"alg":"none",{head[1:]}',
        "alg-then-none": f'{head[:-1]},"alg":"none"}}',
        "kid": f'{{"kid":"k2",{head[1:]}',
        "typ": f'{{"typ":"JWT",{head[1:]}',
    }.items():
        yield Case(f"twice/header-{label}", make.raw(text.encode(), body.encode()))
    deep = 100_000
    for label, data in {
        "array": b"[1]",
        "text": b'"text"',
        "number": b"1",
        "null": b"null",
        "empty-object": b"{}",
        "array-of-claims": f"[{body}]".encode(),
        "nothing": b" ",
        "not-json": b"claims",
        "cut": body[:-1].encode(),
        "more-after": body.encode() + b"x",
        "two-objects": body.encode() * 2,
        "comma-at-the-end": f"{body[:-1]},}}".encode(),
        "comment": f"{body[:-1]}/* */}}".encode(),
        "single-quotes": body.replace('"', "'").encode(),
        "byte-order-mark": b"\xef\xbb\xbf" + body.encode(),
        "utf-16": body.encode("utf-16"),
        "latin-1": body.replace("planner", "plann\xe9r").encode("latin-1"),
        "overlong-utf-8": body.encode().replace(b"planner", b"plann\xc1\xa5r"),
        "surrogate": body.encode().replace(b"planner", b"\xed\xa0\x80"),
        "nul-byte": body.encode() + b"\0",
        "control-character": body.encode().replace(b"planner", b"plan\nner"),
        "nan": f'{{"x":NaN,{body[1:]}'.encode(),
        "infinity": f'{{"x":-Infinity,{body[1:]}'.encode(),
        "hexadecimal": f'{{"x":0x10,{body[1:]}'.encode(),
        "leading-zero": f'{{"x":01,{body[1:]}'.encode(),
        "deep": f'{{"x":{"[" * deep}{"]" * deep},{body[1:]}'.encode(),
        "deep-objects": f'{{"x":{(chr(123) + chr(34) + "a" + chr(34) + ":") * 9_000}1{"}" * 9_000},{body[1:]}'.encode(),
        "huge-number": f'{{"x":{"9" * 9_000},{body[1:]}'.encode(),
        "huge-exponent": f'{{"x":1e999999999,{body[1:]}'.encode(),
    }.items():
        yield Case(f"json/{label}", make.raw(head.encode(), data))
    for label, data in {
        "array": b"[]",
        "text": b'"alg"',
        "not-json": b"header",
        "more-after": head.encode() + b"x",
        "byte-order-mark": b"\xef\xbb\xbf" + head.encode(),
        "utf-16": head.encode("utf-16"),
        "comment": f"{head[:-1]}/**/}}".encode(),
        "empty-object": b"{}",
        "deep": f'{{"x":{"[" * 9_000}{"]" * 9_000},{head[1:]}'.encode(),
    }.items():
        yield Case(f"json/header-{label}", make.raw(data, body.encode()))


def _spelling(make: Maker) -> Iterator[Case]:
    token = make.token()
    head, payload, signed = token.split(".")

    def turned(part: str) -> str:
        """Return another spelling of the last character: the same bytes, with unused bits set."""
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return part[:-1] + letters[letters.index(part[-1]) | 1]

    standard = make.token(claims={"x": "\u00fb\u00ff\u00be" * 20})
    parts = standard.split(".")
    for label, text in {
        "padded-header": f"{head}{'=' * (-len(head) % 4)}.{payload}.{signed}"
        if len(head) % 4
        else f"{head}=.{payload}.{signed}",
        "padded-payload": f"{head}.{payload}{'=' * (-len(payload) % 4) or '='}.{signed}",
        "padded-signature": f"{token}{'=' * (-len(signed) % 4) or '='}",
        "much-padding": f"{token}========",
        "standard-base64-signature": f"{head}.{payload}.{signed.replace('-', '+').replace('_', '/')}+",
        "unused-bits-in-signature": f"{head}.{payload}.{turned(signed)}",
        "newline-after": f"{token}\n",
        "blank-before": f" {token}",
        "newline-within": f"{head}.{payload[:20]}\n{payload[20:]}.{signed}",
        "blank-in-signature": f"{head}.{payload}.{signed[:20]} {signed[20:]}",
        "dot-after": f"{token}.",
        "dot-before": f".{token}",
        "two-parts": f"{head}.{payload}",
        "one-part": head,
        "four-parts": f"{token}.{signed}",
        "five-parts": f"{token}.{signed}.{signed}",
        "empty": "",
        "dots": "..",
        "no-header": f".{payload}.{signed}",
        "no-payload": f"{head}..{signed}",
        "no-signature": f"{head}.{payload}.",
        "bearer": f"Bearer {token}",
        "flattened-json": json.dumps({"protected": head, "payload": payload, "signature": signed}),
        "general-json": json.dumps(
            {"payload": payload, "signatures": [{"protected": head, "signature": signed}]}
        ),
        "percent": token.replace(".", "%2E"),
        "quoted": f'"{token}"',
        "other-alphabet-in-payload": f"{parts[0]}.{parts[1].replace('-', '+').replace('_', '/')}.{parts[2]}"
        if set(parts[1]) & {"-", "_"}
        else f"{parts[0]}.{parts[1]}+.{parts[2]}",
        "letter-beyond-ascii": f"{head}.{payload}é.{signed}",
        "nul-after": f"{token}\0",
        "twice": token + token,
        "256-kib": f"{head}.{encode(_payload(make, x='x' * 196_608))}.{signed}",
    }.items():
        yield Case(f"spelling/{label}", text)


def _signatures(make: Maker) -> Iterator[Case]:
    text, _, signed = make.token().rpartition(".")
    good = make.sign(text.encode())
    size = len(good)
    number = int.from_bytes(good)
    body = text.split(".")
    more = _of_algorithm(make, text.encode(), good)
    for label, raw in {
        "truncated": good[:-1],
        "half": good[: size // 2],
        "one-byte": good[:1],
        "byte-after": good + b"\0",
        "byte-before": b"\0" + good,
        "twice": good * 2,
        "first-bit": (number ^ 1 << (8 * size - 1)).to_bytes(size),
        "last-bit": (number ^ 1).to_bytes(size),
        "middle-bit": (number ^ 1 << (4 * size)).to_bytes(size),
        "zeros": bytes(size),
        "ones": b"\xff" * size,
        "one": (1).to_bytes(size),
        "reversed": good[::-1],
        "of-another-key": make.sign(text.encode(), make.keys.other),
        "of-the-payload-alone": make.sign(body[1].encode()),
        "of-nothing": make.sign(b""),
        "of-the-decoded-text": make.sign(json.dumps(make.header).encode() + b"." + _payload(make)),
        "of-another-token": make.sign(f"{body[0]}.{encode(_payload(make, sub='user:eve'))}".encode()),
        "empty-hash": hashlib.sha256(text.encode()).digest(),
        **more,
    }.items():
        yield Case(f"signature/{label}", f"{text}.{encode(raw)}")
    changed = encode(_payload(make, scope="admin:*"))
    yield Case("signature/claims-changed", f"{body[0]}.{changed}.{signed}")
    head = encode(json.dumps({**make.header, "typ": "at+jwt", "x": 1}).encode())
    yield Case("signature/header-changed", f"{head}.{body[1]}.{signed}")


def _of_algorithm(make: Maker, text: bytes, good: bytes) -> dict[str, bytes]:
    """Return the forgeries that only one algorithm has."""
    key = make.keys.good
    if isinstance(key, Ed25519PrivateKey):
        s = int.from_bytes(good[32:], "little")
        identity = b"\x01" + bytes(31)
        return {
            "s-plus-order": good[:32] + (s + ED25519_ORDER).to_bytes(32, "little"),
            "small-order": identity + bytes(32),
            "s-zero": good[:32] + bytes(32),
            "order-as-s": good[:32] + ED25519_ORDER.to_bytes(32, "little"),
        }
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = int.from_bytes(good[:32]), int.from_bytes(good[32:])
        pairs = {
            "order-order": (P256_ORDER, P256_ORDER),
            "zero-order": (0, P256_ORDER),
            "one-one": (1, 1),
            "order-minus-one": (P256_ORDER - 1, P256_ORDER - 1),
            "swapped": (s, r),
            "s-zero": (r, 0),
            "r-zero": (0, s),
        }
        halves = {name: a.to_bytes(32) + b.to_bytes(32) for name, (a, b) in pairs.items()}
        wide = r.to_bytes(33) + s.to_bytes(33)
        return {**halves, "der": utils.encode_dss_signature(r, s), "wide-halves": wide}
    numbers = key.private_numbers()
    n, width = numbers.public_numbers.n, 256
    digest = hashlib.sha256(text).digest()
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    without_null = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest

    def padded(block: bytes, fill: int = width) -> bytes:
        return b"\0\1" + b"\xff" * (fill - 3 - len(block)) + b"\0" + block

    def powered(block: bytes) -> bytes:
        return pow(int.from_bytes(block), numbers.d, n).to_bytes(width)

    assert powered(padded(info)) == good
    short = b"\0\1" + b"\xff" * 8 + b"\0" + info
    return {
        "plus-modulus": (int.from_bytes(good) + n).to_bytes(257),
        "minus-modulus": (n - int.from_bytes(good)).to_bytes(width),
        "the-modulus": n.to_bytes(width),
        "without-null": powered(padded(without_null)),
        "short-padding": powered(short + b"\1" * (width - len(short))),
        "hash-alone": powered(padded(digest)),
        "block-type-2": powered(b"\0\2" + padded(info)[2:]),
        "sha-1": key.sign(text, padding.PKCS1v15(), hashes.SHA1()),
        "sha-512": key.sign(text, padding.PKCS1v15(), hashes.SHA512()),
        "pss": signature(text, key, "PS256"),
        "unpadded-block": padded(info),
    }


def _malleable(make: Maker) -> Iterator[Case]:
    """Yield the second signature that ECDSA allows: the standard accepts it, and so does jitid."""
    if isinstance(make.keys.good, ec.EllipticCurvePrivateKey):
        text, _, _ = make.token().rpartition(".")
        good = make.sign(text.encode())
        other = good[:32] + (P256_ORDER - int.from_bytes(good[32:])).to_bytes(32)
        yield Case("good/other-ecdsa-signature", f"{text}.{encode(other)}", True)


FAMILIES = (_good, _claims, _header, _algorithms, _json, _spelling, _signatures, _malleable)
