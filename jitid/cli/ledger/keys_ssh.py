"""`jitid keys ssh` and `jitid keys krl`: the trusted keys and the revocation list for SSH hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.trust.operations import PublishSshAuthorities, PublishSshRevocations
from jitid.cli.invocation import Invocation
from jitid.errors import NotFoundError, UsageError
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.ledger import commands


def ssh(cli: Invocation, args: commands.KeysSshCommand) -> None:
    """Perform `jitid keys ssh`."""
    cli.expect_own_form()
    authorities = open_authority(cli.config()).perform(PublishSshAuthorities())
    if not authorities:
        raise NotFoundError(
            "this ledger has no key for SSH certificates yet",
            "the first `jitid issue --kind ssh-cert` makes it, or: jitid keys rotate --use ssh",
        )
    text = "".join(f"{authority.line}\n" for authority in authorities)
    if args.out is None:
        output.write(text)
        return
    from jitid.system.files import write_public

    write_public(args.out, text.encode())


def krl(cli: Invocation, args: commands.KeysKrlCommand) -> None:
    """Perform `jitid keys krl`."""
    cli.expect_own_form()
    if args.out is None and output.is_terminal():
        raise UsageError("the list is no text for a terminal", "name a file: --out revoked.krl")
    revoked = open_authority(cli.config()).perform(PublishSshRevocations())
    if args.out is None:
        output.write_bytes(revoked.krl)
    else:
        from jitid.system.files import write_public

        write_public(args.out, revoked.krl)
    keys = (
        ""
        if not revoked.keys
        else f" and {revoked.keys} {'key' if revoked.keys == 1 else 'keys'} of authorities"
    )
    plural = "certificate" if revoked.certificates == 1 else "certificates"
    cli.note(
        f"{revoked.certificates} {plural}{keys} on the list; hosts must fetch it, and sessions that are open stay open"
    )
