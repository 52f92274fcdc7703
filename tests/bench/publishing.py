"""The cost of status lists: when a token is issued, when lists are published, and when a list verifies a token."""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from jitid.authority.local import LocalAuthority
from jitid.authority.open_local import open_or_create_local
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.trust import offline
from jitid.capabilities.trust.publish_folder import publish
from jitid.config import effective
from jitid.crypto import status_list
from jitid.ledger.sqlite import folder as ledgers
from jitid.model.ledger_rows import Selection
from jitid.model.request import IssueRequest
from jitid.system.files import sync_folder
from jitid.values import strict_json
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, at_most, duration, in_turns, per_second, rate, seconds

_URL = "https://tokens.example"
_TOKENS = 100_000
_VERIFIED = 200
_FILES = 12
"""The number of published files."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure all three costs."""
    yield from _issuing(place)
    folder = place.new("publishing")
    authority = _publisher(folder)
    tokens = _filled(authority)
    yield from _publishing(place, folder, authority)
    yield from _verifying(place, folder, authority, tokens)
    authority.close()


def _publisher(folder: Path) -> LocalAuthority:
    environ = {"HOME": str(folder), "JITID_PUBLISH_URL": _URL, "JITID_ISSUER": _URL}
    flags = {"ledger": str(folder / "ledger")}
    return open_or_create_local(effective.load(flags=flags, environ=environ), lambda _: None)


def _issuing(place: Ground) -> Iterator[Row]:
    folder = place.new("listed")
    command = ground.Command(folder)
    process = partial(peers.process, folder=folder)
    line = command("-q", "issue", "--task", "INC-4821", "--delegator", "alice")
    published = {**command.environment, "JITID_PUBLISH_URL": _URL}
    process(line, environment=command.environment)
    found = in_turns(
        place.rounds * 3,
        {
            "listed": lambda: process(line, environment=published),
            "plain": lambda: process(line, environment=command.environment),
        },
    )
    yield Row(
        "`issue` with a place in a status list, whole process",
        Series("", found["listed"], duration),
        Series("`issue` without", found["plain"], duration),
        at_most(1.15),
    )


def _filled(authority: LocalAuthority) -> list[str]:
    """Issue many tokens and revoke a tenth of them; return some live ones."""
    tokens: list[str] = []
    for number in range(_TOKENS // 1_000):
        # The credentials fall on one day, or half of them on each of two days: a list is as long in either case.
        request = IssueRequest(task=f"T{number % 10}", delegator="user:a", agent="fixer", copies=1_000)
        (issued,) = ground.issue(authority, [request])
        tokens += [one.secret.reveal() for one in issued.credentials[:1]]
    authority.perform(Revoke(selection=Selection(tasks=("T0",)), most=None))
    return [token for at, token in enumerate(tokens) if at % 10]


def _publishing(place: Ground, folder: Path, authority: LocalAuthority) -> Iterator[Row]:
    numbers = count()
    bare = folder / "bare"
    bare.mkdir()
    found = in_turns(
        place.rounds,
        {
            "publish": lambda: seconds(lambda: publish(authority, str(folder / f"out{next(numbers)}"), 5)),
            "bare": lambda: seconds(lambda: _bare(folder / "ledger" / ledgers.DATABASE, bare)),
        },
    )
    yield Row(
        f"`publish` of {_TOKENS:,} tokens, a tenth of them ended",
        Series("", found["publish"], duration),
        Series("the bare question, `zlib` and as many files", found["bare"], duration),
        at_most(1.5),
    )


def _bare(database: Path, to: Path) -> None:
    """Query the indexes of ended credentials, compress as many lists as are published, and write them durably."""
    db = sqlite3.connect(database)
    asked = db.execute(
        """SELECT s.place FROM status s JOIN credential c ON c.id = s.credential
            WHERE s.list IN (SELECT DISTINCT list FROM status) AND c.ended_at IS NOT NULL"""
    )
    bits = bytearray(status_list.PLACES // 8)
    for (place,) in asked:
        bits[place >> 3] |= 1 << (place & 7)
    db.close()
    for number in range(_FILES):
        _write(to / f"{number}", zlib.compress(bits if number == 0 else bytes(len(bits)), 6))


def _write(path: Path, data: bytes) -> None:
    """Write a file as durably as a published list: to a temporary file, synced, and renamed."""
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    sync_folder(str(path.parent))


def _verifying(place: Ground, folder: Path, authority: LocalAuthority, tokens: list[str]) -> Iterator[Row]:
    out = folder / "verified"
    publish(authority, str(out), 5)
    keys = offline.read_keys((out / "jwks.json").read_bytes())
    now = int(time.time())
    names = {token: offline.named_list(token).removeprefix(f"{_URL}/") for token in tokens}
    texts = {name: (out / name).read_text() for name in set(names.values())}

    def verify() -> None:
        for number in range(_VERIFIED):
            token = tokens[number % len(tokens)]
            offline.verify(token, keys, _URL, [_URL], [texts[names[token]]], now)

    def unpack() -> None:
        (text, *_) = texts.values()
        packed = status_list.encode(status_list.read(text, keys, now).statuses.data)
        data = strict_json.b64url_decode(packed)
        for _ in range(_VERIFIED):
            zlib.decompress(data)

    found = in_turns(
        place.rounds, {"verify": lambda: rate(_VERIFIED, verify), "zlib": lambda: rate(_VERIFIED, unpack)}
    )
    yield Row(
        "a token verified by a status list, each time read anew",
        Series("", found["verify"], per_second),
        Series("`zlib` alone", found["zlib"], per_second),
        at_least(0.3),
    )
