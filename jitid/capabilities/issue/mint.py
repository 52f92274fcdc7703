"""Make the secrets of granted requests: choose their issuer, key and ids."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from itertools import islice

from jitid.capabilities.issue.plan import IssuePlan
from jitid.capabilities.trust.signing import KeyNeededError, current_key_of
from jitid.crypto.jws import SIGNATURE_SIZES
from jitid.errors import JitidError
from jitid.issuers.issuer import Draft, Ids, Issuer, Minted, Order, Signing, spec_of
from jitid.keys.keyring import Keyring, Signer, draw
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import SIGNED, Kind, not_issuable
from jitid.model.ledger_rows import Names, SigningKey
from jitid.model.request import IssueRequest
from jitid.operation.context import Terms
from jitid.values.ids import credential_id, identity_id, new_uuid7s
from jitid.values.record import Record
from jitid.values.secret import Secret

_KID = 43
"""The length of a key id: SHA-256 in base64url."""


class Mint(Record):
    """The issuer of one kind of credential, and the key that signs them."""

    issuer: Issuer | None
    """None if a target makes the credentials, after they are recorded."""
    key: SigningKey | None
    is_rehearsal: bool = False
    """Whether the ledger lacks the key: the credentials only show that they can be made, and nothing is recorded."""


class GrantedRequest(Record):
    """A request that is granted; its credentials must still be made and recorded."""

    request: IssueRequest
    plan: IssuePlan
    mint: Mint
    raw: list[tuple[bytes, bytes]]
    names: list[Ids]


def make(settled: Sequence[GrantedRequest]) -> list[list[Minted]]:
    """Make the credentials of each request; those of one kind together, so that many are signed at once."""
    # A target makes its credentials after they are recorded.
    minted: list[list[Minted]] = [
        [Minted(Secret.placeholder(), None, None)] * len(granted.names) if granted.mint.issuer is None else []
        for granted in settled
    ]
    for mint in dict.fromkeys(granted.mint for granted in settled):
        if mint.issuer is None:
            continue
        positions = [position for position, granted in enumerate(settled) if granted.mint is mint]
        try:
            credentials = iter(
                mint.issuer.mint(
                    [Order(settled[position].plan.draft, settled[position].names) for position in positions]
                )
            )
        except JitidError as error:
            if error.position is not None:
                error.position = positions[error.position]
            raise
        for position in positions:
            minted[position] = list(islice(credentials, len(settled[position].names)))
    return minted


def algorithm_of(kind: str, terms: Terms, draft: Draft, names: Names) -> str:
    """Return the signature algorithm of a credential; unsigned ones have the default.

    Raises UsageError if the audiences have no algorithm in common.
    """
    return terms.algorithm_for(draft, names) if kind in SIGNED else "EdDSA"


def signing_of(kind: Kind, algorithm: str) -> Signing | None:
    """Return the key that signs credentials of a kind, for an audience whose tokens have an algorithm.

    None for unsigned credentials.
    """
    signing = spec_of(kind).signing
    return None if signing is None else signing(algorithm)


def mint_of(kind: Kind, keyring: Keyring, key: SigningKey | None) -> Mint:
    """Return the mint of a kind; `key` is the key of its `signing`. Raises UsageError for adopted secrets."""
    spec = spec_of(kind)
    if spec.target is not None:
        return Mint(None, None)
    if spec.signed is not None:
        assert key is not None
        return Mint(spec.signed(keyring.load(key.kid, key.algorithm, key.public, key.use), key), key)
    if spec.unsigned is None:
        raise not_issuable()
    return Mint(spec.unsigned(), None)


def usable_mint(transaction: Transaction, names: Names, keyring: Keyring, kind: Kind, algorithm: str) -> Mint:
    """Return the mint of a kind and algorithm: a rehearsal if the ledger has no key for it. Raises like `mint_of`."""
    signing = signing_of(kind, algorithm)
    if signing is None:
        return mint_of(kind, keyring, None)
    key = current_key_of(transaction, keyring, signing.algorithm, signing.use)
    return _rehearsal(names, kind, signing, transaction.now) if key is None else mint_of(kind, keyring, key)


def must_be_made(mints: Iterable[Mint]) -> None:
    """Check, after the credentials were made, that no mint is a rehearsal. Raises KeyNeededError."""
    for mint in mints:
        if mint.is_rehearsal:
            assert mint.key is not None
            raise KeyNeededError(mint.key.algorithm, mint.key.use)


def _rehearsal(names: Names, kind: Kind, signing: Signing, now: int) -> Mint:
    """Return a mint whose key is in no file; a request that cannot be met is refused before a key is made for it."""
    algorithm = signing.algorithm
    if algorithm == "RS256":
        # Drawing an RSA key takes long; the lengths of a token do not depend on the key.
        signer = Signer("0" * _KID, algorithm, b"", lambda _: bytes(SIGNATURE_SIZES[algorithm]))
    else:
        signer = draw(algorithm).signer
    certificates = None
    if signing.use == "x509":
        from jitid.crypto.x509 import self_signed

        certificates = self_signed(signer.kid, signer.private, names.trust_domain, now)
    key = SigningKey(0, signer.kid, algorithm, signer.public, now, None, None, signing.use, certificates)
    spec = spec_of(kind)
    assert spec.signed is not None
    return Mint(spec.signed(signer, key), key, is_rehearsal=True)


def names_of(
    snapshot: View,
    mint: Mint,
    kind: str,
    expires_at: int,
    raw: Sequence[tuple[bytes, bytes]],
    url: str | None,
    drawn: set[tuple[int, int]],
) -> list[Ids]:
    """Return the names of credentials that expire at `expires_at`, from raw ids, with their places in a status list.

    `url` is where status lists are published, if they are; `drawn` are the places that other credentials of this
    change have.
    """
    if url is None or mint.key is None or kind not in SIGNED:
        return [Ids(identity_id(uid), credential_id(jti)) for uid, jti in raw]
    from jitid.capabilities.trust.status_lists import draw_place

    status_places = draw_place(snapshot, url, mint.key.algorithm, expires_at, len(raw), drawn)
    return [
        Ids(identity_id(uid), credential_id(jti), listed)
        for (uid, jti), listed in zip(raw, status_places, strict=True)
    ]


def are_free(transaction: Transaction, names: Sequence[Ids]) -> bool:
    """Return whether the places of these names, which are all in one list, are still free."""
    status_places = [listed for _, _, listed in names if listed is not None]
    if not status_places:
        return True
    from jitid.ledger.signing_keys import StatusStore

    return not StatusStore(transaction).taken(
        status_places[0].list, [listed.place for listed in status_places]
    )


def placed(names: Sequence[Ids], first: int) -> list[tuple[int, int, int]]:
    """Return the list and place of each credential, with its number in the ledger; the numbers begin with `first`."""
    return [
        (listed.list, listed.place, first + index)
        for index, (_, _, listed) in enumerate(names)
        if listed is not None
    ]


def new_ids(count: int) -> list[tuple[bytes, bytes]]:
    """Return the raw ids of `count` identities, each with the id of its credential."""
    # The clock only orders the ids; all decisions use the time of the transaction.
    now_ms = time.time_ns() // 1_000_000
    # Ascending ids are appended at the end of an index.
    uids = new_uuid7s(now_ms, os.urandom(10), count)
    return list(zip(uids, new_uuid7s(now_ms, os.urandom(10), count), strict=True))
