"""Signing keys: private halves in separate files or at a target, public halves in the ledger forever."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitid.crypto import jws
from jitid.errors import ConfigurationError, IntegrityError, JitidError, OutputError, StorageError
from jitid.system.files import check_private, sync_folder, write_private
from jitid.values.record import Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


_SEED_BYTES = 32
MAX_KEY = 2_048
"""The maximum length of a key's file: that of an RSA key has about 1,220 bytes."""
_PKCS8 = bytes.fromhex("020100300d06092a864886f70d01010105000482")
"""The beginning of an RSA key in PKCS#8, after its tag and length: version and algorithm (RFC 5958, section 2)."""
_PENDING = ".first"
_PROBE = b"jitid: is this the key"

USES: Mapping[str, tuple[str, ...]] = {
    "jws": ("EdDSA", "ES256", "RS256"),
    "x509": ("ES256",),
    "ssh": ("EdDSA",),
}
"""The uses of keys, each with its algorithms, the default first. A key has only one use."""


def rotating(use: str, algorithm: str) -> str:
    """Return the command that replaces the key of a use and algorithm."""
    for_use = "" if use == "jws" else f" --use {use}"
    return f"jitid keys rotate{for_use}{'' if algorithm == USES[use][0] else f' --algorithm {algorithm}'}"


class Signer:
    """A private key that signs; its `repr` shows only the key id."""

    def __init__(
        self, kid: str, algorithm: str, public: bytes, sign: Callable[[bytes], bytes], private: object = None
    ) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.public = public
        self.private: Any = private
        """The `cryptography` object of the key, for code that builds certificates."""
        self.sign = sign
        """Signs bytes in the form of JWS (`jws.SIGNATURE_SIZES`): for ES256 the halves (RFC 7518, section 3.4)."""
        self.sign_all: Callable[[Sequence[bytes]], list[bytes]] | None = None
        """Signs many messages in one request; set only for a key at a target."""
        self.elsewhere: str | None = None
        """The target that keeps it, `TARGET/KEY`; None for a key in a file."""

    def __repr__(self) -> str:
        return f"Signer({self.kid!r})"


class Elsewhere(Record):
    """The location of a private key that the transit engine of a target keeps and uses."""

    place: str
    """`TARGET/KEY`."""
    version: int

    @property
    def text(self) -> bytes:
        """The text of the key's file; its length always differs from that of a key itself."""
        text = f"transit 1 {self.place} {self.version}\n".encode()
        return text if len(text) != _SEED_BYTES else text + b"\n"

    @classmethod
    def parse(cls, text: bytes) -> Elsewhere | None:
        """Return the location in the file of a key; None if the file has the key itself, or is damaged."""
        words = text.split()
        if len(text) == _SEED_BYTES or len(words) != 4 or words[:2] != [b"transit", b"1"]:
            return None
        try:
            return cls(words[2].decode(), int(words[3]))
        except ValueError:
            return None


class KeepsNoKeysError(ConfigurationError):
    """A target of a kind that has no transit engine."""


class Keyring:
    """The private keys in one folder: a file for each, with mode 0600 and named by key id.

    A file has the 32 raw bytes of the key, an RSA key in PKCS#8 (DER, RFC 5958), or the location of the key at a
    target.
    """

    def __init__(self, folder: str, *, others: bool = False) -> None:
        """Use a folder; `others` means that the ledger is shared with machines that have their own keys."""
        self._folder = self.folder = folder
        self.others = others
        self.transit: Callable[[str], Engine] | None = None
        """Opens the target with a given name, for keys that never leave it."""
        self._signers: dict[str, Signer] = {}

    def path(self, kid: str) -> str:
        """Return the path of the private half of a key, whether or not it exists."""
        return os.path.join(self._folder, kid)

    def holds(self, kid: str) -> bool:
        """Return whether the private half of a key is or should be here: if the ledger is not shared, all should be."""
        return not self.others or kid in self._signers or os.path.lexists(self.path(kid)) or self.confirm(kid)

    def must_be_for(self, ledger_kids: Collection[str]) -> None:
        """Check that this folder has no keys of another ledger.

        `ledger_kids` are the ids of all keys that this ledger ever had.

        Raises IntegrityError if the folder has keys, but none of this ledger.
        """
        folder_kids = key_names(self._folder) if self.others else []
        if folder_kids and not set(folder_kids) & set(ledger_kids):
            raise IntegrityError(
                f"the keys in {self._folder} belong to another ledger; no key was made and nothing was changed",
                "use a separate folder for this ledger: JITID_HOME=DIR, or the setting `home`",
            )

    def confirm(self, kid: str) -> bool:
        """Rename the file of a key that was made before its ledger, and return whether there is such a key.

        The caller does this once the ledger has recorded the key.

        Raises StorageError if the folder cannot be written.
        """
        if not os.path.lexists(self._pending(kid)):
            return False
        try:
            os.rename(self._pending(kid), self.path(kid))
            sync_folder(self._folder)
        except FileNotFoundError:
            # Another process was quicker.
            return os.path.lexists(self.path(kid))
        except OSError as error:
            raise StorageError(f"cannot rename the signing key {self.path(kid)}: {error.strerror}") from error
        return True

    def _pending(self, kid: str) -> str:
        return os.path.join(self._folder, f".{kid}{_PENDING}")

    @property
    def signs_at_targets(self) -> bool:
        """Whether a loaded key is kept by a target: each of its signatures is a request to that target."""
        return any(signer.elsewhere is not None for signer in self._signers.values())

    def names(self) -> list[str]:
        """Return the names of all files in the folder of the private keys.

        Raises IntegrityError if the folder is missing or a link, or cannot be read.
        """
        if self.others and not os.path.lexists(self._folder):
            return []
        if os.path.islink(self._folder):
            check_private(self._folder, "the folder of the signing keys")
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                return sorted(os.listdir(descriptor))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise IntegrityError(
                f"cannot read the folder of the signing keys, {self._folder}: {error.strerror}",
                "restore the folder from a backup",
            ) from error

    def create(self, algorithm: str, *, first: bool = False) -> Signer:
        """Make a key, write it durably, and return its signer.

        Args:
            algorithm: `EdDSA` (Ed25519, RFC 8037), `ES256` (P-256, RFC 7518) or `RS256` (RSA, RFC 7518).
            first: whether the ledger does not exist yet; then the key's file stays hidden until `confirm`.

        Raises:
            StorageError: the file cannot be written.

        """
        drawn = draw(algorithm)
        signer = drawn.signer
        try:
            write_private(self._pending(signer.kid) if first else self.path(signer.kid), drawn.secret)
        except OutputError as error:
            raise StorageError(error.message) from error
        self._signers[signer.kid] = signer
        return signer

    def keep(self, drawn: DrawnKey, ledger_kids: Collection[str]) -> Signer:
        """Write a drawn key durably, and return its signer; its file stays hidden until `confirm`.

        The caller holds the ledger's write lock. `ledger_kids` are the ids of all its keys. A hidden key without
        a row is of a transaction that was rolled back, or of a killed process; its file is removed.

        Raises StorageError if the folder cannot be written.
        """
        signer = drawn.signer
        try:
            for name in os.listdir(self._folder) if os.path.lexists(self._folder) else []:
                if is_pending(name) and name[1 : -len(_PENDING)] not in ledger_kids:
                    os.unlink(os.path.join(self._folder, name))
            write_private(self._pending(signer.kid), drawn.secret)
        except OSError as error:
            raise StorageError(f"cannot write a signing key into {self._folder}: {error.strerror}") from error
        except OutputError as error:
            raise StorageError(error.message) from error
        return signer

    def adopt(self, target_and_key: str, algorithm: str, known_kids: Collection[str]) -> Signer:
        """Make a key at a target, `TARGET/KEY`, a signing key from now on, and return its signer.

        Raises like `choose`, and StorageError if the file cannot be written.
        """
        chosen = self.choose(target_and_key, algorithm, known_kids)
        signer = chosen.signer
        try:
            write_private(self.path(signer.kid), chosen.secret)
        except OutputError as error:
            raise StorageError(error.message) from error
        self._signers[signer.kid] = signer
        return signer

    def choose(self, target_and_key: str, algorithm: str, known_kids: Collection[str]) -> DrawnKey:
        """Return a key at a target, `TARGET/KEY`, without keeping its location.

        It is a version of the key with a key id that is not in `known_kids`; if there is none, the target makes one.

        Raises:
            UsageError: the target does not exist.
            KeepsNoKeysError: it is of a kind that keeps no keys.
            ConfigurationError: the key is not one for that algorithm.
            StorageError: the target is out of reach.

        """
        target, _, key = target_and_key.partition("/")

        def taken(public: bytes) -> bool:
            kid = jws.thumbprint(algorithm, public)
            return kid.startswith("-") or kid in known_kids

        version = self._transit(target).choose(key, algorithm, taken)
        location = Elsewhere(target_and_key, version.number)
        signer = self._remote(location, jws.thumbprint(algorithm, version.public), algorithm, version.public)
        signer.sign(_PROBE)
        return DrawnKey(signer, location.text)

    def create_in_same_place(self, kid: str, algorithm: str, known_kids: Collection[str]) -> Signer:
        """Make a key in the same location as another one: at its target, or here. Raises like `adopt` and `create`."""
        target_and_key = self.elsewhere(kid)
        return (
            self.create(algorithm)
            if target_and_key is None
            else self.adopt(target_and_key, algorithm, known_kids)
        )

    def elsewhere(self, kid: str) -> str | None:
        """Return the target that keeps a key, `TARGET/KEY`; None for a key that is here, or missing."""
        try:
            location = Elsewhere.parse(self._read(kid))
        except (OSError, JitidError):
            return None
        return None if location is None else location.place

    def load(self, kid: str, algorithm: str, public: bytes) -> Signer:
        """Return the signer of a key that the ledger knows.

        Raises IntegrityError if the file is missing, readable by others, a link, or not the key that the ledger knows.
        """
        signer = self._signers.get(kid)
        if signer is not None:
            return signer
        path = self.path(kid)
        if not os.path.lexists(path):
            # A process may have been killed between recording the key and renaming its file.
            self.confirm(kid)
        try:
            secret = self._read(kid)
        except OSError as error:
            denied = isinstance(error, PermissionError)
            raise IntegrityError(
                f"cannot read the signing key {path}: {(error.strerror or 'error').lower()}; nothing was changed",
                "run the command as the owner of the file; its mode is 0600"
                if denied
                else "restore the folder from a backup, or make a new key: jitid keys rotate",
            ) from error
        location = Elsewhere.parse(secret)
        if location is not None:
            signer = self._signers[kid] = self._remote(location, kid, algorithm, public)
            return signer
        try:
            signer = _signer(algorithm, secret)
        except ValueError:
            signer = None
        if signer is None or signer.public != public or signer.kid != kid:
            raise IntegrityError(
                f"the file {path} does not match the ledger's signing key; nothing was changed",
                "restore the folder from a backup, or make a new key: jitid keys rotate",
            )
        self._signers[kid] = signer
        return signer

    def give(self, other: Keyring, kid: str, algorithm: str, public: bytes) -> None:
        """Copy a private key to another keyring, durably and with mode 0600. Raises like `load` and `create`."""
        self.load(kid, algorithm, public)
        try:
            write_private(other.path(kid), self._read(kid))
        except (OSError, OutputError) as error:
            raise StorageError(f"cannot write the signing key {other.path(kid)}") from error

    def forget(self, kid: str) -> None:
        """Remove a private key that signs nothing more; its public half stays in the ledger."""
        self._signers.pop(kid, None)
        try:
            for path in (self._pending(kid), self.path(kid)):
                with suppress(FileNotFoundError):
                    os.unlink(path)
        except OSError as error:
            raise StorageError(f"cannot remove the retired key {self.path(kid)}: {error.strerror}") from error

    def _read(self, kid: str) -> bytes:
        path = self.path(kid)
        check_private(path, "the signing key")
        # Without O_NONBLOCK, opening a named pipe in its place would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, MAX_KEY + 1)
        finally:
            os.close(descriptor)

    def _remote(self, location: Elsewhere, kid: str, algorithm: str, public: bytes) -> Signer:
        target, _, key = location.place.partition("/")

        def sign_all(messages: Sequence[bytes]) -> list[bytes]:
            return self._transit(target).sign(key, location.version, algorithm, public, messages)

        signer = Signer(kid, algorithm, public, lambda message: sign_all([message])[0])
        signer.sign_all, signer.elsewhere = sign_all, location.place
        return signer

    def _transit(self, target: str) -> Engine:
        if self.transit is None:
            raise ConfigurationError(
                f"the target {target} keeps the signing key, but is not configured here; nothing was changed",
                f"add it to the configuration: [target.{target}]",
            )
        return self.transit(target)

    def __repr__(self) -> str:
        return f"Keyring({self._folder!r})"


class DrawnKey(Record):
    """A new key that is in no file yet; its `repr` has no secret."""

    signer: Signer
    secret: bytes
    """The content of its file: the key, or its location at a target."""

    def __repr__(self) -> str:
        return f"DrawnKey({self.signer!r})"


def draw(algorithm: str) -> DrawnKey:
    """Draw a key without keeping it. An RSA key takes about 100 ms, so no lock should be held meanwhile."""
    while True:
        try:
            secret = _new_rsa_key() if algorithm == "RS256" else os.urandom(_SEED_BYTES)
            signer = _signer(algorithm, secret)
        except ValueError:  # not every 32 bytes are a scalar of P-256
            continue
        # Users type key ids (`keys revoke KID`); a leading dash would make one look like an option.
        if not signer.kid.startswith("-"):
            return DrawnKey(signer, secret)


def is_pending(name: str) -> bool:
    """Return whether a file of that name has a key that the ledger may not have recorded yet, or a part of one."""
    return name.startswith(".") and (name.endswith(_PENDING) or f"{_PENDING}." in name)


def key_names(folder: str) -> list[str]:
    """Return the names of the private keys in a folder; an empty list if the folder does not exist.

    A hidden file does not count as a key: it is incomplete, or its ledger was never made.
    """
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(
            f"cannot read the folder of the signing keys, {folder}: {error.strerror}"
        ) from error


def _signer(algorithm: str, secret: bytes) -> Signer:
    """Return the signer of a private key in the form of its file. Raises ValueError for another form."""
    if algorithm == "RS256":
        return _rsa_signer(secret)
    if len(secret) != _SEED_BYTES:
        raise ValueError(algorithm)
    if algorithm == "EdDSA":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.from_private_bytes(secret)
        public = private.public_key().public_bytes_raw()
        return Signer(jws.thumbprint(algorithm, public), algorithm, public, private.sign, private)
    if algorithm == "ES256":
        return _p256_signer(secret)
    raise ValueError(algorithm)


def uncompressed(key: EllipticCurvePublicKey) -> bytes:
    """Return a point of P-256 as 65 bytes; `cryptography.hazmat.primitives.serialization` would cost start-up."""
    numbers = key.public_numbers()
    return b"\4" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def modulus(key: RSAPublicKey) -> bytes:
    """Return the modulus of an RSA key as 256 bytes. Raises ValueError for a key of another size or exponent."""
    numbers = key.public_numbers()
    if key.key_size != jws.RSA_BITS or numbers.e != jws.RSA_EXPONENT:
        raise ValueError("RS256")
    return numbers.n.to_bytes(jws.RSA_BITS // 8)


def _p256_signer(seed: bytes) -> Signer:
    # Imported here: few ledgers have such a key, and it costs start-up.
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    private = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())
    public = uncompressed(private.public_key())
    scheme: Any = ec.ECDSA(SHA256())

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, scheme))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return Signer(jws.thumbprint("ES256", public), "ES256", public, sign, private)


def _new_rsa_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = rsa.generate_private_key(jws.RSA_EXPONENT, jws.RSA_BITS)
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _rsa_signer(der: bytes) -> Signer:
    # Imported here: few ledgers have such a key, and it costs start-up.
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    if not der.startswith(_PKCS8, 4) or len(der) > MAX_KEY:
        raise ValueError("RS256")
    try:
        # The library's own check proves that two numbers are prime, which takes a hundred times as long as a signature.
        private = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        private = None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError("RS256")  # noqa: TRY004 - the file is damaged, not the call
    numbers = private.private_numbers()
    p, q, e = numbers.p, numbers.q, jws.RSA_EXPONENT
    public = modulus(private.public_key())
    # A signature by a damaged key would disclose its factors.
    exponents_fit = min(p, q) > 1 and e * numbers.dmp1 % (p - 1) == e * numbers.dmq1 % (q - 1) == 1
    if not exponents_fit or p * q != numbers.public_numbers.n or numbers.iqmp * q % p != 1:
        raise ValueError("RS256")
    scheme, digest = padding.PKCS1v15(), SHA256()
    return Signer(
        jws.thumbprint("RS256", public),
        "RS256",
        public,
        lambda message: private.sign(message, scheme, digest),
        private,
    )


class Version(Record):
    """One version of a key of the engine."""

    number: int
    public: bytes
    """In the form of the ledger: see `jws.verify_signature`."""


class Engine(Record):
    """The functions of an engine that the keyring needs; `Transit` of a target of OpenBao supplies them."""

    choose: Callable[[str, str, Callable[[bytes], bool]], Version]
    """Returns the newest unused version of a key. Arguments: name, algorithm, a test whether a public key is used."""
    sign: Callable[[str, int, str, bytes, Sequence[bytes]], list[bytes]]
    """Returns the signature of each message. Arguments: key name and version, algorithm, public key, messages."""
