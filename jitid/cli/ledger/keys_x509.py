"""`jitid keys request`, `import`, `bundle` and `crl`: the X.509 authority, its trust bundle and revocation lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.trust.certificate_operations import (
    ImportAuthority,
    PublishBundle,
    PublishRevocations,
    RequestAuthority,
)
from jitid.cli import read_input, record_rows
from jitid.cli.invocation import Invocation
from jitid.errors import IntegrityError, UsageError
from jitid.formats.display import Display
from jitid.system import output
from jitid.values.field_types import MAX_CHAIN

if TYPE_CHECKING:
    from jitid.cli.ledger import commands

IMPORTED = ("kid", "retired", "expires_at", "event")
BUNDLES = ("spiffe", "jwt", "pem")
LISTS = ("pem", "der")


def request(cli: Invocation, args: commands.KeysRequestCommand) -> None:
    """Perform `jitid keys request`."""
    cli.expect_own_form()
    authority_request = open_authority(cli.config()).perform(RequestAuthority(accept_clock=cli.accept_clock))
    _write(authority_request.request.encode("ascii"), args.out)
    cli.note(f"{authority_request.kid} waits for its certificate: jitid keys import CHAIN")


def import_(cli: Invocation, args: commands.KeysImportCommand) -> None:
    """Perform `jitid keys import`."""
    cli.expect(IMPORTED)
    text = read_input.unmarked(args.chain or "-", MAX_CHAIN, "the chain of certificates").decode(
        "ascii", "replace"
    )
    imported = open_authority(cli.config()).perform(
        ImportAuthority(chain=text, accept_clock=cli.accept_clock)
    )
    if cli.field is not None or cli.format_name() is not None:
        row = {
            "kid": imported.kid,
            "retired": imported.retired,
            "expires_at": record_rows.time(imported.expires_at),
            "event": imported.event,
        }
        cli.show(Display("jitid.keys-import/1", IMPORTED, [row], one=True))
    else:
        output.write(f"{imported.kid}\n")
    for kid in imported.retired:
        cli.note(f"{kid} certifies nothing more, and what it certified stays valid")


def bundle(cli: Invocation, args: commands.KeysBundleCommand) -> None:
    """Perform `jitid keys bundle`."""
    form = cli.own_format(BUNDLES)
    if form is None:
        cli.expect_own_form("json")
    trust_bundle = open_authority(cli.config()).perform(PublishBundle())
    if form == "pem":
        from jitid.crypto.der import to_pem

        if not trust_bundle.roots:
            raise IntegrityError(
                "the ledger has no X.509 authority yet",
                "the first certificate makes one: jitid issue --kind x509-svid",
            )
        text = "".join(map(to_pem, trust_bundle.roots))
    else:
        import json

        text = (
            json.dumps(trust_bundle.for_tokens if form == "jwt" else trust_bundle.document, indent=2) + "\n"
        )
    _write(text.encode("ascii"), args.out)


def crl(cli: Invocation, args: commands.KeysCrlCommand) -> None:
    """Perform `jitid keys crl`."""
    form = cli.own_format(LISTS)
    if form is None:
        cli.expect_own_form("pem")
    if form == "der" and args.out is None:
        raise UsageError("DER is no text", "name a file with --out")
    seconds = args.lifetime
    crls = open_authority(cli.config()).perform(PublishRevocations(lifetime=seconds))
    if not crls:
        raise IntegrityError(
            "no X.509 authority of the ledger is here",
            "the first certificate makes one: jitid issue --kind x509-svid",
        )
    if form == "der" and args.out is not None:
        if len(crls) > 1:
            raise UsageError(
                f"{len(crls)} authorities have certificates that may be alive, and DER has room for one list",
                "take --format pem",
            )
        _write(crls[0].der, args.out)
        return
    from jitid.crypto.der import to_pem

    _write(
        "".join(to_pem(revocation_list.der, "X509 CRL") for revocation_list in crls).encode("ascii"), args.out
    )


def _write(data: bytes, out: str | None) -> None:
    if out is None:
        output.write(data.decode("ascii"))
        return
    from jitid.system.files import write_public

    write_public(out, data)
