"""Making the secrets of what was granted: which issuer, which key, which ids."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from jitid.capabilities.issue.plan import Plan
from jitid.capabilities.issue.request import IssueRequest
from jitid.errors import IntegrityError, JitidError
from jitid.issuers.issuer import Ids, Issuer, Minted, Order
from jitid.keys.keyring import Keyring, Signer
from jitid.ledger.retry import change
from jitid.model.credential import Kind, never_made
from jitid.model.ledger_rows import Names, SigningKey
from jitid.values.ids import credential_id, identity_id, new_uuid7s
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger, Snapshot, Transaction

LISTED = frozenset({"jwt", "jwt-svid"})
"""The kinds whose credentials name their place in a status list, where one is published."""


class Mint(NamedTuple):
    """What makes the credentials of one kind, and the key that signs them."""

    issuer: Issuer | None
    """None where a target makes them, once they are recorded."""
    key: SigningKey | None


class Settled(NamedTuple):
    """A request that is granted; what remains is to make and to record its credentials."""

    request: IssueRequest
    plan: Plan
    mint: Mint
    raw: list[tuple[bytes, bytes]]
    names: list[Ids]


def make(settled: Sequence[Settled]) -> list[list[Minted]]:
    """Make the credentials of each request; those of one kind together, so that many are signed at once."""
    # What a target makes is made once it is recorded.
    minted: list[list[Minted]] = [
        [Minted(Secret.unmade(), None, None)] * len(one.names) if one.mint.issuer is None else []
        for one in settled
    ]
    for mint in dict.fromkeys(one.mint for one in settled):
        if mint.issuer is None:
            continue
        positions = [position for position, one in enumerate(settled) if one.mint is mint]
        try:
            made = iter(
                mint.issuer.mint([Order(settled[at].plan.draft, settled[at].names) for at in positions])
            )
        except JitidError as error:
            if error.position is not None:
                error.position = positions[error.position]
            raise
        for at in positions:
            minted[at] = list(islice(made, len(settled[at].names)))
    return minted


def mint_of(kind: Kind, keyring: Keyring, key: SigningKey | None) -> Mint:
    """Return what makes credentials of that kind; a newcomer adds its kind here."""
    match kind:
        case Kind.JWT:
            from jitid.issuers.jwt import JwtIssuer

            assert key is not None
            return Mint(JwtIssuer(keyring.load(key.kid, key.algorithm, key.public)), key)
        case Kind.OPAQUE:
            from jitid.issuers.opaque import OpaqueIssuer

            return Mint(OpaqueIssuer(), None)
        case Kind.JWT_SVID:
            from jitid.issuers.jwt_svid import JwtSvidIssuer

            assert key is not None
            return Mint(JwtSvidIssuer(keyring.load(key.kid, key.algorithm, key.public)), key)
        case Kind.X509_SVID:
            from jitid.issuers.x509_svid import X509SvidIssuer

            assert key is not None
            assert key.certificates is not None
            return Mint(
                X509SvidIssuer(keyring.load(key.kid, key.algorithm, key.public), key.certificates), key
            )
        case Kind.SSH_CERT:
            from jitid.issuers.ssh_cert import SshCertIssuer

            assert key is not None
            return Mint(SshCertIssuer(keyring.load(key.kid, key.algorithm, key.public)), key)
        case Kind.AWS_STS | Kind.POSTGRES_ROLE | Kind.OPENBAO_LEASE | Kind.EXEC:
            return Mint(None, None)
        case Kind.ADOPTED:
            raise never_made()
        case _:
            assert_never(kind)


class Signing(NamedTuple):
    """Which key a kind of credential is signed with."""

    use: str
    algorithm: str


def signing(kind: Kind, algorithm: str) -> Signing | None:
    """Return what credentials of a kind are signed with; `algorithm` is the one that tokens to their audience have.

    None for what nobody signs.
    """
    match kind:
        case Kind.JWT:
            return Signing("jws", algorithm)
        case Kind.JWT_SVID:
            # Federations take no Ed25519 (JWT-SVID, section 2.1).
            return Signing("jws", "ES256")
        case Kind.X509_SVID:
            return Signing("x509", "ES256")
        case Kind.SSH_CERT:
            return Signing("ssh", "EdDSA")
        case _:
            return None


def current_key_of(
    snapshot: Snapshot, keyring: Keyring, algorithm: str, use: str = "jws"
) -> SigningKey | None:
    """Return the key for that use that signs with that algorithm now, if there is one.

    Raises:
        IntegrityError: other machines have such keys of the ledger, and this one has none.

    """
    every = snapshot.signing_keys()
    living = [key for key in every if key.use == use and key.signs]
    held = [key for key in living if keyring.holds(key.kid)]
    if living and not held:
        keyring.must_be_for({key.kid for key in every})
        which = "signing keys" if use == "jws" else f"keys for {use}"
        raise IntegrityError(
            f"none of the ledger's {which} is on this machine, in {keyring.folder}; nothing was changed",
            f"give this machine a key of its own: jitid keys rotate{'' if use == 'jws' else f' --use {use}'}",
        )
    return next((key for key in reversed(held) if key.algorithm == algorithm), None)


def usable_key(
    transaction: Transaction, names: Names, keyring: Keyring, algorithm: str, use: str = "jws"
) -> SigningKey:
    """Return the key that signs now, made on the spot if the ledger has none for that use and algorithm.

    Raises:
        IntegrityError: there was an authority, and there is none now; whom others are to trust is nothing to guess.

    """
    key = current_key_of(transaction, keyring, algorithm, use)
    if key is not None:
        return key
    transaction.alone()
    if use == "x509" and any(key.use == use for key in transaction.signing_keys()):
        raise IntegrityError(
            "the ledger has no X.509 authority that signs now; nothing was changed",
            "import the certificate that was requested: jitid keys import CHAIN; or make another authority: "
            "jitid keys rotate --use x509",
        )
    key, facts = new_key(transaction, names, keyring, algorithm, use)
    transaction.append("key-create", facts)
    return key


def signer_of(ledger: Ledger, keyring: Keyring, algorithm: str) -> Signer:
    """Return what signs tokens with that algorithm now; the key is made if the ledger has none.

    Raises IntegrityError, StorageError.
    """
    with ledger.read() as snapshot:
        key = current_key_of(snapshot, keyring, algorithm)
    if key is None:
        names = ledger.names
        key = change(ledger, lambda transaction: usable_key(transaction, names, keyring, algorithm))
    return keyring.load(key.kid, key.algorithm, key.public)


def new_key(
    transaction: Transaction,
    names: Names,
    keyring: Keyring,
    algorithm: str,
    use: str,
    make: Callable[[], Signer] | None = None,
) -> tuple[SigningKey, dict[str, Any]]:
    """Make a key and record it, one of an X.509 authority as a root by itself; return it and what to tell of it.

    `make` makes it where it is not simply to be in a file.

    Raises:
        IntegrityError: the keys of another ledger are there; nothing was changed.
        StorageError: it cannot be written; nothing was changed.

    """
    keyring.must_be_for({key.kid for key in transaction.signing_keys()})
    signer = keyring.create(algorithm) if make is None else make()
    certificates = None
    if use == "x509":
        from jitid.crypto.x509 import self_signed

        certificates = self_signed(signer.kid, signer.private, names.trust_domain, transaction.now)
    key = transaction.add_key(signer.kid, signer.algorithm, signer.public, use, certificates)
    kept = {} if signer.elsewhere is None else {"kept_by": signer.elsewhere}
    return key, {**told(key), **kept}


def told(key: SigningKey) -> dict[str, Any]:
    """Return what an audit event says of a key; of the usual use nothing."""
    facts: dict[str, Any] = {"kid": key.kid, "algorithm": key.algorithm}
    if key.use != "jws":
        facts["use"] = key.use
    if key.certificates is not None:
        facts["certificates"] = sha256(key.certificates).hexdigest()
    return facts


def names_of(
    snapshot: Snapshot,
    mint: Mint,
    kind: str,
    expires_at: int,
    raw: Sequence[tuple[bytes, bytes]],
    url: str | None,
    drawn: set[tuple[int, int]],
) -> list[Ids]:
    """Return the names of credentials that expire at a time, by their raw ids, with their places in a status list.

    `url` is where such lists are published, if they are; `drawn` are the places that others of this change have.
    """
    if url is None or mint.key is None or kind not in LISTED:
        return [Ids(identity_id(uid), credential_id(jti)) for uid, jti in raw]
    from jitid.capabilities.trust.status_place import draw

    places = draw(snapshot, url, mint.key.algorithm, expires_at, len(raw), drawn)
    return [
        Ids(identity_id(uid), credential_id(jti), place)
        for (uid, jti), place in zip(raw, places, strict=True)
    ]


def are_free(transaction: Transaction, names: Sequence[Ids]) -> bool:
    """Tell whether no other token has got the places of these, which are all in one list."""
    places = [place for _, _, place in names if place is not None]
    return not places or not transaction.statuses.taken(places[0].list, [place.place for place in places])


def placed(names: Sequence[Ids], first: int) -> list[tuple[int, int, int]]:
    """Return the places that credentials have, whose numbers in the ledger begin with `first`, with those."""
    return [
        (place.list, place.place, first + at) for at, (_, _, place) in enumerate(names) if place is not None
    ]


def new_ids(count: int) -> list[tuple[bytes, bytes]]:
    """Return the raw ids of so many identities, each with that of its credential."""
    # The clock only orders the ids; all that is judged by time uses the transaction's own.
    now_ms = time.time_ns() // 1_000_000
    # In order, so that each goes to the end of its index.
    uids = new_uuid7s(now_ms, os.urandom(10), count)
    return list(zip(uids, new_uuid7s(now_ms, os.urandom(10), count), strict=True))
