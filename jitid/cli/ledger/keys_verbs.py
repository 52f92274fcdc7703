"""`jitid keys rotate`, `revoke`, `request` and `import`: changes of the signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority import settle_at_targets
from jitid.authority.open import open_authority
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.trust.operations import (
    ImportAuthority,
    ListKeys,
    RequestAuthority,
    RevokeKey,
    RotateKey,
)
from jitid.cli import read_input
from jitid.cli.identity.revoke import report_ended, unproved
from jitid.cli.invocation import Invocation
from jitid.cli.ledger.public_keys import put
from jitid.errors import NotFoundError
from jitid.keys.keyring import USES
from jitid.model.ledger_rows import Selection
from jitid.values.field_types import MAX_CHAIN
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.cli.ledger import commands
    from jitid.operation.base import Authority


def rotate(cli: Invocation, args: commands.KeysRotateCommand) -> None:
    """Perform `jitid keys rotate`."""
    algorithm = args.algorithm or USES[args.use][0]
    change = open_authority(cli.config()).perform(
        RotateKey(algorithm=algorithm, use=args.use, transit=args.transit, accept_clock=cli.accept_clock)
    )
    cli.show_record(args.view, change, f"{change.kid}\n", {"use": args.use, "algorithm": algorithm})
    for kid in change.retired:
        cli.note(f"{kid} signs nothing more, and still verifies what it signed")


def revoke(cli: Invocation, args: commands.KeysRevokeCommand) -> None:
    """Perform `jitid keys revoke`."""
    authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
    if args.dry_run:
        report_ended(cli, _foreseen(authority, args.kid), dry_run=True)
        return
    change = authority.perform(
        RevokeKey(
            kid=args.kid,
            reason=args.reason,
            most=cli.most(args.max_, yes=args.yes),
            accept_clock=cli.accept_clock,
        )
    )
    if change.unproved is not None:
        cli.warn(unproved(change.unproved))
    # The holder of a token of that key may hold further credentials, made at targets.
    settle_at_targets.settle_event(authority, change.event, cli.warn)
    radius = change.radius
    ended = {
        "kid": args.kid,
        "ended": radius.credentials if radius else 0,
        "identities": radius.identities if radius else 0,
        "offline_until": radius.offline_until if radius else None,
    }
    cli.show_record(args.view, change, _sentence(change), ended)


def _foreseen(authority: Authority, kid: str) -> Ended:
    if kid not in [row.key.kid for row in authority.perform(ListKeys())]:
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


def request(cli: Invocation, args: commands.KeysRequestCommand) -> None:
    """Perform `jitid keys request`."""
    requested = open_authority(cli.config()).perform(RequestAuthority(accept_clock=cli.accept_clock))
    put(requested.request, args.out)
    cli.note(f"{requested.kid} waits for its certificate: jitid keys import CHAIN")


def import_(cli: Invocation, args: commands.KeysImportCommand) -> None:
    """Perform `jitid keys import`."""
    chain = read_input.unmarked(args.chain or "-", MAX_CHAIN, "the chain of certificates")
    imported = open_authority(cli.config()).perform(
        ImportAuthority(chain=chain.decode("ascii", "replace"), accept_clock=cli.accept_clock)
    )
    cli.show_record(args.view, imported, f"{imported.kid}\n")
    for kid in imported.retired:
        cli.note(f"{kid} certifies nothing more, and what it certified stays valid")
