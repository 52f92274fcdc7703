"""`jitid renew`: make a successor of a credential."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.issue.operations import AbandonRenewal, Renew
from jitid.cli import hints, read_input
from jitid.cli.invocation import Invocation
from jitid.cli.issue.request_input import secret_fields
from jitid.errors import JitidError, OutputError, StorageError, UsageError
from jitid.model.request import RenewRequest
from jitid.system import output, time_limit
from jitid.system.files import write_private
from jitid.system.output_place import check_output
from jitid.values.text import quote
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.issue import commands
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret

_TURN = 0.02
"""Seconds between two tries to lock a token file that another process renews."""


def renew(cli: Invocation, args: commands.RenewCommand) -> None:
    """Perform `jitid renew`."""
    in_place = None if args.token_file in (None, "-") else args.token_file
    if in_place is not None and args.out is not None:
        raise UsageError("--out and --token-file cannot go together", "FILE itself gets the new token")
    target = in_place or args.out
    replaced = None
    if args.out is not None:
        from jitid.cli.overwrite import Replaced

        replaced = Replaced(args.out)
    with _turn(in_place, cli.config().number("timeout")):
        token = read_input.token(in_place or "-", "the token to renew")
        _must_be_token(token)
        authority = open_authority(cli.config())
        request = RenewRequest(token, args.ttl, args.allow_narrower)
        with hints.advised():
            issued = authority.perform(Renew(request=request, accept_clock=cli.accept_clock))
        hand_over(cli, authority, issued, lambda: _hand_out(cli, args, issued, target))
        if target is not None:
            # The file has the successor now. The successor stays valid even if this output fails.
            _show(cli, args, issued, shown=False)
    for note in issued.notes:
        cli.note(note)
    if replaced is not None:
        replaced.report(cli, authority, issued, renewed=token)


_OTHERS = ("-----BEGIN", "ssh-", "ecdsa-", "sk-", "postgresql://", "{")
"""Prefixes of secrets of other kinds: PEM, the lines of SSH, a database's URL, JSON."""


def _must_be_token(secret: Secret) -> None:
    """Raise UsageError for a secret of a kind that gives no right to a successor: its holder may have stolen it."""
    if secret.reveal().startswith(_OTHERS):
        raise UsageError(
            "only a token of the kinds jwt and opaque is renewed by itself; nothing was changed",
            "ask for another one of that kind (jitid issue), or let `jitid run --secret NAME=KIND` renew it",
        )


def hand_over(cli: Invocation, authority: Authority, issued: Issued, show: Callable[[], None]) -> None:
    """Show a successor. If that fails, revoke it; the predecessor stays valid as before.

    Raises:
        OutputError: the successor could not be written.
        StorageError: nor could it be revoked.

    """
    try:
        show()
    except BaseException as error:
        (credential,) = issued.credentials
        time_limit.take_back()
        try:
            authority.perform(AbandonRenewal(token=credential.secret))
        except JitidError as failure:
            raise StorageError(
                f"the successor could be neither handed out nor taken back: {failure.message}",
                f"it ends at {format_time(issued.expires_at)}; to end the identity: "
                f"{cli.command(f'jitid revoke {credential.id}')}",
            ) from error
        if isinstance(error, OutputError):
            error.add("the successor was ended; the old token works as before")
        raise


def _hand_out(cli: Invocation, args: commands.RenewCommand, issued: Issued, target: str | None) -> None:
    secret = issued.credentials[0].secret
    if target is not None:
        write_private(target, f"{secret.reveal()}\n".encode())
    elif cli.field is None and cli.format is None:
        output.write(f"{secret.reveal()}\n")
    else:
        _show(cli, args, issued, shown=True)


def _show(cli: Invocation, args: commands.RenewCommand, issued: Issued, *, shown: bool) -> None:
    if cli.field is not None or cli.format is not None:
        cli.show_records(args.view, [issued], lambda issued: secret_fields(issued, shown=shown))


@contextmanager
def _turn(path: str | None, timeout: float) -> Iterator[None]:
    """Lock a token file, so that of two processes the second renews the token that the first wrote."""
    if path is None:
        yield
        return
    import fcntl

    if os.path.lexists(path) and not os.path.isdir(path):
        check_output(path)
    deadline = time.monotonic() + timeout
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            if os.path.islink(path):
                raise UsageError(
                    f"{quote(path, 200)} is a symbolic link, and only a file can be rewritten; nothing was changed",
                    "name the file itself",
                ) from error
            # This raises the error that every verb has for it.
            read_input.token(path, "the token to renew")
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"{quote(path, 200)} is not a regular file; nothing was changed")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StorageError(
                        f"somebody else held {quote(path, 200)} for {timeout:g} s; nothing was changed"
                    ) from None
                time.sleep(_TURN)
                continue
            # A renewal replaces the file, so another file may be at the path by now.
            if _is_at(path, descriptor):
                # Another user's file may have replaced it since the first check.
                check_output(path)
                yield
                return
        finally:
            os.close(descriptor)


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False
