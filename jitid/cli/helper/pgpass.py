"""`jitid helper pgpass`: a password file, or a service file, for libpq and programs that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.run.delivery import pg_service as libpq
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.system import output
from jitid.system.files import write_private

if TYPE_CHECKING:
    from jitid.cli.helper import commands
    from jitid.values.secret import Secret


def pgpass(cli: Invocation, args: commands.HelperPgpassCommand) -> None:
    """Perform `jitid helper pgpass`."""
    cli.expect_own_form()
    issued = obtain(cli, args, args.template)
    text = _text(issued.credentials[0].secret, args.service)

    def show() -> None:
        if args.out is None:
            output.write(text)
        else:
            write_private(args.out, text.encode())

    hand_over(cli, issued, show)


def _text(secret: Secret, name: str | None) -> str:
    login_place = libpq.place_of(secret.reveal("url"))
    role = (login_place, secret.reveal("username"), secret.reveal("password"))
    if name is None:
        return libpq.passwords(role)
    return libpq.service(name, *role) + f"password={secret.reveal('password')}\n"
