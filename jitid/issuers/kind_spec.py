"""The properties of each kind of credential. The file of each kind has one `KindSpec`, as `KIND`."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from jitid.issuers.issuer import Issuer
from jitid.keys.keyring import Signer
from jitid.model.credential import Kind
from jitid.model.ledger_rows import SigningKey
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from jitid.issuers.target_issuer import OutsideIssuer, TargetCall, TargetOption
    from jitid.model.target import Target


class Signing(NamedTuple):
    """The signing key that a kind of credential needs."""

    use: str
    algorithm: str


class KindOptions(NamedTuple):
    """The options in the configuration of a kind."""

    target: "Mapping[str, TargetOption]" = MappingProxyType({})
    """Of a target, besides the common ones."""
    template: "Mapping[str, TargetOption]" = MappingProxyType({})
    """Of its templates."""


class AdoptedReference(NamedTuple):
    """How a target of a kind finds a standing secret that jitid did not make."""

    meaning: str
    kept: Callable[[str], str | None]
    """Returns the text that the ledger keeps of a reference; None if no secret can have that reference."""


class CertificateListing(NamedTuple):
    """Where verifiers find revoked certificates."""

    verb: str
    """The verb that prints the list."""
    serial_of: Callable[[str], int]
    """Returns the serial number of a certificate from its `jti`."""


class KindSpec(NamedTuple):
    """How credentials of a kind are made and delivered. With `target`, a target makes them."""

    signing: Callable[[str], Signing] | None = None
    """Returns the key that signs; the argument is the algorithm for the audience. None for unsigned credentials."""
    signed: Callable[[Signer, SigningKey], Issuer] | None = None
    """Returns the issuer of signed credentials."""
    unsigned: Callable[[], Issuer] | None = None
    """Returns the issuer of credentials that jitid makes without a signing key."""
    target: "Callable[[Target, TargetCall], OutsideIssuer] | None" = None
    """Returns the issuer at a target. Raises ConfigurationError if the target's table is invalid."""
    options: Callable[[], KindOptions] = KindOptions
    adopted: AdoptedReference | None = None
    """Set if a target of this kind can end standing secrets that jitid did not make."""
    text: Callable[[Secret, int], str] | None = None
    """Returns a secret of several parts as text; the int is its expiry in seconds since the epoch. None: JSON."""
    certificate_beside: bool = False
    """Whether the certificate gets a separate file beside that of the key."""
    revocation_list: CertificateListing | None = None
    delivery: str | None = None
    """The module of `capabilities/run/delivery/` that delivers secrets of this kind to a run, besides files."""
    delivery_fact: str | None = None
    """The fact of a credential without which that module is not used."""


def token_options() -> KindOptions:
    """Return the options of templates for tokens: the Kubernetes cluster that accepts them."""
    from jitid.issuers import kube_cluster

    return KindOptions({}, kube_cluster.TEMPLATE_OPTIONS)


def spec_of(kind: Kind) -> KindSpec:
    """Return the spec of a kind: `KIND` in the file of `issuers/` that has the name of the enum member."""
    if kind is Kind.ADOPTED:
        # jitid makes none of them.
        return KindSpec()
    found: KindSpec = import_module(f"jitid.issuers.{kind.name.lower()}").KIND
    return found
