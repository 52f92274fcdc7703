"""`jitid status`: live and expiring credentials, and open problems. And `jitid whoami`: the caller and its powers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitid.authority.open import current_login, issuer, open_authority, open_if_there, shown_place
from jitid.capabilities.inventory.status_operations import ATTENTION, LedgerStatus, ShowStatus
from jitid.capabilities.sweep import last_sweep
from jitid.cli.invocation import Invocation
from jitid.errors import InvalidCredentialError, JitidError, UsageError
from jitid.formats.cell import counted
from jitid.system import output
from jitid.values.text import safe
from jitid.values.times import brief_duration, format_duration, format_time, optional_time

if TYPE_CHECKING:
    from jitid.capabilities.sweep.last_sweep import LastSweep
    from jitid.cli.identity import commands
    from jitid.model.access import LoginProof

_FIRST = 'jitid issue --task INC-4821 --delegator "$(id -un)"'
_DAY = 86_400
_WORST = ("critical", "high")
"""Severities of findings that need an operator."""


def status(cli: Invocation, args: commands.StatusCommand) -> None:
    """Perform `jitid status`."""
    config = cli.config()
    authority = open_if_there(config)
    if authority is None:
        _show_nothing(cli, args)
        return
    found = authority.perform(ShowStatus(soon=args.soon))
    swept = None if found.own else last_sweep.recall(shown_place(config), found.issuer)
    row: dict[str, Any] = {
        **{name: getattr(found, name) for name in args.view.fields if hasattr(found, name)},
        # The counts of open work are unknown to a caller without a role.
        **dict.fromkeys(ATTENTION if found.own else ()),
        "next_expiry": optional_time(found.next_expiry),
        "swept_at": None if swept is None else format_time(swept.at),
        "findings": None if swept is None else dict(swept.findings),
        "ledger": shown_place(config),
        "next": cli.command(_next(found, swept)),
    }
    logged_in = _login(cli)
    row |= login_fields(logged_in)
    if logged_in is not None and row["next"] == cli.command(_FIRST):
        # The person who logged in is the delegator.
        row["next"] = cli.command(_FIRST.partition(" --delegator")[0])
    if cli.by_eye() and cli.format is None:
        lines = _lines(found, swept, shown_place(config), args.soon)
        if logged_in is not None:
            until = f"{logged_in.delegator} until {row['login_expires_at']}, by {logged_in.issuer}"
            lines.insert(1, ("login", until))
        _write([*lines, ("next", row["next"])])
    else:
        cli.show_row(args.view, row)


def login_fields(found: LoginProof | None) -> dict[str, Any]:
    """Return the fields about a login."""
    if found is None:
        return {}
    return {
        "login": found.delegator,
        "login_issuer": found.issuer,
        "login_expires_at": format_time(found.expires_at),
    }


def _login(cli: Invocation) -> LoginProof | None:
    """Return this user's login; None without one, or if it cannot be read."""
    try:
        return current_login(cli.config())
    except JitidError as error:
        cli.warn(f"the login cannot be read: {error.message}")
        return None


def _show_nothing(cli: Invocation, args: commands.StatusCommand) -> None:
    """Show that there is no ledger yet."""
    address = shown_place(cli.config())
    row: dict[str, Any] = {**dict.fromkeys(args.view.fields), "ledger": address, "live": 0, "next": _FIRST}
    if cli.by_eye() and cli.format is None:
        _write([("ledger", f"{address}: none yet; the first issue creates it"), ("next", _FIRST)])
    else:
        cli.show_row(args.view, row)


def _write(lines: Iterable[tuple[str, str]]) -> None:
    output.write("".join(f"{name:<10} {safe(text)}\n" for name, text in (*lines, ("help", "jitid --help"))))


def _lines(found: LedgerStatus, swept: LastSweep | None, where: str, soon: int) -> list[tuple[str, str]]:
    live = counted(found.live, "credential")
    if found.next_expiry is not None:
        live += f"; expiring within {format_duration(soon)}: {found.expiring}, the next in {_left(found)}"
    lines = [("ledger", where), ("live", live)]
    if found.open_tasks:
        overdue = f"; {found.overdue_tasks} past the deadline" if found.overdue_tasks else ""
        lines.append(("tasks", f"{found.open_tasks} open{overdue}"))
    if found.own:
        return [
            *lines,
            ("scope", "your own credentials only: other counts need the role responder or auditor"),
        ]
    if found.leaked:
        lines.append(("leaked", f"{counted(found.leaked, 'reported credential')} still valid"))
    if found.standing:
        lines.append(("standing", f"{counted(found.standing, 'adopted credential')} without a task"))
    if found.unsettled:
        lines.append(
            ("targets", f"{counted(found.unsettled, 'ended credential')} not yet revoked at a target")
        )
    if found.approvals:
        lines.append(("approvals", f"{counted(found.approvals, 'request')} waiting"))
    return [*lines, ("sweep", _sweep(found.now, swept))]


def _left(found: LedgerStatus) -> str:
    return brief_duration(max((found.next_expiry or found.now) - found.now, 0))


def _sweep(now: int, swept: LastSweep | None) -> str:
    if swept is None:
        return "no sweep recorded for this user"
    counts = [f"{number} {severity}" for severity, number in swept.findings.items() if number]
    counts += [f"{swept.known} known (in the baseline)"] if swept.known else []
    found = ", ".join(counts) or "no findings"
    incomplete = "" if swept.complete else "; incomplete"
    return f"{brief_duration(max(now - swept.at, 0))} ago: {found}{incomplete}"


def _next(found: LedgerStatus, swept: LastSweep | None) -> str:
    """Return the one command that matters most."""
    if found.leaked:
        return "jitid leak list --valid"
    if found.approvals:
        return "jitid approve list --open"
    if not found.own:
        if swept is None or found.now - swept.at > _DAY or any(map(swept.findings.get, _WORST)):
            return "jitid sweep"
        if found.unsettled:
            return "jitid list --unsettled"
        if found.standing:
            return "jitid adopt suggest --all"
    if found.overdue_tasks:
        return "jitid list --by task --state overdue"
    if found.live:
        return "jitid list --live"
    return _FIRST


def whoami(cli: Invocation) -> None:
    """Perform `jitid whoami`."""
    from jitid.authority import confinement
    from jitid.cli.identity.commands import WhoamiCommand
    from jitid.model.ledger_condition import UnexaminedError

    config = cli.config()
    row: dict[str, Any] = dict.fromkeys(WhoamiCommand.view.fields)
    row["ledger"] = shown_place(config)
    if config.remote is None:
        from jitid.authority.open_local import caller

        row |= {"caller": caller(), "delegator": f"user:{caller()}", "proof": "os-user"}
        # Another user cannot read the ledger.
        with suppress(JitidError):
            row["issuer"] = issuer(config)
            logged_in = current_login(config)
            if logged_in is not None:
                row |= {"delegator": logged_in.delegator, "proof": "oidc", **login_fields(logged_in)}
    else:
        from jitid.authority.remote import open_remote

        authority = open_remote(config)
        answer = authority.whoami()
        authority.close()
        row |= {
            "caller": answer.caller,
            "delegator": answer.delegator,
            "proof": answer.proof,
            "roles": list(answer.roles),
            "agent": answer.agent,
            "issuer": answer.issuer,
            **login_fields(answer.login),
        }
    parent, refusal = _parent(cli)
    row |= parent
    try:
        seen = confinement.examine(config)
        row |= {"confinement": seen.confinement.value, "reason": seen.reason}
        if config.remote is None and seen.confinement.value == "key-readable":
            row["roles"] = ["all"]
    except UnexaminedError as error:
        row |= {"confinement": "unknown", "reason": str(error)}
    cli.show_row(WhoamiCommand.view, row)
    if refusal is not None:
        raise refusal


def _parent(cli: Invocation) -> tuple[dict[str, Any], JitidError | None]:
    """Return the fields of the credential that `issue` delegates from here, and the error if it is not valid."""
    from jitid.capabilities.run.token_place import RUN_TOKEN

    path = os.environ.get(RUN_TOKEN)
    if not path:
        return {}, None
    from jitid.capabilities.inventory.operations import Inspect
    from jitid.cli.identity.inspect import state
    from jitid.system import read_input

    try:
        token = read_input.token(path, "the token")
        inspection = open_authority(cli.config()).perform(Inspect(token=token))
    except (UsageError, InvalidCredentialError) as error:
        error.message = f"the token that {RUN_TOKEN} names cannot be used: {error.message}"
        # `issue` never delegates for the user instead.
        return {"delegator": None, "proof": None}, error
    except JitidError as error:
        cli.warn(f"the token that {RUN_TOKEN} names cannot be examined: {error.message}")
        return {"delegator": None, "proof": None}, None
    credential, refusal = inspection.credential, None
    if inspection.reason is not None:
        refusal = InvalidCredentialError(
            f"the token that {RUN_TOKEN} names is not valid: {inspection.reason}",
            f'for the reason: jitid inspect "${RUN_TOKEN}"',
        )
    row = {
        "delegator": credential.delegator,
        "proof": credential.delegator_proof,
        "agent": credential.agent,
        "task": credential.task,
        "expires_at": format_time(credential.expires_at),
        "state": state(inspection),
    }
    return row, refusal
