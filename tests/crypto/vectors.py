"""Published test vectors, read from `tests/vectors`."""

import base64
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "vectors"


def load(path: str) -> Any:
    """Return the vectors of one file."""
    return json.loads((FOLDER / path).read_text(encoding="utf-8"))


def jws_cases() -> list[tuple[int, str, str, dict[str, Any]]]:
    """Return Wycheproof's JWS cases: number, label, token and its key.

    Labels that contradict a strict verifier are corrected, for the reasons in `overrides.json`.
    """
    overrides = load("wycheproof/overrides.json")
    cases = []
    for group in load("wycheproof/json_web_signature_test.json")["testGroups"]:
        key = group.get("public") or group["private"]
        for test in group["tests"]:
            corrected = overrides.get(str(test["tcId"]), {"want": test["result"]})
            cases.append((test["tcId"], corrected["want"], test["jws"], key))
    return cases


def ed25519_cases() -> list[tuple[int, str, bytes, bytes, bytes]]:
    """Return Wycheproof's Ed25519 cases: number, label, public key, message and signature."""
    return [
        (
            test["tcId"],
            test["result"],
            bytes.fromhex(group["publicKey"]["pk"]),
            bytes.fromhex(test["msg"]),
            bytes.fromhex(test["sig"]),
        )
        for group in load("wycheproof/ed25519_test.json")["testGroups"]
        for test in group["tests"]
    ]


def json_cases() -> list[tuple[str, bytes]]:
    """Return the JSON parsing suite: file name and content."""
    return [(test["file"], _content(test)) for test in load("json-parsing/jsontestsuite.json")["tests"]]


def _content(test: dict[str, Any]) -> bytes:
    if "b64" in test:
        return base64.b64decode(test["b64"])
    # The longest tests repeat one piece.
    head, length = base64.b64decode(test["head_b64"]), int(test["len"])
    return (head * (length // len(head) + 1))[:length]


def ranges(text: str) -> set[int]:
    """Read `1-3 7` as {1, 2, 3, 7}."""
    numbers: set[int] = set()
    for part in text.split():
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
