"""The local authority of the configuration: its ledger, keys, policy and targets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from jitid.authority.local import LocalAuthority
from jitid.capabilities.issue.operations import Issue
from jitid.errors import ConfigurationError, IntegrityError, JitidError, UsageError
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.ledger_folder import LedgerFolder
from jitid.model.ledger_rows import Names
from jitid.operation.base import Operation, Result
from jitid.system.xdg import authority_folder, state_folder
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.issuers.openbao.transit import Transit
    from jitid.issuers.targets import Targets
    from jitid.keys.keyring import Engine, Keyring, Signer
    from jitid.ledger.contract import Ledger
    from jitid.ledger.place import LedgerPlace
    from jitid.model.ledger_condition import Check
    from jitid.operation.context import Terms

_HOLDER_SECRET = 32
"""The length of the secret of a user's logins, in bytes."""
DEFAULT_TRUST_DOMAIN = "jitid.local"


_RENAME = "jitid ledger issuer set URL"


def open_local(
    config: Config,
    *,
    patience: float | None = None,
    issuer: str | None = None,
    accept_clock: bool = False,
) -> LocalAuthority:
    """Return the authority over an existing ledger.

    It waits for other writers as long as the configuration says, or at most `patience` seconds. `issuer` is the
    ledger's next issuer, which the configuration may already state. `accept_clock` has the meaning of
    `open_authority`.

    Raises:
        StorageError: there is no ledger.
        IntegrityError: the ledger is damaged, or open to others.

    """
    ledger_place = place_of(config)
    authority = _open(config, ledger_place, patience=patience, issuer=issuer)
    if authority is None:
        raise ledger_place.missing()
    return authority.with_clock_accepted(owns=True) if accept_clock else authority


def open_local_for_issue(config: Config, operation: Issue, note: Callable[[str], None]) -> LocalAuthority:
    """Return the local authority for `operation`; raises the errors of `open_for_issue`."""
    authority = _open(config, place_of(config), note=note)
    if authority is not None:
        return authority
    if operation.requests[0].parent is not None:
        return open_local(config)
    try:
        open_local_for_preview(config).perform(
            Issue(requests=operation.requests, delegator_token=operation.delegator_token, dry_run=True)
        )
    except (UsageError, ConfigurationError):
        raise
    except JitidError:
        # The new ledger must record a denial.
        pass
    return open_or_create_local(config, note)


def open_local_for_preview(config: Config) -> LocalAuthority:
    """Return the authority over the ledger; over an empty ledger in memory if there is none yet."""
    ledger_place = place_of(config)
    authority = _open(config, ledger_place)
    if authority is not None:
        return authority
    db = sqlite_ledger.create(":memory:", _new_names(config), int(time.time()))
    ledger = sqlite_ledger.SqliteLedger(db, os.devnull, caller(), time.time, float(config.number("timeout")))
    return _local_authority(config, ledger, ledger_place)


def open_or_create_local(config: Config, note: Callable[[str], None]) -> LocalAuthority:
    """Return the authority over the ledger; the first use creates it and reports that to `note`.

    Raises:
        StorageError: the disk is full, or this user may not create the ledger.
        IntegrityError: a part of the ledger is missing, damaged, or open to others.

    """
    ledger_place = place_of(config)
    authority = _open(config, ledger_place)
    if authority is not None:
        return authority
    names = _new_names(config)
    messages = ledger_place.create(names, _first_policy(), float(config.number("timeout")))
    authority = _open(config, ledger_place)
    if authority is None:
        raise IntegrityError(f"the ledger in {ledger_place.shown()} disappeared during its creation")
    for message in messages:
        note(message)
    if messages:
        note(f"issuer {names.issuer}, trust domain {names.trust_domain}; to change the issuer: {_RENAME}")
    return authority


def examine(config: Config) -> list[Check]:
    """Return the results of the checks of the ledger and its keys. The ledger may be damaged, and is not changed.

    Raises:
        IntegrityError: a file of the database is a link or not a regular file.
        StorageError: the database is missing, or cannot be reached.

    """
    from jitid.capabilities.integrity.operations import Examine
    from jitid.redaction.token_format import MAX_TOKEN, bare
    from jitid.system.files import read_regular

    head_path = sweep_head(config)
    head = None
    # Read the head before the ledger: a later head may cover events that this snapshot does not contain.
    if head_path is not None and os.path.lexists(head_path):
        # The permission checks report a file that cannot be opened.
        with suppress(OSError):
            head = (head_path, bare(read_regular(head_path, MAX_TOKEN).decode("utf-8", "replace")))
    return look(config, Examine(stated=_stated(config), head=head))


def look(config: Config, operation: Operation[Result]) -> Result:
    """Return the answer to a read-only operation, without a migration of the schema.

    Raises:
        IntegrityError: a file of the database is a link or not a regular file.
        StorageError: the database is missing, or cannot be reached.

    """
    ledger_place = place_of(config)
    return ledger_place.look(
        lambda ledger: _local_authority(config, ledger, ledger_place).perform(operation),
        float(config.number("timeout")),
    )


def sweep_head(config: Config) -> str | None:
    """Return the file with the signed audit head up to which a sweep verified the chain.

    None for a remote authority: it keeps no such file for its callers.
    """
    if config.remote is not None:
        return None
    return os.path.join(home_path(config), folder.VERIFIED)


def place_of(config: Config) -> LedgerPlace:
    """Return the place of the configured ledger.

    Raises:
        ConfigurationError: the address is of an unknown kind.
        UsageError: the configuration names a remote authority.

    """
    must_be_local(config)
    if not is_address(config.ledger):
        return LedgerFolder(folder_of(config.ledger), caller())
    from jitid.ledger.postgres.ledger_database import LedgerDatabase

    return LedgerDatabase(config.ledger, config.text("home") or authority_folder(), caller())


def folder_of(url: str) -> str:
    """Return the folder that a ledger's address names.

    Raises:
        ConfigurationError: the address is of a kind that jitid does not support, or its path is not absolute.

    """
    if url.startswith("sqlite://"):
        url = url.removeprefix("sqlite://")
        if not url.startswith("/"):
            raise ConfigurationError(
                "a sqlite:// address needs an absolute path", "such as sqlite:///var/lib/jitid"
            )
    if "://" in url:
        raise ConfigurationError(
            f"unknown kind of ledger: {quote(url.partition(':')[0])}",
            "name a folder, sqlite:///FOLDER, or postgresql://USER@HOST/DATABASE",
        )
    return url


def is_address(url: str) -> bool:
    """Return whether the address of a ledger is that of a database."""
    return url.startswith(("postgresql://", "postgres://"))


def home_path(config: Config) -> str:
    """Return the folder with the keys and the policy. Raises the errors of `place_of`."""
    return place_of(config).home


def place_text(url: str) -> str:
    """Return the address of a ledger for display, without its passwords."""
    if not is_address(url):
        return url
    from jitid.ledger.postgres.address import shown

    return shown(url)


def _open(
    config: Config,
    ledger_place: LedgerPlace,
    *,
    patience: float | None = None,
    issuer: str | None = None,
    note: Callable[[str], None] | None = None,
) -> LocalAuthority | None:
    """Return the authority over the ledger at a place; None if there is no ledger.

    Creates this machine's missing folder, and reports it to `note`. Without `note`, a failure to create it is ignored:
    reading needs no folder.
    """
    timeout = float(config.number("timeout"))
    ledger = ledger_place.open(timeout if patience is None else min(timeout, patience))
    if ledger is None:
        return None
    folder.check_names(ledger.names, _stated(config, issuer))
    if note is None:
        with suppress(JitidError):
            ledger_place.furnish(_first_policy)
    elif ledger_place.furnish(_first_policy):
        note(f"first use on this machine: created {ledger_place.home}, with a default policy")
    return _local_authority(config, ledger, ledger_place)


def _first_policy() -> Sequence[tuple[str, str]]:
    """Return the names and texts of the policy files for a new folder."""
    from jitid.policy.default import default_files

    return default_files()


def holder() -> str | None:
    """Return the holder of a login beside the ledger: this user, as `LOGIN+HASH@HOST`; None before the first login.

    The hash is that of a secret of the user: machines of a shared ledger can have the same names of hosts and users.
    """
    try:
        descriptor = os.open(holder_path(), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ConfigurationError):
        return None
    try:
        status = os.fstat(descriptor)
        secret = os.read(descriptor, _HOLDER_SECRET + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if len(secret) != _HOLDER_SECRET or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        return None
    from hashlib import sha256

    return f"{caller()}+{sha256(secret).hexdigest()[:32]}@{os.uname().nodename}"


def make_holder() -> None:
    """Make the secret of this user's logins beside a ledger, if it is not there. Raises OutputError."""
    from jitid.authority.stored_login import changing_login
    from jitid.system.files import write_private

    with changing_login():
        if holder() is None:
            write_private(holder_path(), os.urandom(_HOLDER_SECRET))


def holder_path() -> str:
    """Return the path of that secret. Raises ConfigurationError without a home folder."""
    return f"{state_folder()}/holder"


def caller() -> str:
    """Return the login name of this process's user, or the uid if it has no name."""
    return _login(os.getuid())


@cache
def _login(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _new_names(config: Config) -> Names:
    from jitid.model.signature_algorithm import FOR_SERVICES

    raw = bytearray(os.urandom(16))
    # A UUID of version 4 (RFC 9562, section 5.4).
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return Names(
        uuid,
        config.text("issuer") or f"urn:jitid:{uuid}",
        config.text("trust_domain") or DEFAULT_TRUST_DOMAIN,
        service_algorithm=FOR_SERVICES,
    )


def _stated(config: Config, issuer: str | None = None) -> dict[str, str | None]:
    """Return the names that the configuration states, without an issuer that is about to become the ledger's."""
    names = {setting: config.text(setting) for setting in ("issuer", "trust_domain")}
    return {**names, "issuer": None} if issuer is not None and names["issuer"] == issuer else names


def _local_authority(config: Config, ledger: Ledger, ledger_place: LedgerPlace) -> LocalAuthority:
    keyring = with_transit(config, ledger_place.keyring())
    targets = _targets(config, ledger, keyring)
    return LocalAuthority(
        ledger,
        keyring,
        terms=lambda: _terms(config, ledger_place.home)._replace(targets=targets),
        targets=targets,
        audiences=config.many("audience"),
        oidc=config.oidc,
        timeout=float(config.number("timeout")),
    )


def _targets(config: Config, ledger: Ledger, keyring: Keyring) -> Callable[[], Targets]:
    """Return a supplier of the configured targets, which reads them at its first call."""
    cached: list[Targets] = []

    def supply() -> Targets:
        if not cached:
            from jitid.issuers.targets import Targets

            def signer() -> Signer:
                from jitid.capabilities.trust.signing import signer_of

                # AWS does not accept Ed25519.
                return signer_of(ledger, keyring, "ES256")

            names = ledger.names
            cached.append(
                Targets(config.targets(), names.issuer, trust_domain=names.trust_domain, signer=signer)
            )
        # Another process may have changed the issuer since.
        cached[0].issuer = ledger.names.issuer
        return cached[0]

    return supply


def with_transit(config: Config, keyring: Keyring) -> Keyring:
    """Let a keyring use keys in the transit engines of the configuration's targets; return it."""
    keyring.transit = lambda name: _engine(config, name)
    return keyring


_TRANSITS: dict[tuple[int, str], Transit] = {}
"""The transit engines that this process has used, by process id and target name: a child needs its own connections."""


def _engine(config: Config, name: str) -> Engine:
    """Return the transit engine of a target, as the keyring uses it. Raises UsageError and ConfigurationError."""
    from jitid.keys.keyring import Engine, KeepsNoKeysError

    key = os.getpid(), name
    if key not in _TRANSITS:
        import atexit

        from jitid.issuers.openbao.transit import Transit
        from jitid.issuers.targets import TIMEOUT, Targets
        from jitid.model.credential import Kind

        target = Targets(config.targets(), "").get(name)
        if target.kind != Kind.OPENBAO_LEASE:
            raise KeepsNoKeysError(
                f"the target {name} has the kind {target.kind}, which stores no keys",
                f"name a target of the kind {Kind.OPENBAO_LEASE}",
            )
        transit = _TRANSITS[key] = Transit(target, float(target.options.get("timeout", TIMEOUT)))
        atexit.register(transit.close)
    return Engine(_TRANSITS[key].choose, _TRANSITS[key].sign)


def policy_place(config: Config, path: str) -> str | None:
    """Return the folder of the policy that applies to the ledger in the folder `path`.

    None for jitid's default policy, if there is no ledger yet.
    """
    policy_folder = config.text("policy")
    if policy_folder is None and not folder.content(path):
        # There is no ledger yet, and no folder on this machine for a ledger in a database.
        return None
    return policy_folder or os.path.join(path, folder.POLICY)


def policy_files(config: Config, path: str) -> list[tuple[str, str]]:
    """Return names and texts of the policy that applies to the ledger in the folder `path`.

    Raises:
        ConfigurationError: the policy folder is missing, or has no policy file.
        IntegrityError: a file is a link, or others may write it.
        StorageError: a file cannot be read.

    """
    policy_folder = policy_place(config, path)
    if policy_folder is None:
        return list(_first_policy())
    from jitid.config.policy_files import read_policy

    is_configured = config.text("policy") is not None
    if is_configured and not os.path.lexists(policy_folder):
        raise ConfigurationError(
            f"the policy folder {policy_folder} is missing",
            "the setting `policy` names it: see jitid config show --origin",
        )
    files = read_policy(policy_folder)
    if not files:
        raise ConfigurationError(
            f"the policy folder {policy_folder} has no .cedar file; without a policy nothing is issued",
            "add a .cedar file, or create a policy elsewhere: jitid policy init DIR",
        )
    return files


def _use(config: Config, path: str) -> str | None:
    """Return the declaration of uses beside the policy, if there is one. Raises the errors of `policy_files`."""
    from jitid.policy.default import USE_NAME

    policy_folder = policy_place(config, path)
    if policy_folder is None or not os.path.lexists(os.path.join(policy_folder, USE_NAME)):
        return None
    from jitid.config.policy_files import read_named

    ((_, text),) = read_named(policy_folder, [USE_NAME])
    return text


def _terms(config: Config, path: str) -> Terms:
    from jitid.config.settings import zone
    from jitid.operation.context import Terms
    from jitid.policy.evaluate import Policy
    from jitid.values import strict_json

    files = policy_files(config, path)
    try:
        policy = Policy(files)
    except ConfigurationError as error:
        from jitid.policy.check import first_error

        raise ConfigurationError(
            first_error(files, policy_place(config, path) or ".") or error.message,
            error.hint or "until the policy is repaired, nothing is issued: jitid policy check",
        ) from None
    if policy.reads_use:
        policy.declare_use(_use(config, path))
    zone_name = config.text("timezone") or "UTC"
    return Terms(
        policy,
        strict_json.dumps(files),
        caller(),
        config.many("audience"),
        config.number("ttl"),
        config.text("sensitivity") or "moderate",
        config.text("purpose"),
        config.number("task_deadline"),
        config.scope_floors,
        config.audience_floors,
        config.number("overlap"),
        config.text("delegators") == "known",
        zone(zone_name),
        None if zone_name == "UTC" else zone_name,
        config.algorithms,
        config.number("approval_lifetime"),
        config.number("approval_patience"),
        publish_url=config.text("publish_url"),
        publish_lifetime=config.number("publish_lifetime"),
        places=() if (public_url := config.text("serve_public_url")) is None else (public_url,),
        detail_types=config.many("detail_types"),
        subjects=config.subjects,
        exchanges=config.exchanges,
        login_lifetime=config.number("login_lifetime"),
        holder=holder(),
    )


def watch(config: Config) -> Callable[[], None]:
    """Return a check that the configuration still selects the same ledger, complete and private.

    The check raises the errors of `open_authority`, and StorageError if the ledger was replaced.
    """
    # A remote authority identifies its ledger in each answer.
    return place_of(config).watch() if config.remote is None else lambda: None


def policy_mark(config: Config) -> object:
    """Return a value that changes when a file in the policy folder is added, changed or removed."""
    if config.remote is not None:
        return None
    policy_folder = config.text("policy") or os.path.join(home_path(config), folder.POLICY)
    try:
        with os.scandir(policy_folder) as entries:
            files = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        # The reader of the policy reports the error.
        return None
    # The modification time does not count: a copy may keep that of its original.
    return sorted(
        (name, status.st_ino, status.st_size, status.st_mode, status.st_ctime_ns) for name, status in files
    )


def must_be_local(config: Config) -> None:
    """Raise UsageError if the configuration names a remote authority: its ledger is elsewhere."""
    if config.remote is not None:
        raise UsageError(
            f"this command works only on the machine of the ledger, and {config.remote} has its ledger elsewhere",
            "run it on the machine of the authority, without --remote",
        )
