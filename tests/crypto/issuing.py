"""`id-token`: the program by which a transcript gets ID tokens, an issuer for any subject."""

from __future__ import annotations

import json
import sys
import time

from tests.crypto.signed import ED25519, jwk, token

ISSUER = "https://id.example"


def main() -> None:
    """Print the issuer's key set (`--keys`), or an ID token of the given subject that is valid for ten minutes."""
    (what,) = sys.argv[1:]
    if what == "--keys":
        print(json.dumps({"keys": [jwk(ED25519, kid="k1")]}))
        return
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "jitid", "sub": what, "iat": now, "exp": now + 600}
    print(token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims, ED25519))
