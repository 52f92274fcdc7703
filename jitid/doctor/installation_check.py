"""Checks of the whole installation: this machine, and the ledger and its keys through their authority.

A check is a function that yields results, and an entry in one of the tables at the end.

Also checks of a remote authority from this machine, and of whether another person can grant approvals.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from shlex import quote as word

from jitid import __version__
from jitid.authority import open_local, remote
from jitid.authority.open_local import is_address
from jitid.authority.remote import RemoteAuthority
from jitid.capabilities.access.oidc import check_client, check_names, check_settings
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity import examination
from jitid.capabilities.integrity.examination import TOLERANCE
from jitid.capabilities.inventory.operations import ListCredentials
from jitid.capabilities.targets.operations import ExamineTargets
from jitid.config.effective import Config
from jitid.errors import ConfigurationError, DamagedError, JitidError
from jitid.ledger.place import LedgerPlace
from jitid.ledger.postgres.ledger_database import LedgerDatabase
from jitid.ledger.sqlite import folder
from jitid.model.access import Confinement, WhoAmI
from jitid.model.ledger_condition import Check, Named, UnexaminedError, failure, ok, unexamined, warning
from jitid.model.process import Liveness
from jitid.operation.base import Operation, Result
from jitid.system import installed_files
from jitid.system.authority_address import parse_address
from jitid.system.files import ReadableError, offences
from jitid.system.processes import liveness, orphans, this_process
from jitid.values.record import Record
from jitid.values.text import number_of
from jitid.values.times import format_time

FIRST_ISSUE = 'jitid issue --task TASK --delegator "$(id -un)"'

_INSTALL = "jitid completion install"

MANY = 1_000
"""Maximum number of credentials under `run` that are checked."""

LARGE_LOG = 256 << 20
"""Bytes of a write-ahead log that its writers normally do not exceed before it starts again."""

_IN_IT = re.compile(r"\..+\.[0-9a-f]{12}|copying|restoring|ledger\.db-journal")
"""Names of temporary files in a ledger's folder."""

LEAST = {"Python": "3.11", "SQLite": "3.40", "cedarpy": "4.8.7"}
"""The oldest versions that jitid is known to work with."""


class Installation(Record):
    """The subject of the checks of this machine."""

    config: Config
    trouble: ConfigurationError | None
    """The error of the configuration's files, if any; then `config` has only flags and environment."""

    def known(self, setting: str) -> None:
        """Raise UnexaminedError if a setting may be in a file that could not be used."""
        if self.trouble is not None and self.config.origin(setting) == "default":
            raise UnexaminedError("the configuration is invalid")

    def where(self) -> LedgerPlace:
        """Return the place of the ledger. Raises UnexaminedError if it is unknown."""
        self.known("ledger")
        try:
            return open_local.place_of(self.config)
        except JitidError as error:
            raise UnexaminedError(error.message) from error

    def content(self) -> tuple[str, set[str]]:
        """Return the folder of keys and policy, and the names in it. It is the ledger's own, except for a database.

        Raises UnexaminedError if it cannot be examined.
        """
        ledger_place = self.where()
        path = ledger_place.home
        try:
            present = folder.content(path)
        except JitidError as error:
            raise UnexaminedError(error.message) from error
        if ledger_place.in_database:
            return path, present
        if present and not present & {folder.DATABASE, folder.KEYS}:
            # The path may be a home folder, or the root of the disk.
            raise UnexaminedError(f"{path} has no ledger")
        return path, present

    def own_folder(self) -> str:
        """Return the folder of the ledger itself. Raises UnexaminedError if there is none to examine."""
        if self.where().in_database:
            raise UnexaminedError("the ledger is in a database")
        return self.place()

    def look(self, operation: Operation[Result]) -> Result:
        """Return the answer to a read-only operation.

        Raises UnexaminedError for an error of the ledger: the checks of the ledger report it.
        """
        if not self.where().in_database:
            self.place()
        try:
            return open_local.look(self.config, operation)
        except JitidError as error:
            raise UnexaminedError(error.message) from error

    def place(self) -> str:
        """Return the folder of keys and policy. Raises UnexaminedError if there is none to examine."""
        path, present = self.content()
        if not present:
            missing = "folder of keys and policy on this machine" if self.where().in_database else "ledger"
            raise UnexaminedError(f"there is no {missing} yet")
        return path


def check(config: Config, trouble: ConfigurationError | None) -> list[Check]:
    """Return the results of all checks of this machine and of the ledger."""
    installation = Installation(config, trouble)
    if not _has_remote(config):
        return list(examination.perform(CHECKS, installation))
    # The ledger itself is checked on the authority's machine.

    local_checks = examination.perform(HERE, installation)
    authority_checks = examination.perform(REMOTE_CHECKS, config)
    return [*local_checks, *authority_checks, *examination.perform(ELSEWHERE, installation)]


def _has_remote(config: Config) -> bool:
    try:
        return config.remote is not None
    except JitidError:
        # The check of the remote authority reports the error.
        return True


def _versions(_: Installation) -> Iterator[Check]:
    import sqlite3
    import sys
    from importlib.metadata import PackageNotFoundError, version

    python = ".".join(map(str, sys.version_info[:3]))
    try:
        cedarpy = version("cedarpy")
    except PackageNotFoundError:
        cedarpy = "0"
    yield from judge_versions({"Python": python, "SQLite": sqlite3.sqlite_version, "cedarpy": cedarpy})


def judge_versions(versions: Mapping[str, str]) -> Iterator[Check]:
    """Yield the check of the versions that jitid depends on: whether they are known to work."""
    from jitid.system.dependencies import installing

    summary = ", ".join(f"{component} {version}" for component, version in versions.items())
    yield ok("versions", f"jitid {__version__}, {summary}")
    for component, version in versions.items():
        if _numbers(version) < _numbers(LEAST[component]):
            repair = (
                installing([f"cedarpy>={LEAST[component]}"])
                if component == "cedarpy"
                else "use a newer Python"
            )
            yield warning(
                "versions",
                f"{component} {version} is older than {LEAST[component]}, the oldest supported version",
                repair,
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _completions(_: Installation) -> Iterator[Check]:
    try:
        installed = installed_files.installed()
    except JitidError as error:
        yield warning("completions", error.message, error.hint)
        return
    relevant = [entry for entry in installed if installed_files.which(entry.reader)]
    current_readers = []
    for entry in relevant:
        files = "man pages" if entry.reader == "man" else "completion"
        if entry.path is None:
            yield warning("completions", f"{entry.reader} has no {files} of jitid", _INSTALL)
        elif not entry.current:
            yield warning("completions", f"{entry.path} belongs to another version of jitid", _INSTALL)
        else:
            current_readers.append(entry.reader)
    if current_readers:
        yield ok("completions", f"installed for {', '.join(current_readers)}")
    if not relevant:
        yield ok("completions", "bash, zsh, fish and man are not installed here")


def _confinement(installation: Installation) -> Iterator[Check]:
    """Report the powers of a process of this user beyond its own credential."""
    installation.known("ledger")
    from jitid.authority.confinement import examine

    state = examine(installation.config)
    if state.confinement is Confinement.CONFINED:
        yield ok("confinement", state.sentence)
    elif not os.environ.get("JITID_PARENT_FILE"):
        # For a person this is normal, but `ok` alone would suggest that agents are confined.
        yield ok(
            "confinement",
            f"{state.sentence}; agents of this user are not confined",
        )
    else:
        # An agent runs the check, and has more power than it was given.
        yield warning("confinement", state.sentence, "run the agent under another user: man jitid-run")


def _configuration(installation: Installation) -> Iterator[Check]:
    config = installation.config
    try:
        if installation.trouble is not None:
            raise installation.trouble
        issuers = config.oidc()
        for issuer in issuers:
            if config.remote is not None and issuer.client_id is not None and not issuer.jwks:
                # The remote authority verifies the ID tokens of logins, so this machine needs no keys.
                check_client(issuer)
            else:
                check_names(check_settings(issuer), issuers)
    except ConfigurationError as error:
        error.hint = error.hint or "correct the named file or variable"
        raise
    for text in config.warnings:
        yield warning("configuration", text, "correct or remove the project's .jitid.toml")
    yield ok(
        "configuration", ", ".join(config.origins) or f"no file; `jitid config set` creates {config.path}"
    )


def _ledger(installation: Installation) -> Iterator[Check]:
    installation.known("ledger")
    ledger_place = open_local.place_of(installation.config)
    if isinstance(ledger_place, LedgerDatabase):
        yield from _in_database(ledger_place, float(installation.config.number("timeout")))
        return
    path = ledger_place.home
    present = folder.content(path)
    if not present:
        yield warning("ledger", f"there is no ledger at {path} yet", FIRST_ISSUE)
        return
    folder.check_whole(path, present)
    if os.access(path, os.W_OK):
        yield ok("ledger", path)
    else:
        yield warning(
            "ledger",
            f"{path} is read-only: credentials cannot be issued or revoked",
            "make its folder and its file system writable",
        )


def _leftovers(installation: Installation) -> Iterator[Check]:
    """Report temporary files that a killed process has left in the ledger's folder or beside it."""
    path = os.path.abspath(installation.own_folder())
    parent, name = os.path.split(path)
    leftovers = [
        os.path.join(path, file_name) for file_name in os.listdir(path) if _IN_IT.fullmatch(file_name)
    ]
    sibling = re.compile(rf"\.{re.escape(name)}\.(?:[0-9a-f]{{12}}\.new|copying)")
    with suppress(OSError):
        # This user may not be allowed to list the parent folder.
        leftovers += [
            os.path.join(parent, file_name)
            for file_name in os.listdir(parent)
            if sibling.fullmatch(file_name)
        ]
    leftovers = [leftover for leftover in sorted(leftovers) if not _is_held(leftover)]
    for leftover in leftovers:
        yield warning(
            "leftovers",
            f"{leftover} is incomplete: its process may have been killed",
            f"rm -rI {word(leftover)}",
        )
    if not leftovers:
        yield ok("leftovers", "there are no unfinished files")


def _is_held(path: str) -> bool:
    """Return whether a process still works on temporary files: it then holds their lock."""
    import fcntl

    lock = os.path.join(path, folder.LOCK) if os.path.isdir(path) else path
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _log(installation: Installation) -> Iterator[Check]:
    """Report the size of the write-ahead log, which has data that is not in the database file yet."""
    path = os.path.join(installation.own_folder(), folder.DATABASE)
    try:
        size = os.stat(f"{path}-wal", follow_symlinks=False).st_size
    except FileNotFoundError:
        yield ok("log", "there is no write-ahead log: all data is in the database file")
        return
    if size > LARGE_LOG:
        yield warning(
            "log",
            f"the write-ahead log has {size >> 20} MiB: a process still reads an old state, or was killed",
            "jitid ledger vacuum",
        )
    else:
        yield ok("log", f"the write-ahead log has {size >> 10} KiB")


def _in_database(database: LedgerDatabase, timeout: float) -> Iterator[Check]:
    if database.is_there(timeout):
        yield ok("ledger", f"{database.shown()}, with keys and policy in {database.home}")
    else:
        database.must_have_ledger(timeout)
        yield warning("ledger", f"there is no ledger in {database.shown()} yet", FIRST_ISSUE)


def _permissions(installation: Installation) -> Iterator[Check]:
    path = installation.place()
    fine = True
    for offence in offences(path, os.path.join(path, folder.POLICY)):
        fine = False
        if isinstance(offence, ReadableError):
            # The policy is not secret, and all other commands accept such a file.
            yield warning("permissions", offence.message, offence.hint)
        else:
            yield failure("permissions", offence)
    if fine:
        location = (
            "the folder of keys and policy" if installation.where().in_database else "the ledger's folder"
        )
        yield ok("permissions", f"all files in {location} are private to their owner")


def _examination(installation: Installation) -> Iterator[Check]:
    names = [name for name, _ in examination.CHECKS]
    try:
        if not installation.where().in_database:
            installation.place()
        yield from open_local.examine(installation.config)
    except DamagedError as error:
        yield failure(names.pop(0), error)
        reason = "the ledger is damaged"
    except UnexaminedError as error:
        reason = str(error)
    except JitidError as error:
        reason = error.message
    else:
        return
    for name in names:
        yield unexamined(name, reason)


def _processes(installation: Installation) -> Iterator[Check]:
    page = installation.look(
        ListCredentials(
            chosen=Filter(live=True, bound=True), sort="issued_at", descending=False, after=None, limit=MANY
        )
    )
    orphaned = orphans(page.credentials, page.now)
    for row in orphaned:
        yield warning(
            "processes",
            f"the process of {row.id} no longer runs, but its credential is valid until "
            f"{format_time(row.expires_at)}",
            f"jitid revoke {row.id}",
        )
    own_process = this_process()
    unseen = sum(
        row.process is not None and liveness(row.process, own_process) is Liveness.UNKNOWN
        for row in page.credentials
    )
    if unseen:
        wrappers = number_of(unseen, "wrapper")
        yield unexamined("processes", f"{wrappers} of live credentials cannot be checked from here")
    if len(page.credentials) == MANY:
        yield unexamined(
            "processes", f"only {MANY} credentials were checked; for all: jitid list --process gone"
        )
    if not orphaned and not unseen:
        count = len(page.credentials)
        count_text = "1 live credential" if count == 1 else f"{count or 'no'} live credentials"
        yield ok("processes", f"{count_text} of a run or a session; each of their processes still exists")


def _policy(installation: Installation) -> Iterator[Check]:
    installation.known("policy")
    from jitid.config.policy_files import read_use
    from jitid.policy.check import must_be_valid
    from jitid.policy.evaluate import Policy

    config = installation.config
    path, _ = installation.content()
    policy_folder = config.text("policy")
    if policy_folder is None:
        policy_folder = os.path.join(path, folder.POLICY)
        if os.path.islink(policy_folder):
            raise UnexaminedError(f"{policy_folder} is a symbolic link, which is not followed here")
    files = open_local.policy_files(config, path)
    use = read_use(policy_folder)
    try:
        rules = must_be_valid(files, use, policy_folder)
        policy = Policy(files)
    except ConfigurationError as error:
        error.hint = error.hint or f"correct the file in {policy_folder}"
        raise
    names = ", ".join(name for name, _ in files)
    if policy.permits:
        yield ok("policy", f"{rules} rules in {names}")
    else:
        yield warning(
            "policy",
            f"no rule in {names} permits anything: every issue is denied",
            f"write a permit rule in {policy_folder}, or restore one from a backup",
        )

    approval_rules = [rule.name for rule in policy.rules if rule.approval is not None]
    if approval_rules and approvers_are_missing(config):
        yield warning(
            "policy", f"rule `{approval_rules[0]}` needs an approval; {NO_APPROVER}", SERVE_APPROVERS
        )


def _targets(installation: Installation) -> Iterator[Check]:
    if installation.trouble is not None:
        raise UnexaminedError("the configuration is invalid")
    if not installation.config.targets():
        yield ok("targets", "the configuration has no targets")
        return
    yield from installation.look(ExamineTargets())


HERE: Named[Installation] = (
    ("versions", _versions),
    ("completions", _completions),
    ("configuration", _configuration),
)
CHECKS: Named[Installation] = (
    *HERE,
    ("ledger", _ledger),
    ("permissions", _permissions),
    ("examination", _examination),
    ("processes", _processes),
    ("policy", _policy),
    ("targets", _targets),
    ("confinement", _confinement),
)
ELSEWHERE: Named[Installation] = (("confinement", _confinement),)
"""The checks of this machine that `doctor` also runs for a remote authority."""
LEDGER: Named[Installation] = (
    ("ledger", _ledger),
    ("permissions", _permissions),
    ("leftovers", _leftovers),
    ("log", _log),
    ("examination", _examination),
)
"""The checks of the ledger itself, in a folder or in a database, independent of other errors."""


NO_APPROVER = "with a private ledger and this configuration, no second person can approve"
SERVE_APPROVERS = (
    "serve an authority for others (jitid serve --socket PATH), or configure an issuer of ID tokens: "
    "jitid-authority(7)"
)


def approvers_are_missing(config: Config) -> bool:
    """Return whether, by the configuration of this command, all users of the ledger count as one person.

    The ledger's folder is for one user, no issuer of ID tokens is configured that proves a person, and the
    configuration serves no authority. An authority that another process serves by its own flags is unknown here.
    """
    return (
        config.remote is None
        and not is_address(config.ledger)
        and config.text("serve_socket") is None
        and config.text("serve_bind") is None
        and not _proves_persons(config)
    )


def _proves_persons(config: Config) -> bool:
    """Return whether an issuer is configured that can prove a person: a complete one, and not for systems only."""
    from jitid.capabilities.access.oidc import is_usable

    return any(issuer.kind == "user" and is_usable(issuer) for issuer in config.oidc())


def _credential(config: Config) -> Iterator[Check]:
    credential = remote.credential(config)
    if credential is not None:
        credential.read()
        yield ok("credential", f"access token in {credential.place}")
    elif parse_address(config.remote or "").is_socket:
        yield ok("credential", "not required: over a Unix socket the kernel identifies the caller")
    else:
        yield warning(
            "credential",
            "there is no access token, which the authority requires",
            "name its file: --credential-file FILE, or the setting remote_credential_file",
        )


def _authority(config: Config) -> Iterator[Check]:
    authority = remote.open_remote(config)
    sent_at = time.time()
    try:
        whoami = authority.whoami()
    except JitidError as error:
        if error.hint is not None:
            # The hint is redundant here: this is jitid doctor.
            error.hint = error.hint.removesuffix(" see: jitid doctor")
        yield failure("remote", error)
        for name in ("caller", "clock there", "version there"):
            yield unexamined(name, "the authority did not answer")
        return
    yield ok("remote", f"{authority.place} answers for {whoami.issuer}, {_secured(authority)}")
    authority.close()
    yield _caller(whoami)
    yield _clock(whoami.now, sent_at, time.time())
    yield _version(whoami.version)


def _secured(authority: RemoteAuthority) -> str:
    if authority.secured_by is not None:
        return f"over {authority.secured_by}, with a trusted certificate"
    return "on this machine"


def _caller(whoami: WhoAmI) -> Check:
    description = whoami.caller
    if whoami.delegator is not None:
        description += f", delegator {whoami.delegator} ({whoami.proof})"
    roles = f"roles: {', '.join(whoami.roles)}" if whoami.roles else "no role: access to its own objects only"
    return ok("caller", f"{description}, {roles}")


def _clock(remote_now: int, sent_at: float, received_at: float) -> Check:
    # The authority sent its time in whole seconds, at an unknown moment between `sent_at` and `received_at`.
    ahead = remote_now - received_at if remote_now > received_at else min(remote_now + 1 - sent_at, 0)
    if abs(ahead) <= TOLERANCE:
        return ok("clock there", "the authority's clock and this machine's clock agree")
    side = "ahead of" if ahead > 0 else "behind"
    return warning(
        "clock there",
        f"the authority's clock, which decides, is {abs(ahead):.0f} s {side} this machine's clock",
        "synchronize both clocks with the same time service",
    )


def _version(remote_version: str) -> Check:
    if remote_version.split(".")[:2] == __version__.split(".")[:2]:
        return ok("version there", f"jitid {remote_version}")
    return warning(
        "version there",
        f"the authority has jitid {remote_version}, this machine {__version__}: some requests may be unknown",
        "install the same version on both machines",
    )


REMOTE_CHECKS: Named[Config] = (("credential", _credential), ("remote", _authority))
