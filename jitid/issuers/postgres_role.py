"""The kind `postgres-role`: database roles, one for each credential. `postgres/role.py` makes and drops them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.issuers.issuer import KindSpec
from jitid.issuers.target_issuer import AdoptedReference, KindOptions
from jitid.ledger.postgres.ledger_database import must_be_installed

if TYPE_CHECKING:
    from jitid.issuers.target_issuer import OutsideIssuer, TargetCall
    from jitid.model.target import Target

_LONGEST_ROLE = 63
"""Bytes of a role's name (PostgreSQL, NAMEDATALEN)."""


def _target(target: Target, call: TargetCall) -> OutsideIssuer:
    must_be_installed()
    from jitid.issuers.postgres.role import PostgresRoleIssuer

    return PostgresRoleIssuer(target, timeout=call.timeout, issuer=call.issuer)


def _options() -> KindOptions:
    must_be_installed()
    from jitid.issuers.postgres import role

    return KindOptions(role.OPTIONS, role.TEMPLATE_OPTIONS)


KIND = KindSpec(
    target=_target,
    options=_options,
    adopted=AdoptedReference(
        "the name of the role", lambda text: text if len(text.encode()) <= _LONGEST_ROLE else None
    ),
    text=lambda secret, _: secret.reveal("url"),
    delivery="pg_service",
)
