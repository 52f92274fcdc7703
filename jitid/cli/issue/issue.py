"""`jitid issue` and `jitid renew`: issue a task-scoped credential, and make its successor."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitid.authority.hand_out import hand_out
from jitid.authority.open import open_authority, open_for_issue, open_for_preview
from jitid.capabilities.issue.operations import AbandonRenewal, Issue, Renew
from jitid.cli import hints
from jitid.cli.invocation import Invocation
from jitid.cli.issue.request_input import secret_fields, stated_request
from jitid.errors import ApprovalNeededError, JitidError, OutputError, StorageError, UsageError
from jitid.issuers.issuer import files_of, paths_of, text_of, usable_until
from jitid.model.credential import PARTS
from jitid.model.request import RenewRequest
from jitid.system import output, read_input, time_limit
from jitid.system.files import write_private
from jitid.system.output_place import check_output
from jitid.system.read_input import check_one_stdin
from jitid.values.text import quote, with_final_newline
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.issue import commands
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret


def issue(cli: Invocation, args: commands.IssueCommand) -> None:
    """Perform `jitid issue`."""
    many = args.count is not None or args.from_file is not None
    _check(cli, args, many=many)
    request, proof = stated_request(cli, args, public_key=args.public_key)
    if many:
        from jitid.cli.issue import issue_many

        issue_many.issue(cli, args, request, proof)
        return
    if args.yes:
        raise UsageError("--yes requires --count or --from-file")
    replaced = None
    if args.out is not None:
        from jitid.cli.hints import Replaced

        for path in paths_of(request.kind, args.out, key=request.public_key is None)[1:]:
            check_output(path)
        replaced = Replaced(args.out)
    operation = Issue(
        requests=(request,),
        delegator_token=proof,
        dry_run=args.dry_run,
        as_of=args.as_of,
        accept_clock=cli.accept_clock,
    )
    if args.dry_run:
        (foreseen,) = open_for_preview(cli.config()).perform(operation)
        cli.show_records(args.decided, [foreseen], _decision_fields)
        return
    authority = open_for_issue(cli.config(), operation, cli.note)
    try:
        with hints.advised():
            (issued,) = authority.perform(operation)
    except ApprovalNeededError as denial:
        from jitid.cli.issue import approve_verbs

        authority, (issued,) = approve_verbs.approved(cli, authority, denial, operation, args.wait)
    hand_out(authority, [issued], lambda: _show(cli, issued, args), warn=cli.warn, command=cli.command)
    for note in issued.notes:
        cli.note(note)
    if replaced is not None:
        replaced.report(cli, authority, issued)


def _check(cli: Invocation, args: commands.IssueCommand, *, many: bool) -> None:
    """Raise UsageError for options that contradict each other, or for a field that will not be shown."""
    if args.dry_run and not many:
        cli.expect(args.decided.fields)
    else:
        # A part of a secret is shown alone.
        cli.expect((*args.issued.fields, *(_parts(cli, args) if len(cli.field) == 1 else ())))
    check_one_stdin(args.parent_file, args.from_file, args.delegator_token_file, args.public_key)
    if args.dry_run and args.wait is not None:
        raise UsageError("--wait and --dry-run exclude each other: a dry run requests no approval")
    if args.as_of is not None and not args.dry_run:
        raise UsageError(
            "--as-of requires --dry-run",
            "a credential is always issued for the current time",
        )


def _parts(cli: Invocation, args: commands.IssueCommand) -> tuple[str, ...]:
    """Return the parts of the secret that can be shown alone."""
    kind = "" if args.kind is None else args.kind.kind.partition(":")[0]
    if kind in ("openbao-lease", "exec") and cli.field:
        # Its maker decides which parts it has.
        return cli.field
    return PARTS.get(kind, ())


def _show(cli: Invocation, issued: Issued, args: commands.IssueCommand) -> None:
    secret = issued.credentials[0].secret
    ends_at = usable_until(issued.expires_at, issued.credentials[0].facts)
    plain = not cli.field and cli.format is None
    if args.out is not None:
        for path, text in files_of(issued.kind, secret, ends_at, args.out).items():
            write_private(path, text.encode())
    elif plain:
        output.write(text_of(issued.kind, secret, ends_at))
    if plain:
        return
    name = cli.field[0] if len(cli.field) == 1 else ""
    if name in secret.names and name not in args.issued.fields:
        # With --out, the secret is in the file, and nowhere else.
        if args.out is None:
            output.write(with_final_newline(secret.reveal(name)))
        return
    cli.show_records(args.issued, [issued], lambda issued: secret_fields(issued, shown=args.out is None))


def _decision_fields(foreseen: Issued) -> dict[str, Any]:
    return {
        "decision": "permit",
        "lifetime": format_duration(foreseen.expires_at - foreseen.issued_at),
        "refused_scopes": tuple([refusal.scope for refusal in foreseen.decision.refused]),
    }


_TURN = 0.02
"""Seconds between two tries to lock a token file that another process renews."""


def renew(cli: Invocation, args: commands.RenewCommand) -> None:
    """Perform `jitid renew`."""
    in_place = None if args.token_file in (None, "-") else args.token_file
    if in_place is not None and args.out is not None:
        raise UsageError(
            "--out and --token-file exclude each other", "--token-file FILE also receives the new token"
        )
    target = in_place or args.out
    replaced = None
    if args.out is not None:
        from jitid.cli.hints import Replaced

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
            _show_successor(cli, args, issued, shown=False)
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
            "only tokens of the kinds jwt and opaque can be renewed; nothing was changed",
            "issue another one (jitid issue), or use `jitid run --secret NAME=KIND`",
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
                f"the successor could be neither delivered nor revoked: {failure.message}",
                f"it expires at {format_time(issued.expires_at)}; to revoke the identity: "
                f"{cli.command(f'jitid revoke {credential.id}')}",
            ) from error
        if isinstance(error, OutputError):
            error.add("the successor was revoked; the old token stays valid")
        raise


def _hand_out(cli: Invocation, args: commands.RenewCommand, issued: Issued, target: str | None) -> None:
    secret = issued.credentials[0].secret
    if target is not None:
        write_private(target, f"{secret.reveal()}\n".encode())
    elif not cli.field and cli.format is None:
        output.write(f"{secret.reveal()}\n")
    else:
        _show_successor(cli, args, issued, shown=True)


def _show_successor(cli: Invocation, args: commands.RenewCommand, issued: Issued, *, shown: bool) -> None:
    if cli.field or cli.format is not None:
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
                    f"{quote(path, 200)} is a symbolic link; only a regular file can be replaced; nothing was changed",
                    "name the file that the link points to",
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
                        f"another process locked {quote(path, 200)} for {timeout:g} s; nothing was changed"
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
