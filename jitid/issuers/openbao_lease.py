"""The kind `openbao-lease`: dynamic secrets of OpenBao or Vault. `openbao/lease.py` makes and revokes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.issuers.issuer import KindSpec
from jitid.issuers.target_issuer import AdoptedReference, KindOptions

if TYPE_CHECKING:
    from jitid.issuers.target_issuer import OutsideIssuer, TargetCall
    from jitid.model.target import Target


def _target(target: Target, call: TargetCall) -> OutsideIssuer:
    from jitid.issuers.openbao.lease import OpenbaoLeaseIssuer

    return OpenbaoLeaseIssuer(target, timeout=call.timeout, issuer=call.issuer)


def _options() -> KindOptions:
    from jitid.issuers.openbao import lease

    return KindOptions(lease.OPTIONS, lease.TEMPLATE_OPTIONS)


def _kept(accessor: str) -> str | None:
    from jitid.issuers.openbao.make_secret import SecretReference

    return None if " " in accessor else SecretReference(accessor, adopted=True).text


KIND = KindSpec(
    target=_target, options=_options, adopted=AdoptedReference("the accessor of the token", _kept)
)
