"""Targets by the kind of credential that they make: their issuers, options and adopted secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jitid.errors import UsageError
from jitid.issuers.issuer import spec_of
from jitid.issuers.target_issuer import KindOptions, OutsideIssuer, TargetCall, TargetOption
from jitid.keys.keyring import Signer
from jitid.model.credential import Kind, base_kind
from jitid.model.target import Target
from jitid.values.text import quote

TIMEOUT = 10
"""The default of `timeout`: seconds that one call of a target may take."""
LONGEST = 60
"""Maximum of `timeout` in seconds. It is far below `settle.MINTING`, so that minting ends before settling."""

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
    """Return the issuer of credentials at a target; the arguments are as in `TargetCall`.

    Raises:
        UsageError: no target makes credentials of that kind.
        ConfigurationError: the target's table is invalid, or an extra is not installed.

    """
    kind = base_kind(target.kind)
    make_issuer = spec_of(kind).target
    if make_issuer is None:
        raise UsageError(f"credentials of the kind {quote(kind)} are made here, and not at a target")
    timeout = float(target.options.get("timeout", TIMEOUT))
    return make_issuer(target, TargetCall(timeout, issuer, trust_domain, signer))


def options_of(kind: Kind) -> KindOptions:
    """Return the options of a kind. Raises ConfigurationError if an extra is not installed."""
    options = spec_of(kind).options
    return KindOptions() if options is None else options()


def reference_of(kind: str, reference: str | None) -> str:
    """Return the reference of an adopted secret, at a target that makes credentials of a kind, as the ledger keeps it.

    Raises UsageError for an impossible reference, and for a kind whose targets revoke only their own credentials.
    """
    adopted = spec_of(base_kind(kind)).adopted
    if adopted is None:
        raise UsageError(
            f"credentials of the kind {quote(kind)} are made here, and the target ends nothing else",
            "leave --target out: then somebody has to end it, and says so with jitid adopt ended",
        )
    recorded = None if reference is None else adopted.kept(reference)
    if recorded is None:
        raise UsageError(f"--reference is to say what it is called at the target: {adopted.meaning}")
    return recorded
