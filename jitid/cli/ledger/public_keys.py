"""`jitid keys jwks`, `ssh`, `krl`, `bundle` and `crl`, and `jitid publish`: the files that verifiers need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.trust.operations import (
    PublishBundle,
    PublishKeys,
    PublishRevocations,
    PublishSshAuthorities,
    PublishSshRevocations,
)
from jitid.cli.invocation import Invocation
from jitid.errors import IntegrityError, NotFoundError, UsageError
from jitid.formats.cell import counted
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.ledger import commands


def jwks(cli: Invocation, args: commands.KeysJwksCommand) -> None:
    """Perform `jitid keys jwks`."""
    put(json.dumps(open_authority(cli.config()).perform(PublishKeys()), indent=2) + "\n", args.out)


def ssh(cli: Invocation, args: commands.KeysSshCommand) -> None:
    """Perform `jitid keys ssh`."""
    authorities = open_authority(cli.config()).perform(PublishSshAuthorities())
    if not authorities:
        raise NotFoundError(
            "this ledger has no key for SSH certificates yet",
            "the first `jitid issue --kind ssh-cert` makes it, or: jitid keys rotate --use ssh",
        )
    put("".join(f"{authority.line}\n" for authority in authorities), args.out)


def krl(cli: Invocation, args: commands.KeysKrlCommand) -> None:
    """Perform `jitid keys krl`."""
    if args.out is None and output.is_terminal():
        raise UsageError("the list is no text for a terminal", "name a file: --out revoked.krl")
    revoked = open_authority(cli.config()).perform(PublishSshRevocations())
    put(revoked.krl, args.out)
    keys = f" and {counted(revoked.keys, 'key')} of authorities" if revoked.keys else ""
    cli.note(
        f"{counted(revoked.certificates, 'certificate')}{keys} on the list; "
        "hosts must fetch it, and sessions that are open stay open"
    )


def bundle(cli: Invocation, args: commands.KeysBundleCommand) -> None:
    """Perform `jitid keys bundle`."""
    trust_bundle = open_authority(cli.config()).perform(PublishBundle())
    if cli.special_format == "pem":
        from jitid.crypto.der import to_pem

        if not trust_bundle.roots:
            raise IntegrityError(
                "the ledger has no X.509 authority yet",
                "the first certificate makes one: jitid issue --kind x509-svid",
            )
        put("".join(map(to_pem, trust_bundle.roots)), args.out)
    else:
        document = trust_bundle.for_tokens if cli.special_format == "jwt" else trust_bundle.document
        put(json.dumps(document, indent=2) + "\n", args.out)


def crl(cli: Invocation, args: commands.KeysCrlCommand) -> None:
    """Perform `jitid keys crl`."""
    der = cli.special_format == "der"
    if der and args.out is None:
        raise UsageError("DER is no text", "name a file with --out")
    lists = open_authority(cli.config()).perform(PublishRevocations(lifetime=args.lifetime))
    if not lists:
        raise IntegrityError(
            "no X.509 authority of the ledger is here",
            "the first certificate makes one: jitid issue --kind x509-svid",
        )
    if der and len(lists) > 1:
        raise UsageError(
            f"{len(lists)} authorities have certificates that may be alive, and DER has room for one list",
            "take --format pem",
        )
    from jitid.crypto.der import to_pem

    put(lists[0].der if der else "".join(to_pem(each.der, "X509 CRL") for each in lists), args.out)


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
