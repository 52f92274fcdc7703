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
from jitid.issuers.issuer import MAX_CHAIN
from jitid.system import output
from jitid.values.times import parse_duration

if TYPE_CHECKING:
    from jitid.cli import options

IMPORTED = ("kid", "retired", "expires_at", "event")
BUNDLES = ("spiffe", "jwt", "pem")
LISTS = ("pem", "der")


def request(cli: Invocation, out: options.PublicOut = None) -> None:
    """Ask for a certificate that makes a key an X.509 authority.

    A key is made, unless one waits already, and a request in PEM (PKCS#10) written for whoever has the root. Until
    the certificate is imported, whatever authority there is goes on.
    """
    cli.expect_own_form()
    authority_request = open_authority(cli.config()).perform(RequestAuthority(accept_clock=cli.accept_clock))
    _write(authority_request.request.encode("ascii"), out)
    cli.note(f"{authority_request.kid} waits for its certificate: jitid keys import CHAIN")


def import_(cli: Invocation, chain: options.Chain = None) -> None:
    """Certify under a root, with the certificate that was asked for.

    FILE has the certificate of the key, those above it, and the root as the last, in PEM. The authority that
    certified until now is retired: what it certified stays valid.
    """
    cli.expect(IMPORTED)
    text = read_input.unmarked(chain or "-", MAX_CHAIN, "the chain of certificates").decode(
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


def bundle(cli: Invocation, out: options.PublicOut = None) -> None:
    """Print what verifiers of SVIDs trust.

    It is the SPIFFE bundle of the trust domain: the roots of X.509-SVIDs, and the keys of JWT-SVIDs. --format jwt
    prints the keys of JWT-SVIDs alone, --format pem the roots alone. A rotated authority stays until all that it
    certified has expired. A revoked one is gone.
    """
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
    _write(text.encode("ascii"), out)


def crl(cli: Invocation, lifetime: options.ListLifetime = None, out: options.PublicOut = None) -> None:
    """Print which certificates are revoked.

    Each authority whose certificates may be alive signs a list (RFC 5280), which counts for --lifetime (24h). Whoever
    checks certificates must fetch it again before that, and learns of a revocation no sooner than they do. --format
    der is for a single authority, and for a file.
    """
    form = cli.own_format(LISTS)
    if form is None:
        cli.expect_own_form("pem")
    if form == "der" and out is None:
        raise UsageError("DER is no text", "name a file with --out")
    seconds = None if lifetime is None else parse_duration(lifetime)
    crls = open_authority(cli.config()).perform(PublishRevocations(lifetime=seconds))
    if not crls:
        raise IntegrityError(
            "no X.509 authority of the ledger is here",
            "the first certificate makes one: jitid issue --kind x509-svid",
        )
    if form == "der" and out is not None:
        if len(crls) > 1:
            raise UsageError(
                f"{len(crls)} authorities have certificates that may be alive, and DER has room for one list",
                "take --format pem",
            )
        _write(crls[0].der, out)
        return
    from jitid.crypto.der import to_pem

    _write("".join(to_pem(revocation_list.der, "X509 CRL") for revocation_list in crls).encode("ascii"), out)


def _write(data: bytes, out: str | None) -> None:
    if out is None:
        output.write(data.decode("ascii"))
        return
    from jitid.system.files import write_public

    write_public(out, data)
