"""The powers of a process of this user beyond its own credential: read the signing key, act as a person, or neither."""

from __future__ import annotations

import os
import socket
import stat
import struct
from typing import TYPE_CHECKING

from jitid.authority import open_local
from jitid.capabilities.run.token_place import STARTED_BY
from jitid.config.effective import Config
from jitid.errors import JitidError, RefusedError
from jitid.ledger.sqlite import folder
from jitid.model.access import Confinement, WhoAmI
from jitid.model.ledger_condition import UnexaminedError
from jitid.system.authority_address import parse_address
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.authority.remote import ClientCredential

_CREDENTIALS = struct.Struct("iII")
_PATIENCE = 5.0
"""Seconds to wait for an authority that may not serve this user at all."""


class SeenState(Record):
    """A confinement state and the evidence for it."""

    confinement: Confinement
    reason: str
    """The evidence as a clause that names its subject."""

    @property
    def sentence(self) -> str:
        """Return the state and the evidence as text."""
        return f"{self.confinement.value.replace('-', ' ')}: {self.reason}"


def examine(config: Config) -> SeenState:
    """Return the most severe state of this user that the configured ledger and authority show.

    Raises:
        UnexaminedError: there is no ledger yet, or the authority does not answer.

    """
    if config.remote is None:
        return _of_ledger(config)
    if os.geteuid() == 0:
        return SeenState(
            Confinement.KEY_READABLE, "root can read every file and act as every user of this machine"
        )
    return _of_authority(config, config.remote)


def _of_ledger(config: Config) -> SeenState:
    try:
        ledger_place = open_local.place_of(config)
    except JitidError as error:
        raise UnexaminedError(error.message) from error
    state = _of_folder(ledger_place.home)
    if state is not None:
        return state
    if ledger_place.in_database:
        return SeenState(
            Confinement.KEY_READABLE,
            f"the configuration has the address of {ledger_place.shown()}, which gives access to the ledger",
        )
    try:
        os.lstat(ledger_place.home)
    except FileNotFoundError:
        raise UnexaminedError("there is no ledger yet") from None
    except OSError:
        pass
    return SeenState(
        Confinement.CONFINED,
        f"this user can neither read nor write {ledger_place.home}, and no authority is configured",
    )


def _of_folder(path: str) -> SeenState | None:
    """Return the state that this user's access to the folder of a ledger or its keys shows; None without access."""
    keys, database = os.path.join(path, folder.KEYS), os.path.join(path, folder.DATABASE)
    for key in _files(keys):
        if _is_own(key) or _may(key, os.R_OK):
            return SeenState(Confinement.KEY_READABLE, f"this user can read the signing key in {keys}")
    for ledger_path in (path, keys, database):
        if _is_own(ledger_path) or _may(ledger_path, os.W_OK):
            return SeenState(
                Confinement.KEY_READABLE, f"this user can write {ledger_path}, and so change the ledger"
            )
    return None


def _files(path: str) -> list[str]:
    try:
        return [os.path.join(path, name) for name in os.listdir(path)]
    except OSError:
        return []


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _is_own(path: str) -> bool:
    """Return whether this user owns a file: the owner can change its mode."""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except OSError:
        return False


def _of_authority(config: Config, remote: str) -> SeenState:
    address = parse_address(remote)
    owner = _server(address.path) if address.is_socket else None
    if owner == os.geteuid():
        reason = (
            f"the authority at {remote} runs as this user, and this user can read its memory and its files"
        )
        return SeenState(Confinement.KEY_READABLE, reason)
    credential = _credential(config)
    reachable = owner is not None or not address.is_socket
    whoami = _whoami(config) if reachable and credential is not None else None
    local = None if open_local.is_address(config.ledger) else _of_folder(open_local.folder_of(config.ledger))
    if local is not None and _may_belong_to(config.ledger, whoami):
        return local
    # How the kernel identifies this user, without a credential.
    bare = _whoami(config, bare=True) if owner is not None else None
    if bare is not None:
        caller = f"{bare.delegator or bare.caller} at {remote}, without a credential"
        return SeenState(Confinement.PERSON_IMPERSONABLE, f"every process of this user acts as {caller}")
    if whoami is not None and whoami.agent is None and credential is not None:
        return SeenState(
            Confinement.PERSON_IMPERSONABLE,
            f"this user can read the credential of {whoami.caller} in {credential.place}",
        )
    if os.environ.get(STARTED_BY) == str(os.geteuid()):
        # The command does not get the path of that credential, but it can search for the file.
        return SeenState(
            Confinement.PERSON_IMPERSONABLE,
            f"this user started the command with their own credential for {remote}, and can read it",
        )
    login = _login(remote)
    if login is not None:
        return SeenState(
            Confinement.PERSON_IMPERSONABLE,
            f"this user has logged in at {remote}, and can read {login.place}",
        )
    if whoami is not None:
        return SeenState(Confinement.CONFINED, f"{remote} accepts this user only as the agent {whoami.agent}")
    if not reachable:
        return SeenState(
            Confinement.CONFINED, f"this user can neither read the signing key nor connect to {remote}"
        )
    return SeenState(Confinement.CONFINED, f"{remote} requires a credential from every process of this user")


def _credential(config: Config) -> ClientCredential | None:
    """Return the configured credential, if this user can read it."""
    from jitid.authority.remote import credential

    client_credential = credential(config)
    if client_credential is None:
        return None
    try:
        client_credential.read()
    except JitidError:
        return None
    return client_credential


def _login(remote: str) -> ClientCredential | None:
    """Return the place of this user's login, which is not used in an agent's process but can be read there."""
    from jitid.authority.remote import login_credential

    return login_credential(remote)


def _may_belong_to(ledger: str, whoami: WhoAmI | None) -> bool:
    """Return whether a ledger on this machine may belong to the authority that answered."""
    if whoami is None:
        return True
    try:
        opened = folder.open_ledger(open_local.folder_of(ledger), by="doctor", timeout=_PATIENCE)
    except JitidError:
        return True
    try:
        return opened.names.issuer == whoami.issuer
    finally:
        opened.close()


def _server(path: str) -> int | None:
    """Return the uid of the process that listens on a socket; None if this user may not connect.

    Raises UnexaminedError if no process listens.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise UnexaminedError(f"{path} is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(path)
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except PermissionError:
        return None
    except OSError as error:
        raise UnexaminedError(f"nothing listens on {path}: {error.strerror}") from error
    return int(_CREDENTIALS.unpack(raw)[1])


def _whoami(config: Config, *, bare: bool = False) -> WhoAmI | None:
    """Return the caller that the authority recognises; None if it refuses this user."""
    from jitid.authority.remote import RemoteAuthority, open_remote

    try:
        if bare:
            authority = RemoteAuthority(parse_address(config.remote or ""), None, timeout=_PATIENCE)
        else:
            authority = open_remote(config, _PATIENCE)
        try:
            return authority.whoami()
        finally:
            authority.close()
    except RefusedError:
        return None
    except JitidError as error:
        raise UnexaminedError(error.message) from error
