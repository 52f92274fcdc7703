"""The life of signing keys: rotated, revoked when leaked, published as long as something they signed can be alive."""

from __future__ import annotations

from typing import Any, NamedTuple

from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.trust.signing import new_key
from jitid.crypto import jws
from jitid.errors import JitidError, NotFoundError, UsageError
from jitid.keys.keyring import USES, Keyring, Signer, rotating
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import State
from jitid.model.ledger_rows import Names, Radius, Selection, SigningKey
from jitid.values.text import check_text, quote

HERE = "none"
"""Said in the place of a target: the key is in a file of ours."""


class KeyChange(NamedTuple):
    """What happened to the keys."""

    kid: str
    """The key that signs now, or the one that was revoked."""
    successor: str | None
    retired: tuple[str, ...]
    """Keys whose private halves are of no more use."""
    radius: Radius | None
    """What ended with a revoked key."""
    event: int | None
    unproved: str | None = None
    """Why it is not proved that the ledger refuses what leaked of it; None where that was done."""


def rotate(
    transaction: Transaction,
    names: Names,
    keyring: Keyring,
    algorithm: str,
    use: str = "jws",
    transit: str | None = None,
) -> KeyChange:
    """Make a new key for `algorithm` and that use.

    The one that is here signs nothing more, and still verifies what it signed. The new one is where the old one was,
    or where `transit` says: `TARGET/KEY` of a transit engine, or `none` for a file.

    Raises:
        UsageError: keys for that use have another algorithm.
        StorageError: the new key cannot be written, or its target is out of reach; nothing was changed.

    """
    if transit is not None and use != "jws":
        raise UsageError(f"a key for {use} is in a file, and not at a target; nothing was changed")
    if algorithm not in USES[use]:
        raise UsageError(f"keys for {use} are not for {quote(algorithm)}; nothing was changed")
    retired = []
    known = KeyStore(transaction).signing_keys()
    for key in known:
        # Other machines go on with theirs.
        if (key.use, key.algorithm) != (use, algorithm) or not key.signs:
            continue
        if is_under_a_root(key):
            raise UsageError(
                "the X.509 authority is under a root, and another one must be too; nothing was changed",
                "ask for its certificate: jitid keys request",
            )
        if keyring.holds(key.kid):
            KeyChanges(transaction).end_key(key.key, revoked=False)
            retired.append(key.kid)
    kids = {key.kid for key in known}

    def make() -> Signer:
        if transit is not None and transit != HERE:
            return keyring.adopt(transit, algorithm, kids)
        if transit is None and retired:
            return keyring.create_beside(retired[-1], algorithm, kids)
        return keyring.create(algorithm)

    key, facts = new_key(transaction, names, keyring, algorithm, use, make)
    event = transaction.append("key-rotate", {**facts, "retired": retired or None})
    return KeyChange(key.kid, None, tuple(retired), None, event.seq)


def revoke(
    transaction: Transaction, names: Names, keyring: Keyring, kid: str, reason: str | None, most: int | None
) -> KeyChange:
    """End at once all that a leaked key signed, with what descends from it; another key signs from now on.

    Raises:
        NotFoundError: this ledger never had such a key.
        UsageError: more than `most` credentials would end; nothing was changed.

    """
    if reason is not None:
        check_text(reason, "the reason")
    key = find(transaction, kid)
    selection = Selection(kids=(kid,))
    if most is not None:
        revocation.guard(CredentialStore(transaction).measure(selection), most)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    if key.revoked_at is not None and not radius.credentials:
        return KeyChange(kid, None, (), radius, None)
    # The event comes before the successor's, since the members point to the number that was next.
    event = transaction.append(
        "key-revoke", {"kid": kid, "reason": reason, "count": radius.credentials, "ended": digest}
    )
    KeyChanges(transaction).end_key(key.key, revoked=True)
    successor = None
    if key.signs and keyring.holds(key.kid) and not is_under_a_root(key):
        kids = {each.kid for each in KeyStore(transaction).signing_keys()}
        try:
            successor, facts = new_key(
                transaction,
                names,
                keyring,
                key.algorithm,
                key.use,
                lambda: keyring.create_beside(key.kid, key.algorithm, kids),
            )
        except JitidError:
            # That its target is out of reach must not keep a leaked key alive: what it signed ends all the same.
            if keyring.elsewhere(key.kid) is None:
                raise
        else:
            transaction.append("key-create", facts)
    return KeyChange(kid, successor.kid if successor else None, (kid,), radius, event.seq)


def spent(snapshot: View) -> list[str]:
    """Return the ids of the keys whose private halves are of no more use.

    An authority that was retired still signs which of its certificates are revoked, as long as one has not expired.
    """
    return [
        key.kid
        for key in KeyStore(snapshot).signing_keys()
        if key.retired_at is not None and not still_tells(snapshot, key)
    ]


def still_tells(snapshot: View, key: SigningKey) -> bool:
    """Tell whether a key must sign which of its certificates are revoked."""
    if key.use != "x509" or key.certificates is None or key.revoked_at is not None:
        return False
    return key.retired_at is None or (KeyStore(snapshot).last_expiry_signed_by(key.key) or 0) > snapshot.now


def replacing(key: SigningKey) -> str:
    """Return the command that puts another key in the place of one."""
    return "jitid keys request" if is_under_a_root(key) else rotating(key.use, key.algorithm)


def is_under_a_root(key: SigningKey) -> bool:
    """Tell whether a key is an authority that another one has certified."""
    if key.certificates is None:
        return False
    from jitid.crypto.der import split

    return len(split(key.certificates)) > 1


def find(snapshot: View, kid: str) -> SigningKey:
    """Return the key of that id.

    Raises:
        NotFoundError: this ledger never had such a key.

    """
    key = next((key for key in KeyStore(snapshot).signing_keys() if key.kid == kid), None)
    if key is None:
        raise NotFoundError(
            f"this ledger never had a key {quote(kid)}; nothing was changed", "see: jitid keys list"
        )
    return key


def published(snapshot: View) -> dict[str, Any]:
    """Return the JWKS (RFC 7517, section 5): every key that something live may be signed by, none that was revoked."""
    keys = [
        jws.public_jwk(key.algorithm, key.public, key.kid)
        for key in KeyStore(snapshot).signing_keys()
        if key.use == "jws"
        and key.revoked_at is None
        and (
            key.retired_at is None
            or (KeyStore(snapshot).latest_expiry_signed_by(key.key) or 0) > snapshot.now
        )
    ]
    return {"keys": keys}
