"""Choose the signing key for a credential, and create keys."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.errors import IntegrityError
from jitid.keys.keyring import DrawnKey, Keyring, Signer, draw
from jitid.ledger.contract import change
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.ledger_rows import Names, SigningKey

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


Result = TypeVar("Result")


def current_key_of(snapshot: View, keyring: Keyring, algorithm: str, use: str = "jws") -> SigningKey | None:
    """Return the key for that use that signs with that algorithm now; None if there is none.

    Raises:
        IntegrityError: other machines have such keys of the ledger, and this one has none.

    """
    keys = KeyStore(snapshot).signing_keys()
    live = [key for key in keys if key.use == use and key.signs]
    local_keys = [key for key in live if keyring.holds(key.kid)]
    if live and not local_keys:
        keyring.must_be_for({key.kid for key in keys})
        label = "signing keys" if use == "jws" else f"keys for {use}"
        raise IntegrityError(
            f"this machine has none of the ledger's {label} in {keyring.folder}; nothing was changed",
            f"to make a key for this machine: jitid keys rotate{'' if use == 'jws' else f' --use {use}'}",
        )
    return next((key for key in reversed(local_keys) if key.algorithm == algorithm), None)


class KeyNeededError(Exception):
    """A request that would be granted needs a signing key that the ledger lacks: see `with_keys`."""

    def __init__(self, algorithm: str, use: str) -> None:
        super().__init__(algorithm, use)
        self.algorithm = algorithm
        self.use = use


def usable_key(
    transaction: Transaction,
    names: Names,
    keyring: Keyring,
    algorithm: str,
    use: str = "jws",
    make: Callable[[], Signer] | None = None,
) -> SigningKey:
    """Return the key that signs now; make it if the ledger has none for that use and algorithm.

    `make` makes the key if it must not simply be in a file.

    Raises:
        IntegrityError: there was an X.509 authority, and there is none now; jitid must not choose a new trust anchor.

    """
    key = current_key_of(transaction, keyring, algorithm, use)
    if key is not None:
        return key
    transaction.alone()
    if use == "x509" and any(key.use == use for key in KeyStore(transaction).signing_keys()):
        raise IntegrityError(
            "the ledger has no active X.509 authority; nothing was changed",
            "import the requested certificate: jitid keys ca import CHAIN; or make another authority: "
            "jitid keys rotate --use x509",
        )
    key, facts = new_key(transaction, names, keyring, algorithm, use, make)
    transaction.append("key-create", facts)
    return key


def signer_of(ledger: Ledger, keyring: Keyring, algorithm: str) -> Signer:
    """Return the signer of tokens with that algorithm; make its key if the ledger has none.

    Raises IntegrityError, StorageError.
    """
    with ledger.read() as snapshot:
        key = current_key_of(snapshot, keyring, algorithm)
    if key is None:
        key = make_key(ledger, keyring, algorithm)
    return keyring.load(key.kid, key.algorithm, key.public)


def with_keys(
    ledger: Ledger, keyring: Keyring, work: Callable[[], Result], *, accept_clock: bool = False
) -> Result:
    """Return the result of a change; a signing key that it lacks is made in a separate transaction.

    A refused request makes no key, and no lock is held while a key is drawn. Raises like `work` and `make_key`.
    """
    while True:
        try:
            return work()
        except KeyNeededError as needed:
            make_key(ledger, keyring, needed.algorithm, needed.use, accept_clock=accept_clock)


def make_key(
    ledger: Ledger, keyring: Keyring, algorithm: str, use: str = "jws", *, accept_clock: bool = False
) -> SigningKey:
    """Return the key that signs now; if there is none, make it in a separate transaction.

    The key is drawn before the lock is taken. Its file stays hidden until the ledger has recorded the key.

    Raises IntegrityError, StorageError; if a target keeps the keys, also RefusedError and ConfigurationError.
    """
    names = ledger.names
    while True:
        with ledger.read() as snapshot:
            kids = {key.kid for key in KeyStore(snapshot).signing_keys()}
            target_and_key = location_of_first(snapshot, keyring, algorithm, use)
        drawn = draw(algorithm) if target_and_key is None else keyring.choose(target_and_key, algorithm, kids)
        try:
            key = change(ledger, _keeping(names, keyring, drawn, use), accept_clock=accept_clock)
        except _TakenError:
            continue
        if key.kid == drawn.signer.kid:
            keyring.confirm(key.kid)
        return key


def location_of_first(snapshot: View, keyring: Keyring, algorithm: str, use: str) -> str | None:
    """Return where the first key of an algorithm must be: `TARGET/KEY`; None for a file.

    It follows the key that signs identity tokens and audit heads: where that never leaves a target, no other one
    may lie in a file unless an administrator says so. A key of a target has one algorithm, and so a separate name.
    """
    from jitid.model.signature_algorithm import INSIDE

    if use != "jws" or algorithm == INSIDE:
        return None
    inside = (key for key in KeyStore(snapshot).signing_keys() if (key.use, key.algorithm) == (use, INSIDE))
    kid = next((key.kid for key in inside if key.signs and keyring.holds(key.kid)), None)
    target_and_key = None if kid is None else keyring.elsewhere(kid)
    return None if target_and_key is None else f"{target_and_key}-{algorithm.lower()}"


class _TakenError(Exception):
    """Another machine has meanwhile recorded the key that a target keeps."""


def _keeping(
    names: Names, keyring: Keyring, drawn: DrawnKey, use: str
) -> Callable[[Transaction], SigningKey]:
    def work(transaction: Transaction) -> SigningKey:
        def keep() -> Signer:
            kids = {key.kid for key in KeyStore(transaction).signing_keys()}
            if drawn.signer.kid in kids:
                raise _TakenError
            return keyring.keep(drawn, kids)

        return usable_key(transaction, names, keyring, drawn.signer.algorithm, use, keep)

    return work


def new_key(
    transaction: Transaction,
    names: Names,
    keyring: Keyring,
    algorithm: str,
    use: str,
    make: Callable[[], Signer] | None = None,
) -> tuple[SigningKey, dict[str, Any]]:
    """Make a key and record it; return it with the facts for its audit event.

    The key of an X.509 authority becomes a root. `make` makes a key that must not simply be in a file.

    Raises:
        IntegrityError: the keys of another ledger are there; nothing was changed.
        StorageError: it cannot be written; nothing was changed.

    """
    keyring.must_be_for({key.kid for key in KeyStore(transaction).signing_keys()})
    signer = keyring.create(algorithm) if make is None else make()
    certificates = None
    if use == "x509":
        from jitid.crypto.x509 import self_signed

        certificates = self_signed(signer.kid, signer.private, names.trust_domain, transaction.now)
    key = KeyChanges(transaction).add_key(signer.kid, signer.algorithm, signer.public, use, certificates)
    kept_by = {} if signer.elsewhere is None else {"kept_by": signer.elsewhere}
    return key, {**key_facts(key), **kept_by}


def key_facts(key: SigningKey) -> dict[str, Any]:
    """Return the facts about a key for an audit event; the default use is left out."""
    facts: dict[str, Any] = {"kid": key.kid, "algorithm": key.algorithm}
    if key.use != "jws":
        facts["use"] = key.use
    if key.certificates is not None:
        facts["certificates"] = sha256(key.certificates).hexdigest()
    return facts
