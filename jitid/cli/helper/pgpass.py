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
    from jitid.cli import options
    from jitid.values.secret import Secret

_LONGEST = 64


def pgpass(
    cli: Invocation,
    template: options.Template = None,
    service: options.PgService = None,
    task: options.Task = None,
    delegator: options.Delegator = None,
    agent: options.Agent = None,
    scope: options.Scopes = None,
    ttl: options.Ttl = None,
    parent_file: options.ParentFile = None,
    out: options.PrivateOut = None,
) -> None:
    """Give psql, and whatever else uses libpq, a role of its own, as a password file or a service file.

    With --service, which names a section of a service file, host, database, role and password are all in it, and
    `PGSERVICEFILE=<(jitid helper pgpass --service db) psql service=db` leaves nothing on the disk. Without it, it is
    the password alone, in the lines of a password file: libpq takes that from a regular file only, so that --out FILE
    or a shell's temporary file has to stand behind PGPASSFILE; the fourth field is the role, for PGUSER.

    The role's time is that of any credential: a connection that is open at its end is ended with it.
    """
    cli.expect_own_form()
    if service is not None and not _is_section(service):
        raise UsageError(f"{quote(service)} cannot be the name of a service", "such as --service db")
    issued = obtain(
        cli,
        Kind.POSTGRES_ROLE if template is None else f"{Kind.POSTGRES_ROLE}:{template}",
        scope=scope or (),
        ttl=ttl,
        task=task,
        delegator=delegator,
        agent=agent,
        parent_file=parent_file,
    )
    text = _text(issued.credentials[0].secret, service)

    def show() -> None:
        if out is None:
            output.write(text)
        else:
            write_private(out, text.encode())

    hand_over(cli, issued, show)


def _text(secret: Secret, name: str | None) -> str:
    login_place = libpq.place_of(secret.reveal("url"))
    role = (login_place, secret.reveal("username"), secret.reveal("password"))
    if name is None:
        return libpq.passwords(role)
    return libpq.service(name, *role) + f"password={secret.reveal('password')}\n"


def _is_section(name: str) -> bool:
    return 0 < len(name) <= _LONGEST and name.isascii() and name.isprintable() and not set(name) & set("[]# ")
