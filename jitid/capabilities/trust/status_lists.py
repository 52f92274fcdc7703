"""The status lists of signed tokens (draft-ietf-oauth-status-list), made from the ledger when they are published.

`StatusStore.revoked_places` says which tokens are marked in them. A revocation writes nothing here.

The place of a new token is drawn at random, so that places do not reveal the number of tokens.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import suppress

from jitid.capabilities.trust.signing import current_key_of
from jitid.crypto import status_list as statuslist
from jitid.errors import IntegrityError, JitidError, NotFoundError, StorageError
from jitid.issuers.issuer import Listed
from jitid.keys.keyring import Keyring, Signer, rotating
from jitid.ledger.signing_keys import KeyStore, StatusStore
from jitid.ledger.view import View
from jitid.values import strict_json

FOLDER = "status"
"""The folder of the lists, relative to the address of the publication."""

_ROUNDS = 100


def draw_place(
    snapshot: View, url: str, algorithm: str, expires_at: int, count: int, drawn: set[tuple[int, int]]
) -> list[Listed]:
    """Return `count` free places for tokens that are signed with an algorithm and expire at a time.

    `drawn` has the places of other tokens of the same change; the new places are added to it.

    Raises:
        StorageError: the list is almost full.

    """
    list_ = statuslist.number(expires_at)
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
        "the status list of that expiry day is full; nothing was changed",
        "request a lifetime that ends on another day, or --kind opaque",
    )


def address(url: str, list_: int, algorithm: str) -> str:
    """Return the address of a list."""
    return f"{url}/{FOLDER}/{statuslist.file_name(list_, algorithm)}"


def status_list(
    snapshot: View, keyring: Keyring, url: str, lifetime: int, number: int, algorithm: str
) -> str:
    """Return one status list, signed.

    Raises:
        NotFoundError: there is no list with that number, or no live token can name one with that algorithm.
        IntegrityError: this machine cannot sign it.

    """
    if number not in _numbers(snapshot):
        raise NotFoundError("there is no such status list")
    if algorithm not in _algorithms(snapshot):
        raise NotFoundError("there is no status list with that algorithm")
    signer = _signer(snapshot, keyring, algorithm)
    return _signed(signer, snapshot.now, lifetime, url, number, _packed(snapshot, number))


def signed_lists(
    snapshot: View, keyring: Keyring, url: str, lifetime: int
) -> Generator[tuple[str, str], None, dict[str, JitidError]]:
    """Yield the name and the text of each list that live tokens may name, one for each algorithm.

    Return, by algorithm, why its lists could not be signed: the other lists must not wait for them.
    """
    signers: dict[str, Signer] = {}
    failures: dict[str, JitidError] = {}
    for algorithm in _algorithms(snapshot):
        try:
            signers[algorithm] = _signer(snapshot, keyring, algorithm)
        except JitidError as error:
            failures[algorithm] = error
    for number in sorted(_numbers(snapshot)):
        packed = _packed(snapshot, number)
        for algorithm, signer in signers.items():
            if algorithm in failures:
                continue
            try:
                text = _signed(signer, snapshot.now, lifetime, url, number, packed)
            except JitidError as error:
                failures[algorithm] = error
                continue
            yield f"{FOLDER}/{statuslist.file_name(number, algorithm)}", text
    return failures


def _numbers(snapshot: View) -> set[int]:
    """Return the lists that live tokens may name, now or soon."""
    oldest, today = statuslist.number(snapshot.now - BEHIND), statuslist.number(snapshot.now)
    return {*range(oldest, today + AHEAD + 1), *StatusStore(snapshot).lists(oldest)}


def _packed(snapshot: View, number: int) -> str:
    # One list at a time, with one bit for each place: two megabytes for any number of tokens.
    bits = bytearray(statuslist.PLACES // 8)
    for position in StatusStore(snapshot).revoked_places(number):
        bits[position >> 3] |= 1 << (position & 7)
    return statuslist.encode(bits)


def _signed(signer: Signer, now: int, lifetime: int, url: str, number: int, packed: str) -> str:
    uri = address(url, number, signer.algorithm)
    claims = statuslist.claims(uri, now, lifetime, packed)
    text = statuslist.signing_input(claims, signer.kid, signer.algorithm)
    return f"{text}.{strict_json.b64url(signer.sign(text.encode()))}"


AHEAD = 7
"""The number of days for which lists are published ahead: a token must not name a list that does not exist yet."""
BEHIND = 3_600
"""Seconds that a list stays after the expiry of its last token: clocks differ."""


def lacking(snapshot: View, keyring: Keyring) -> list[str]:
    """Return the algorithms of lists for which this machine has no key yet, and may make one."""
    found = []
    for algorithm in _algorithms(snapshot):
        with suppress(IntegrityError):
            if current_key_of(snapshot, keyring, algorithm) is None:
                found.append(algorithm)
    return found


def _algorithms(snapshot: View) -> list[str]:
    """Return the algorithms of the tokens that may be live, whichever machine signed them."""
    store = KeyStore(snapshot)
    used = {key.algorithm for key in store.signing_keys() if key.use == "jws" and store.is_needed(key)}
    return sorted(used, reverse=True)


def _signer(snapshot: View, keyring: Keyring, algorithm: str) -> Signer:
    """Return the signer of the lists with an algorithm. Raises IntegrityError if this machine has no such key."""
    key = current_key_of(snapshot, keyring, algorithm)
    if key is None:
        raise IntegrityError(
            f"this machine has no {algorithm} key", f"to make one: {rotating('jws', algorithm)}"
        )
    return keyring.load(key.kid, key.algorithm, key.public)
