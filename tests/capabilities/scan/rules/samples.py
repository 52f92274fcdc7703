"""A repository with jitid tokens as people leave them, with decoys that only look similar, and with a history."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from jitid.redaction.token_format import DIGITS, OPAQUE_PREFIX, SIGNED_MARK


class Left(NamedTuple):
    """The place where a token was left."""

    token: str
    place: str
    line: int
    gone: bool = False
    """Whether it is only in the history."""


def leave(folder: Path, tokens: Sequence[str], git: str) -> list[Left]:
    """Write tokens into files of a new repository, in alternating manners; return their places."""
    done = [git, "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run([*done, "init", "-q"], check=True)
    left: list[Left] = []
    files: dict[str, str] = {}
    for number, token in enumerate(tokens):
        manner = list(_written(token))[number % len(list(_written(token)))]
        place = f"src/{number:02}{manner.suffix}"
        files[place] = manner.text
        before = manner.text[: manner.text.index(token)]
        left.append(Left(token, place, before.count("\n") + 1))
    # The second commit removes the last third.
    for one in left[-len(left) // 3 :]:
        left[left.index(one)] = one._replace(gone=True)
    for place, text in files.items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(text)
    (folder / "decoys.txt").write_text("\n".join(decoys()) + "\n")
    subprocess.run([*done, "add", "."], check=True)
    subprocess.run([*done, "commit", "-q", "-m", "with"], check=True)
    for one in left:
        if one.gone:
            (folder / one.place).write_text("cleaned\n")
    subprocess.run([*done, "commit", "-q", "-a", "-m", "without"], check=True)
    return left


class _Manner(NamedTuple):
    suffix: str
    text: str


def _written(token: str) -> Iterator[_Manner]:
    yield _Manner(".json", json.dumps({"a": {"b": [1, {"token": token}]}}, indent=2))
    yield _Manner(".yaml", f"kind: Secret\nstringData:\n  token: {token}\n")
    yield _Manner(".sh", f"#!/bin/sh\nset -e\nexport JITID_TOKEN='{token}'\ncurl x\n")
    yield _Manner(".env", f"TOKEN={token}\n")
    yield _Manner(
        ".min.js", "".join(f'var a{n}="{n}";' for n in range(2_000)) + f't="{token}";' + "f();" * 900
    )
    yield _Manner(".md", f"Use `{token}`, they said.\n")
    yield _Manner(".log", f"GET /x?access_token={token}&y=1 HTTP/1.1\nGET /z?q=a%3D{token}%26\n")
    yield _Manner(".py", f'HEADERS = {{"Authorization": "Bearer {token}"}}\n')
    yield _Manner(".txt", f"user:{token}@host and more_{token}\n")


def decoys() -> Iterator[str]:
    """Yield decoys that look like jitid tokens, one per line. Only the checksum distinguishes the first one."""
    yield mistyped()
    yield OPAQUE_PREFIX + DIGITS[:31]
    yield "jitid_documentation_of_all_that_there_is_to_be_told"
    yield "jti_06h1aiitt1uth497rfm6cf91kk jid_06h1aiitt1vd13gtq7uqt1g1rg"
    yield _signed({"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890"}, 32)
    yield _signed({"alg": "EdDSA", "typ": "JWT"}, {"sub": "1234567890"}, 64)
    yield f"{SIGNED_MARK}MDZoMWFpaXR0MXV0aDQ5N3JmbTZjZjkxa2siLCJhY3Qi"
    yield b64encode(bytes(range(256))).decode()
    yield quote("ghp_") + "a" * 36


def mistyped() -> str:
    """Return an opaque token with the checksum of another token."""
    return OPAQUE_PREFIX + DIGITS[10:42] + "000000"


def _signed(header: object, claims: object, length: int) -> str:
    parts = (json.dumps(header, separators=(",", ":")), json.dumps(claims, separators=(",", ":")))
    encoded = [urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, urlsafe_b64encode(bytes(length)).rstrip(b"=").decode()])
