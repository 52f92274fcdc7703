"""Which file makes the credentials of a kind at a target, and which options its table may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

from jitid.errors import UsageError
from jitid.issuers import kube_cluster
from jitid.issuers.target_issuer import OutsideIssuer, TargetOption
from jitid.keys.keyring import Signer
from jitid.ledger.postgres.ledger_database import must_be_installed
from jitid.model.credential import Kind, sort_of
from jitid.model.target import Target
from jitid.values.text import quote

TIMEOUT = 10
"""Seconds that one call of a target may take unless it is said."""
LONGEST = 60
"""Seconds that it may take at most: whoever records a credential has then made it long before it is settled."""

COMMON: Mapping[str, TargetOption] = {
    "kind": TargetOption("text", "the kind of the credentials that are made there", required=True),
    "timeout": TargetOption("duration", f"how long one call of it may take, {LONGEST} seconds at most"),
    "canary": TargetOption(
        "text", "the template of the credentials that `sweep --canary` makes; without it they have none"
    ),
}
"""The options of every target."""


def open_issuer(
    target: Target,
    issuer: str,
    *,
    trust_domain: str | None = None,
    signer: Callable[[], Signer] | None = None,
) -> OutsideIssuer:
    """Return what makes and ends credentials at a target. A newcomer adds its kind.

    `issuer` and `trust_domain` are the ledger's; `signer` gives its key for ES256, for targets that look up who asks.

    Raises:
        UsageError: credentials of that kind are not made by a target.
        ConfigurationError: the target's table cannot be meant; or an extra is not installed.

    """
    timeout = float(target.options.get("timeout", TIMEOUT))
    kind = sort_of(target.kind)
    match kind:
        case Kind.AWS_STS:
            from jitid.issuers.aws.sts import AwsStsIssuer

            return AwsStsIssuer(
                target, timeout=timeout, issuer=issuer, trust_domain=trust_domain, signer=signer
            )
        case Kind.POSTGRES_ROLE:
            must_be_installed()
            from jitid.issuers.postgres.role import PostgresRoleIssuer

            return PostgresRoleIssuer(target, timeout=timeout, issuer=issuer)
        case Kind.OPENBAO_LEASE:
            from jitid.issuers.openbao.lease import OpenbaoLeaseIssuer

            return OpenbaoLeaseIssuer(target, timeout=timeout, issuer=issuer)
        case Kind.EXEC:
            from jitid.issuers.exec import ExecIssuer

            return ExecIssuer(target, timeout=timeout, issuer=issuer)
        case Kind.JWT | Kind.OPAQUE | Kind.JWT_SVID | Kind.X509_SVID | Kind.SSH_CERT | Kind.ADOPTED:
            raise UsageError(f"credentials of the kind {quote(kind)} are made here, and not at a target")
        case _:
            assert_never(kind)


def options_of(kind: Kind) -> tuple[Mapping[str, TargetOption], Mapping[str, TargetOption]]:
    """Return the options that a target of a kind has beside the common ones, and those of its templates."""
    match kind:
        case Kind.AWS_STS:
            from jitid.issuers.aws import target_table

            return target_table.OPTIONS, target_table.TEMPLATE_OPTIONS
        case Kind.POSTGRES_ROLE:
            must_be_installed()
            from jitid.issuers.postgres import role

            return role.OPTIONS, role.TEMPLATE_OPTIONS
        case Kind.OPENBAO_LEASE:
            from jitid.issuers.openbao import lease

            return lease.OPTIONS, lease.TEMPLATE_OPTIONS
        case Kind.EXEC:
            from jitid.issuers import exec as program

            return program.OPTIONS, program.TEMPLATE_OPTIONS
        case Kind.X509_SVID:
            from jitid.issuers import x509_svid

            return x509_svid.OPTIONS, {**x509_svid.TEMPLATE_OPTIONS, **kube_cluster.TEMPLATE_OPTIONS}
        case Kind.SSH_CERT:
            from jitid.issuers import ssh_cert

            return ssh_cert.OPTIONS, ssh_cert.TEMPLATE_OPTIONS
        case Kind.JWT | Kind.OPAQUE | Kind.JWT_SVID:
            return {}, kube_cluster.TEMPLATE_OPTIONS
        case Kind.ADOPTED:
            return {}, {}
        case _:
            assert_never(kind)
