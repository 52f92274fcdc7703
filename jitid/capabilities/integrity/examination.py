"""Checks of the ledger and its keys: each is a function that yields results, and an entry of `CHECKS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from shlex import quote as word

from jitid.capabilities.audit import audit_log
from jitid.capabilities.integrity import verify_log
from jitid.capabilities.trust.rotation import replacing, signs_revocation_list
from jitid.capabilities.trust.signing import current_key_of
from jitid.errors import (
    DamagedError,
    IntegrityError,
    JitidError,
    NewerSchemaError,
    StorageError,
)
from jitid.keys.keyring import USES, Keyring, is_pending
from jitid.ledger.contract import Ledger
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite.clock import jumped
from jitid.ledger.sqlite.folder import check_names
from jitid.ledger.view import View
from jitid.model.ledger_condition import (
    Check,
    Named,
    Subject,
    UnexaminedError,
    failure,
    ok,
    unexamined,
    warning,
)
from jitid.model.ledger_rows import Names, SigningKey
from jitid.model.signature_algorithm import INSIDE
from jitid.values.text import number_of
from jitid.values.times import format_duration, format_time

OLD_KEY = 90 * 86_400
"""Seconds after which a signing key should be replaced."""
ENDS_SOON = 30 * 86_400
"""Seconds before the end of an authority's certificate from which a new one should be requested."""

TOLERANCE = 5
"""Seconds that the time mark may be ahead of the clock: machines that share a ledger differ by up to this."""

LEAST_ROOM = 64 << 20
"""Minimum bytes that should be free on the ledger's file system, even for a small ledger."""

RESTORE = "jitid ledger restore --replace BACKUP"

_DAY = 86_400


def perform(checks: Named[Subject], subject: Subject) -> Iterator[Check]:
    """Run each check, even if an earlier check failed."""
    for name, check in checks:
        try:
            yield from check(subject)
        except UnexaminedError as error:
            yield unexamined(name, str(error))
        except JitidError as error:
            yield failure(name, error)
        except OSError as error:
            yield failure(
                name, StorageError(f"operating system error: {(error.strerror or 'error').lower()}")
            )


class _Subject:
    """The input of the checks of a ledger."""

    def __init__(
        self,
        ledger: Ledger,
        keyring: Keyring,
        stated: Mapping[str, str | None],
        head: tuple[str, str] | None,
    ) -> None:
        self.ledger = ledger
        self.keyring = keyring
        self.stated = stated
        self.head = head
        self.condition = ledger.condition()
        self.met: JitidError | None = None
        """The error that a check has met and that the other checks will meet too."""

    @contextmanager
    def read(self) -> Iterator[tuple[View, Names]]:
        """Open a view. Raises UnexaminedError if that fails; another check reports the error."""
        self.check_schema()
        with ExitStack() as stack:
            try:
                names = self.ledger.names
                snapshot = stack.enter_context(self.ledger.read())
            except DamagedError:
                raise
            except IntegrityError as error:
                raise UnexaminedError(error.message) from error
            yield snapshot, names

    def check_schema(self) -> None:
        """Raise UnexaminedError for a schema that this jitid cannot read."""
        try:
            schema = self.condition.schema()
        except DamagedError:
            raise
        except IntegrityError as error:
            raise UnexaminedError(error.message) from error
        if schema.version != schema.known:
            raise UnexaminedError(
                f"the ledger has schema {schema.version}, but this jitid reads only {schema.known}"
            )


def examine(
    ledger: Ledger,
    keyring: Keyring,
    stated: Mapping[str, str | None],
    head: tuple[str, str] | None = None,
) -> list[Check]:
    """Return the results of all checks of a ledger.

    `stated` are the names in the configuration. `head` is a signed audit head that was kept, after its place.
    """
    checks = [(name, partial(_once, check)) for name, check in CHECKS]
    return list(perform(checks, _Subject(ledger, keyring, stated, head)))


def _once(check: Callable[[_Subject], Iterable[Check]], subject: _Subject) -> Iterator[Check]:
    """Run a check. Only the first check that meets a damaged or unreachable ledger reports that."""
    # Waiting for a busy ledger once is enough.
    if isinstance(subject.met, StorageError):
        raise UnexaminedError(subject.met.message)
    try:
        yield from check(subject)
    except (DamagedError, StorageError) as error:
        if subject.met is not None:
            raise UnexaminedError("the ledger is damaged") from error
        subject.met = error
        raise


def _integrity(subject: _Subject) -> Iterator[Check]:
    damage = subject.condition.damage()
    if damage:
        suffix = "" if len(damage) == 1 else ", and more"
        rebuild = subject.condition.reindexing()
        raise DamagedError(
            f"the ledger is damaged: {damage[0]}{suffix}",
            RESTORE
            if rebuild is None
            else f"{RESTORE}; or, if the check `audit` is ok and no program writes: {rebuild}",
        )
    yield ok("integrity", "no damage found")


def _schema(subject: _Subject) -> Iterator[Check]:
    version, known, differences = subject.condition.schema()
    if version > known:
        raise NewerSchemaError(
            f"the ledger has schema {version}, but this jitid knows only up to {known}",
            "upgrade jitid on this machine",
        )
    if version < known:
        yield warning(
            "schema",
            f"schema {version} is older than {known}; any command upgrades it",
            "jitid list",
        )
    elif differences:
        suffix = "" if len(differences) == 1 else ", and more"
        raise IntegrityError(f"the ledger differs from schema {version}: {differences[0]}{suffix}", RESTORE)
    else:
        yield ok("schema", f"schema {version}")
    for remark, repair in subject.condition.remarks():
        yield ok("database", remark) if repair is None else warning("database", remark, repair)


def _names(subject: _Subject) -> Iterator[Check]:
    subject.check_schema()
    names = subject.ledger.names
    check_names(names, subject.stated)
    former = f", formerly {', '.join(names.former)}" if names.former else ""
    yield ok("names", f"issuer {names.issuer}{former}, trust domain {names.trust_domain}")


def _size(subject: _Subject) -> Iterator[Check]:
    subject.check_schema()
    size = subject.condition.size()
    room = "" if size.free is None else f", log {_bytes(size.log)}, {_bytes(size.free)} free"
    detail = (
        f"database {_bytes(size.file)}{room}; {number_of(size.credentials, 'credential')}, "
        f"{number_of(size.tasks, 'task')}, {number_of(size.events, 'event')}"
    )
    if size.free is not None and size.free < max(LEAST_ROOM, size.file + size.log):
        yield warning("size", f"low disk space: {detail}", "free space on its file system")
    else:
        yield ok("size", detail)


def _clock(subject: _Subject) -> Iterator[Check]:
    subject.check_schema()
    now, mark, jump, marked_by = subject.condition.clock()
    if jump:
        raise IntegrityError(
            jumped(jump),
            "correct the clock; if it is correct, add --accept-clock to the next command that writes",
        )
    if mark - now > TOLERANCE:
        yield warning(
            "clock",
            f"the clock is {format_duration(mark - now)} behind {marked_by}",
            "correct the clock",
        )
    else:
        yield ok("clock", f"{format_time(now)}, {marked_by} {format_time(mark)}")


def _keys(subject: _Subject) -> Iterator[Check]:
    with subject.read() as (snapshot, _):
        keys = KeyStore(snapshot).signing_keys()
        crl_signers = {key.kid for key in keys if signs_revocation_list(snapshot, key)}
        now = snapshot.now
        # The last key of such an algorithm is missing here, or was revoked without a successor.
        ended = list(_ended_algorithms(snapshot, subject.keyring))
    # If the folder is a link, this raises an error before any key in it is read.
    key_names = subject.keyring.names()
    subject.keyring.must_be_for({key.kid for key in keys})
    active_keys = [key for key in keys if key.retired_at is None]
    local_keys = [key for key in active_keys if subject.keyring.holds(key.kid)]
    jws_keys = [key for key in local_keys if key.use == "jws"]
    if subject.keyring.others:
        if active_keys and not jws_keys:
            yield warning(
                "keys",
                f"this machine has no key of the ledger in {subject.keyring.folder}: it cannot issue `jwt`",
                "jitid keys rotate",
            )
        elif len(active_keys) > len(local_keys):
            yield ok(
                "keys", f"{number_of(len(active_keys) - len(local_keys), 'further key')} on other machines"
            )
    elif not any(key.algorithm == "EdDSA" for key in jws_keys):
        yield failure(
            "keys", IntegrityError("the ledger has no active EdDSA signing key", "jitid keys rotate")
        )
    for error in ended if jws_keys else ():
        yield failure("keys", error)
    for key in local_keys:
        try:
            yield _key(subject.keyring, key, now)
        except JitidError as error:
            yield failure("keys", error)
        except (TypeError, ValueError, AttributeError):
            # In an edited ledger, a key may have any value.
            yield failure("keys", IntegrityError("a key in the ledger has invalid values", RESTORE))
    for name in key_names:
        if name in crl_signers or name in [key.kid for key in local_keys] or is_pending(name):
            # A hidden key is being made, or its process was killed: the next key that is made removes it.
            continue
        description = (
            "a key that no longer signs" if name in [key.kid for key in keys] else "not a key of this ledger"
        )
        path = subject.keyring.path(name)
        yield warning("keys", f"leftover file: {path} is {description}", f"rm -i {word(path)}")


def _ended_algorithms(snapshot: View, keyring: Keyring) -> Iterator[IntegrityError]:
    for algorithm in USES["jws"]:
        if algorithm == INSIDE and not keyring.others:
            # See above.
            continue
        try:
            current_key_of(snapshot, keyring, algorithm)
        except IntegrityError as error:
            yield error


def _key(keyring: Keyring, key: SigningKey, now: int) -> Check:
    signer = keyring.load(key.kid, key.algorithm, key.public, key.use)
    if signer.elsewhere is not None:
        # The signature is verified with the public key.
        signer.sign(b"jitid doctor")
    age = now - key.created_at
    label = key.algorithm if key.use == "jws" else f"{key.use} {key.algorithm}"
    if age > OLD_KEY:
        return warning("keys", f"{label} {key.kid} is {age // _DAY} days old", replacing(key))
    if key.use == "x509":
        return _authority(key, now)
    location = "" if signer.elsewhere is None else f", kept by {signer.elsewhere}"
    return ok("keys", f"{label} {key.kid} signs since {format_time(key.created_at)}{location}")


def _authority(key: SigningKey, now: int) -> Check:
    if key.certificates is None:
        return warning("keys", f"x509 {key.kid} waits for its certificate", "jitid keys ca import CHAIN")
    from jitid.crypto.der import split
    from jitid.crypto.x509 import ends_at

    expires_at = ends_at(split(key.certificates))
    if expires_at - now < ENDS_SOON:
        message = f"the certificate of x509 {key.kid} expires at {format_time(expires_at)}"
        return warning("keys", message, replacing(key))
    return ok("keys", f"x509 {key.kid} certifies until {format_time(expires_at)}")


def _audit(subject: _Subject) -> Iterator[Check]:
    expected = unreadable = None
    path, signed_head = subject.head or ("", "")
    try:
        with subject.read() as (snapshot, names):
            try:
                if path:
                    expected = audit_log.read_head(signed_head, names, KeyStore(snapshot).signing_keys())
            except audit_log.UnreadableHeadError as error:
                # The log may be valid nevertheless.
                error.message += f" ({path})"
                error.hint = f"mv {word(path)} {word(f'{path}.unreadable')}"
                unreadable = failure("audit", error)
            verified = verify_log.verify(snapshot, names, expected)
    except IntegrityError as error:
        error.hint = error.hint or "compare with an export or a backup: jitid audit verify"
        raise
    yield ok(
        "audit",
        f"the audit chain is intact: {number_of(verified.events, 'event')}, and the ledger's rows agree",
    )
    if verified.cut is not None:
        # This is not damage: the event of the head is in the file that was exported when the log was cut.
        message = f"the head in {path} names event {verified.cut}, which was cut: it proves no event of the present log"
        yield warning("audit", message, "jitid sweep")
    if unreadable is not None:
        yield unreadable


def _bytes(size: int) -> str:
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.1f} {unit}"
    return number_of(size, "byte")


CHECKS: Named[_Subject] = (
    ("integrity", _integrity),
    ("schema", _schema),
    ("names", _names),
    ("size", _size),
    ("clock", _clock),
    ("keys", _keys),
    ("audit", _audit),
)
"""Damage comes first, so that data that is unreadable because of it is not reported as several failures."""
