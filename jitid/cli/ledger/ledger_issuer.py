"""`jitid ledger issuer`: the issuer of the ledger's credentials, its former names, and a change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open_local import must_be_local, open_local
from jitid.cli.ask import can_prompt, confirm
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.cell import counted
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.trust.own_issuer import Naming
    from jitid.cli.ledger import commands


def issuer(cli: Invocation, args: commands.LedgerIssuerCommand) -> None:
    """Perform `jitid ledger issuer`."""
    if args.action == "set":
        if args.url is None:
            raise UsageError("`URL` is missing", "such as: jitid ledger issuer set https://id.example.com")
        _set(cli, args, args.url)
        return
    if args.url is not None or args.yes:
        raise UsageError(
            "show takes no URL and no --yes", "to change the issuer: jitid ledger issuer set URL"
        )
    must_be_local(cli.config())
    cli.show_records(args.shown_view(), _rows(open_local(cli.config()).look_at_names()))


def _set(cli: Invocation, args: commands.LedgerIssuerCommand, new_issuer: str) -> None:
    config = cli.config()
    must_be_local(config)
    authority = open_local(config, issuer=new_issuer, accept_clock=cli.accept_clock)
    if not args.yes:
        _confirm(cli, authority.look_at_names(new_issuer), new_issuer)
    change = authority.set_issuer(new_issuer, accept_clock=cli.accept_clock)
    former = change.names.former[-1]
    until = format_time(change.until) if change.live else None
    acceptance = "" if until is None else f"; credentials under {former} are accepted until {until}"
    cli.show_record(
        args.shown_view(),
        change,
        f"the issuer is {new_issuer}{acceptance} (audit event {change.event})\n",
        {"issuer": new_issuer, "former": former, "until": until},
    )
    if config.text("issuer") not in (None, new_issuer):
        cli.note(f"the configuration still says issuer = {former}: jitid config unset issuer")
    cli.note(f"verifiers that pin {former} refuse new tokens: tell them, and repeat `jitid publish DIR`")


def _confirm(cli: Invocation, naming: Naming, new_issuer: str) -> None:
    """Refuse a change while credentials are live; at a terminal, ask for confirmation instead. Raises UsageError."""
    if not naming.live or new_issuer == naming.names.issuer:
        return
    would = (
        f"change the issuer from {naming.names.issuer} to {new_issuer}, "
        f"with {counted(naming.live, 'live credential')}"
    )
    if not can_prompt(cli):
        raise UsageError(
            f"this would {would}; nothing was changed",
            "they stay valid until they expire; verifiers that pin the issuer refuse new ones; "
            "to change it, repeat with --yes",
        )
    confirm(would, naming.live, f"their number, {naming.live}, to change it; anything else changes nothing")


def _rows(naming: Naming) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"issuer": naming.names.issuer, "state": "current", "until": None}]
    for name, until in reversed(naming.names.lasting()):
        state = "accepted" if naming.now < until else "former"
        rows.append({"issuer": name, "state": state, "until": until or None})
    return rows
