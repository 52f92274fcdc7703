"""`jitid keys` and `jitid publish`: changes of the signing keys, and the files that verifiers need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jitid.authority import settle_at_targets
from jitid.authority.open import open_authority
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.trust.algorithms import LEGACY
from jitid.capabilities.trust.operations import (
    ImportAuthority,
    ListAlgorithms,
    ListKeys,
    PublishBundle,
    PublishKeys,
    PublishRevocations,
    PublishSshAuthorities,
    PublishSshRevocations,
    RequestAuthority,
    RevokeKey,
    RotateKey,
    SetAlgorithm,
)
from jitid.cli.identity.revoke import COUNTING, report_ended, unproved
from jitid.cli.invocation import Invocation
from jitid.cli.progress import performed
from jitid.errors import ExitStatus, IntegrityError, NotFoundError, UsageError
from jitid.formats.cell import counted
from jitid.keys.keyring import USES
from jitid.model.ledger_rows import Selection
from jitid.system import output
from jitid.system.read_input import unmarked
from jitid.values.field_types import MAX_CHAIN
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.cli.ledger import commands
    from jitid.operation.base import Authority


def jwks(cli: Invocation, operation: PublishKeys) -> None:
    """Perform `jitid keys export jwks`."""
    put(json.dumps(open_authority(cli.config()).perform(operation), indent=2) + "\n", operation.out)


def ssh(cli: Invocation, operation: PublishSshAuthorities) -> None:
    """Perform `jitid keys export ssh`."""
    authorities = open_authority(cli.config()).perform(operation)
    if not authorities:
        raise NotFoundError(
            "this ledger has no key for SSH certificates yet",
            "to make one: jitid keys rotate --use ssh",
        )
    put("".join(f"{authority.line}\n" for authority in authorities), operation.out)


def krl(cli: Invocation, operation: PublishSshRevocations) -> None:
    """Perform `jitid keys export krl`."""
    if operation.out is None and output.is_terminal():
        raise UsageError("the list is binary: not written to a terminal", "name a file: --out revoked.krl")
    revoked = open_authority(cli.config()).perform(operation)
    put(revoked.krl, operation.out)
    keys = f" and {counted(revoked.keys, 'key')} of authorities" if revoked.keys else ""
    cli.note(
        f"{counted(revoked.certificates, 'certificate')}{keys} on the list; "
        "hosts must fetch it, and open sessions stay open"
    )


def bundle(cli: Invocation, operation: PublishBundle) -> None:
    """Perform `jitid keys export bundle`."""
    trust_bundle = open_authority(cli.config()).perform(operation)
    if cli.special_format == "pem":
        from jitid.crypto.der import to_pem

        if not trust_bundle.roots:
            raise IntegrityError(
                "the ledger has no X.509 authority yet",
                "to make one, issue a certificate: jitid issue --kind x509-svid",
            )
        put("".join(map(to_pem, trust_bundle.roots)), operation.out)
    else:
        document = trust_bundle.for_tokens if cli.special_format == "jwt" else trust_bundle.document
        put(json.dumps(document, indent=2) + "\n", operation.out)


def crl(cli: Invocation, operation: PublishRevocations) -> None:
    """Perform `jitid keys export crl`."""
    der = cli.special_format == "der"
    if der and operation.out is None:
        raise UsageError("DER is binary: --format der requires --out FILE", "for text: --format pem")
    lists = open_authority(cli.config()).perform(operation)
    if not lists:
        raise IntegrityError(
            "this machine has no key of an X.509 authority of the ledger",
            "to make one, issue a certificate: jitid issue --kind x509-svid",
        )
    if der and len(lists) > 1:
        raise UsageError(
            f"{len(lists)} authorities may have live certificates, but DER holds one list",
            "use --format pem",
        )
    from jitid.crypto.der import to_pem

    put(lists[0].der if der else "".join(to_pem(each.der, "X509 CRL") for each in lists), operation.out)


def publish(cli: Invocation, args: commands.PublishCommand) -> None:
    """Perform `jitid publish`."""
    from jitid.capabilities.trust import publish_folder

    config = cli.config()
    authority = open_authority(config)
    published = publish_folder.publish(
        authority, args.folder, float(config.number("timeout")), dry=args.dry_run
    )
    cli.show_records(args.view, published.files)
    for note in published.notes:
        cli.note(note)


def put(content: str | bytes, out: str | None) -> None:
    """Write to standard output, or to a file that all users may read. Raises OutputError."""
    if out is not None:
        from jitid.system.files import write_public

        write_public(out, content.encode() if isinstance(content, str) else content)
    elif isinstance(content, str):
        output.write(content)
    else:
        output.write_bytes(content)


def rotate(cli: Invocation, operation: RotateKey) -> None:
    """Perform `jitid keys rotate`."""
    operation = operation.replace(algorithm=operation.algorithm or USES[operation.use][0])
    change = open_authority(cli.config()).perform(operation)
    stated = {"use": operation.use, "algorithm": operation.algorithm}
    cli.show_record(operation.view, change, f"{change.kid}\n", stated)
    for kid in change.retired:
        cli.note(f"{kid} no longer signs; its signatures stay valid")
    for command in change.further:
        cli.note(f"a key of another algorithm still signs; to replace it too: {command}")


def algorithm(cli: Invocation, args: commands.KeysAlgorithmCommand) -> None:
    """Perform `jitid keys algorithm`."""
    authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
    if args.algorithm is None:
        rows = authority.perform(ListAlgorithms())
        cli.show_records(args.view, rows)
        if LEGACY in [row.reason for row in rows]:
            cli.note("to sign service tokens like a new ledger: jitid keys algorithm ES256")
        return
    change = authority.perform(SetAlgorithm(algorithm=args.algorithm, accept_clock=cli.accept_clock))
    done = f"service tokens are signed with {change.algorithm}"
    sentence = f"{done} already; nothing was changed" if change.event is None else f"{done} from now on"
    cli.show_record(args.shown_view(), change, f"{sentence}\n")


def revoke(cli: Invocation, args: commands.KeysRevokeCommand) -> None:
    """Perform `jitid keys revoke`."""
    authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
    if args.dry_run:
        report_ended(cli, _foreseen(cli, authority, args.kid), dry_run=True)
        return
    revocation = RevokeKey(
        kid=args.kid,
        reason=args.reason,
        most=cli.most(args.max_, yes=args.yes),
        accept_clock=cli.accept_clock,
    )
    change = performed(cli, authority, revocation, "revoking the key's credentials")
    if change.unproved is not None:
        cli.warn(unproved(change.unproved))
    if change.hindered is not None:
        cli.warn(f"the revoked key has no successor: {change.hindered}")
        cli.status = ExitStatus.PARTIAL
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


def _foreseen(cli: Invocation, authority: Authority, kid: str) -> Ended:
    if kid not in [row.key.kid for row in authority.perform(ListKeys())]:
        raise NotFoundError(f"the ledger never had a key {quote(kid)}", "to see its keys: jitid keys list")
    try:
        preview = Revoke(selection=Selection(kids=(kid,)), most=None, dry_run=True)
        return performed(cli, authority, preview, COUNTING)
    except NotFoundError:
        raise NotFoundError(
            f"the key {quote(kid)} has signed no credential yet; nothing was changed"
        ) from None


def _sentence(change: KeyChange) -> str:
    if change.event is None or change.radius is None:
        return "the key was revoked already; nothing was changed\n"
    successor = f"; {change.successor} signs from now on" if change.successor else ""
    return f"revoked {revocation_result.blast(change.radius)} (audit event {change.event}){successor}\n"


def request(cli: Invocation, operation: RequestAuthority) -> None:
    """Perform `jitid keys ca request`."""
    requested = open_authority(cli.config()).perform(operation)
    put(requested.request, operation.out)
    cli.note(f"{requested.kid} waits for its certificate: jitid keys ca import CHAIN")


def import_(cli: Invocation, operation: ImportAuthority) -> None:
    """Perform `jitid keys ca import`."""
    chain = unmarked(operation.file or "-", MAX_CHAIN, "the chain of certificates")
    operation = operation.replace(chain=chain.decode("ascii", "replace"))
    imported = open_authority(cli.config()).perform(operation)
    cli.show_record(operation.view, imported, f"{imported.kid}\n")
    for kid in imported.retired:
        cli.note(f"{kid} no longer certifies; its certificates stay valid")
