"""`jitid helper pgpass`: a password file, or a service file, for libpq and programs that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.run.delivery import pg_service as libpq
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.errors import UsageError
from jitid.model.credential import Kind
from jitid.system import output
from jitid.system.files import write_private
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.helper import commands
    from jitid.values.secret import Secret

_LONGEST = 64


def pgpass(cli: Invocation, args: commands.HelperPgpassCommand) -> None:
    """Perform `jitid helper pgpass`."""
    template = args.template
    service = args.service
    cli.expect_own_form()
    if service is not None and not _is_section(service):
        raise UsageError(f"{quote(service)} cannot be the name of a service", "such as --service db")
    issued = obtain(
        cli,
        Kind.POSTGRES_ROLE if template is None else f"{Kind.POSTGRES_ROLE}:{template}",
        scope=args.scope,
        ttl=args.ttl,
        task=args.task,
        delegator=args.delegator,
        agent=args.agent,
        parent_file=args.parent_file,
    )
    text = _text(issued.credentials[0].secret, service)

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


def _is_section(name: str) -> bool:
    return 0 < len(name) <= _LONGEST and name.isascii() and name.isprintable() and not set(name) & set("[]# ")
