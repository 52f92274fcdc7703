"""Draw the place of a new token in a status list at random, so that places do not reveal the number of tokens."""

from __future__ import annotations

import os

from jitid.crypto import status_list
from jitid.errors import StorageError
from jitid.issuers.issuer import Listed
from jitid.ledger.status_list_store import StatusStore
from jitid.ledger.view import View

FOLDER = "status"
"""The folder of the lists, relative to the address of the publication."""

_ROUNDS = 100


def draw(
    snapshot: View, url: str, algorithm: str, expires_at: int, count: int, drawn: set[tuple[int, int]]
) -> list[Listed]:
    """Return `count` free places for tokens that are signed with an algorithm and expire at a time.

    `drawn` has the places of other tokens of the same change; the new places are added to it.

    Raises:
        StorageError: the list is almost full.

    """
    list_ = status_list.number(expires_at)
    uri = address(url, list_, algorithm)
    listed: list[Listed] = []
    for _ in range(_ROUNDS):
        raw = os.urandom(3 * (count - len(listed)))
        indexes = {int.from_bytes(raw[offset : offset + 3]) for offset in range(0, len(raw), 3)}
        for index in indexes - StatusStore(snapshot).taken(list_, indexes):
            if (list_, index) not in drawn:
                drawn.add((list_, index))
                listed.append(Listed(list_, index, uri))
        if len(listed) == count:
            return listed
    raise StorageError(
        "the status list of the tokens that expire on that day is full; nothing was changed",
        "ask for a lifetime that ends on another day, or for --kind opaque",
    )


def address(url: str, list_: int, algorithm: str) -> str:
    """Return the address of a list."""
    return f"{url}/{FOLDER}/{status_list.file_name(list_, algorithm)}"
