"""`jitid access`: manage access to an authority."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority, open_or_create_authority
from jitid.authority.open_local import open_or_create_local
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import (
    BootstrapAccess,
    GrantAccess,
    ListAccess,
    RevokeAccess,
    RotateAccess,
)
from jitid.cli.invocation import Invocation
from jitid.errors import JitidError, OutputError, StorageError, UsageError
from jitid.model.access import Access, AccessState
from jitid.system import output, time_limit
from jitid.system.files import write_private
from jitid.system.output_place import check_output
from jitid.values.text import decoded, number_of, quote
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.access.grant import Granted
    from jitid.formats.columns import Columns
    from jitid.operation.base import Authority


def grant(cli: Invocation, operation: GrantAccess) -> None:
    """Perform `jitid access grant`."""
    request = AccessRequest(
        operation.name,
        operation.role,
        operation.ttl,
        None if operation.key is None else _key(operation.key),
        tuple(dict.fromkeys(operation.audience)),
        operation.all_audiences,
    )
    authority = open_or_create_authority(cli.config(), cli.note)
    _hand_out(cli, operation, authority, authority.perform(operation.replace(wanted=request)))
    if not operation.role:
        cli.note(f"{operation.name} has no role: for its own credentials only; to add one: --role ROLE")


def rotate(cli: Invocation, operation: RotateAccess) -> None:
    """Perform `jitid access rotate`."""
    authority = open_authority(cli.config())
    _hand_out(cli, operation, authority, authority.perform(operation))


def list_(cli: Invocation, operation: ListAccess) -> None:
    """Perform `jitid access list`."""
    page = open_authority(cli.config()).perform(operation)

    def computed(access: Access) -> dict[str, Any]:
        state = access.state_at(page.now)
        left = format_duration(access.ends_at - page.now) if state is AccessState.ACTIVE else None
        return {"state": state, "left": left}

    cli.show_records(operation.view, page.found, computed)
    cli.note_more(len(page.found), operation.limit)


def revoke(cli: Invocation, operation: RevokeAccess) -> None:
    """Perform `jitid access revoke`."""
    ids = tuple(text for text in operation.whose if text.startswith("acc_"))
    names = tuple(text for text in operation.whose if text not in ids)
    revoked = open_authority(cli.config()).perform(operation.replace(ids=ids, names=names))
    credentials = number_of(len(revoked.ids), "access credential")
    sentence = (
        f"revoked {credentials} (audit event {revoked.event})"
        if revoked.ids
        else "nothing to revoke: no access was valid any longer"
    )
    cli.show_record(operation.view, revoked, f"{sentence}\n")


def bootstrap(cli: Invocation, operation: BootstrapAccess) -> None:
    """Perform `jitid access bootstrap`."""
    write_bootstrap(cli, open_or_create_local(cli.config(), cli.note), operation)


def write_bootstrap(cli: Invocation, authority: Authority, operation: BootstrapAccess) -> None:
    """Write a bootstrap credential into a new file with mode 0600.

    Raises:
        UsageError: the file exists, or there is an administrator; nothing was changed.
        OutputError: the file could not be written; the credential was revoked.

    """
    path = operation.file
    if os.path.lexists(path):
        raise UsageError(
            f"{quote(path)} exists already and is not overwritten; nothing was changed",
            "name a new file, or delete the old one",
        )
    check_output(path)
    granted = authority.perform(operation)
    try:
        _write_new(path, granted)
    except BaseException:
        _end(cli, authority, granted)
        raise
    cli.note(
        f"the credential in {path} grants the role admin once, before {format_time(granted.access.expires_at)}: "
        "jitid access grant NAME --role admin"
    )


def _write_new(path: str, granted: Granted) -> None:
    assert granted.secret is not None
    try:
        # O_EXCL: only the process that creates the file writes to it. The mode is set at creation, under any umask.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, f"{granted.secret.reveal()}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(
            f"{quote(path)} could not be written: {(error.strerror or 'error').lower()}",
            "the new credential was revoked",
        ) from error


def _key(path: str) -> str:
    from jitid.capabilities.access.oidc import MAX_KEY
    from jitid.system.read_input import read

    return decoded(read(path, MAX_KEY, "the key"), "the key")


def _hand_out(
    cli: Invocation, operation: GrantAccess | RotateAccess, authority: Authority, granted: Granted
) -> None:
    """Show a new access credential. On any error, revoke it: an unshown credential must not stay valid."""
    try:
        _show(cli, operation.view, granted, operation.out)
    except BaseException as error:
        _end(cli, authority, granted, error)
        if isinstance(error, OutputError):
            error.add("the new access credential was revoked")
        raise
    proof = "key" if granted.secret is None else "token"
    roles = " and ".join(filter(None, [", ".join(granted.access.roles[:-1]), *granted.access.roles[-1:]]))
    cli.note(
        f"{granted.access.name} has access with this {proof} until {format_time(granted.access.expires_at)}"
        f"{f', as {roles}' if roles else ''} ({granted.access.id})"
    )


def _show(cli: Invocation, view: Columns, granted: Granted, out: str | None) -> None:
    token = None if granted.secret is None else granted.secret.reveal()
    line = f"{granted.access.id if token is None else token}\n"
    plainly = not cli.field and cli.format is None
    if out is not None:
        write_private(out, line.encode())
        if plainly:
            return
    if plainly:
        output.write(line)
        return
    cli.show_records(view, [granted], lambda _: {"token": None if out is not None else token})


def _end(cli: Invocation, authority: Authority, granted: Granted, error: BaseException | None = None) -> None:
    time_limit.take_back()
    try:
        authority.perform(RevokeAccess(ids=(granted.access.id,), reason="it could not be delivered"))
    except JitidError as failure:
        raise StorageError(
            f"the new access credential could be neither delivered nor revoked: {failure.message}",
            f"to revoke it before it expires at {format_time(granted.access.expires_at)}: "
            + cli.command(f"jitid access revoke {granted.access.id}"),
        ) from error
