"""`jitid keys`: list, rotate, revoke and publish the signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority import settle_at_targets
from jitid.authority.open import open_authority
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.trust.operations import ListKeys, PublishKeys, RevokeKey, RotateKey
from jitid.cli import record_rows
from jitid.cli.identity.revoke import FIELDS as FORESEEN
from jitid.cli.identity.revoke import check_reason, most_of, report_ended, unproved
from jitid.cli.invocation import Invocation
from jitid.errors import NotFoundError, UsageError
from jitid.formats.display import Display
from jitid.keys.keyring import USES
from jitid.model.ledger_rows import Selection
from jitid.system import output
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.cli.ledger import commands
    from jitid.model.ledger_rows import SigningKey
    from jitid.operation.base import Authority

FIELDS = ("kid", "use", "algorithm", "state", "created_at", "retired_at", "revoked_at", "needed_until")
BRIEF = ("kid", "use", "algorithm", "state")
ROTATED = ("kid", "use", "algorithm", "retired", "event")
REVOKED = ("kid", "ended", "identities", "successor", "offline_until", "event")


def list_(cli: Invocation) -> None:
    """Perform `jitid keys list`."""
    cli.expect(FIELDS)
    keys = open_authority(cli.config()).perform(ListKeys())
    cli.show(
        Display(
            "jitid.keys/1",
            record_rows.columns(cli, FIELDS, BRIEF),
            [
                {
                    "kid": key.kid,
                    "use": key.use,
                    "algorithm": key.algorithm,
                    "state": _state(key),
                    "created_at": record_rows.time(key.created_at),
                    "retired_at": record_rows.time(key.retired_at),
                    "revoked_at": record_rows.time(key.revoked_at),
                    "needed_until": record_rows.time(needed_until),
                }
                for key, needed_until in keys
            ],
        )
    )


def _state(key: SigningKey) -> str:
    if key.revoked_at or key.retired_at:
        return "revoked" if key.revoked_at else "retired"
    return "signing" if key.signs else "waiting"


def rotate(cli: Invocation, args: commands.KeysRotateCommand) -> None:
    """Perform `jitid keys rotate`."""
    algorithm = args.algorithm
    use = args.use
    purpose = use or "jws"
    if purpose not in USES:
        raise UsageError(f"{quote(purpose)} is no use of a key", f"choose one of: {', '.join(USES)}")
    if algorithm is not None and algorithm not in USES[purpose]:
        raise UsageError(
            f"{quote(algorithm)} is no algorithm" + ("" if use is None else f" of keys for {use}"),
            f"choose one of: {', '.join(sorted(USES[purpose]))}",
        )
    cli.expect(ROTATED)
    chosen = algorithm or USES[purpose][0]
    change = open_authority(cli.config()).perform(
        RotateKey(algorithm=chosen, use=purpose, transit=args.transit, accept_clock=cli.accept_clock)
    )
    if cli.field is not None or cli.format_name() is not None:
        row = {
            "kid": change.kid,
            "use": purpose,
            "algorithm": chosen,
            "retired": change.retired,
            "event": change.event,
        }
        cli.show(Display("jitid.keys-rotate/1", ROTATED, [row], one=True))
    else:
        output.write(f"{change.kid}\n")
    for kid in change.retired:
        cli.note(f"{kid} signs nothing more, and still verifies what it signed")


def revoke(cli: Invocation, args: commands.KeysRevokeCommand) -> None:
    """Perform `jitid keys revoke`."""
    cli.expect(FORESEEN if args.dry_run else REVOKED)
    authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
    if args.dry_run:
        report_ended(cli, _foreseen(authority, args.kid), dry_run=True)
        return
    change = authority.perform(
        RevokeKey(
            kid=args.kid,
            reason=check_reason(args.reason),
            most=None if args.yes else most_of(cli, args.max_),
            accept_clock=cli.accept_clock,
        )
    )
    if change.unproved is not None:
        cli.warn(unproved(change.unproved))
    # The holder of a token of that key may hold further credentials, made at targets.
    settle_at_targets.settle_event(authority, change.event, cli.warn)
    if cli.field is None and cli.format_name() is None:
        output.write(_sentence(change))
        return
    radius = change.radius
    row = {
        "kid": args.kid,
        "ended": radius.credentials if radius else 0,
        "identities": radius.identities if radius else 0,
        "successor": change.successor,
        "offline_until": record_rows.time(radius.offline_until) if radius else None,
        "event": change.event,
    }
    cli.show(Display("jitid.keys-revoke/1", REVOKED, [row], one=True))


def _foreseen(authority: Authority, kid: str) -> Ended:
    if kid not in [key.kid for key, _ in authority.perform(ListKeys())]:
        raise NotFoundError(f"this ledger never had a key {quote(kid)}", "see: jitid keys list")
    try:
        return authority.perform(Revoke(selection=Selection(kids=(kid,)), most=None, dry_run=True))
    except NotFoundError:
        raise NotFoundError(f"the key {quote(kid)} has signed nothing yet; nothing was changed") from None


def _sentence(change: KeyChange) -> str:
    if change.event is None or change.radius is None:
        return "nothing was live: the key had been revoked already\n"
    successor = f"; {change.successor} signs from now on" if change.successor else ""
    return f"ended {revocation_result.blast(change.radius)} (audit event {change.event}){successor}\n"


def jwks(cli: Invocation, args: commands.KeysJwksCommand) -> None:
    """Perform `jitid keys jwks`."""
    import json

    cli.expect_own_form("json")
    text = json.dumps(open_authority(cli.config()).perform(PublishKeys()), indent=2)
    if args.out is None:
        output.write(f"{text}\n")
    else:
        from jitid.system.files import write_public

        write_public(args.out, f"{text}\n".encode())
