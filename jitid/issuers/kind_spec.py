"""The properties of each kind of credential. The file of each kind has one `KindSpec`, as `KIND`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from jitid.issuers.issuer import Issuer
from jitid.keys.keyring import Signer
from jitid.model.credential import Kind
from jitid.model.ledger_rows import SigningKey
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from jitid.issuers.target_issuer import AdoptedReference, KindOptions, OutsideIssuer, TargetCall
    from jitid.model.target import Target


class Signing(NamedTuple):
    """The signing key that a kind of credential needs."""

    use: str
    algorithm: str


class KindSpec:
    """How credentials of a kind are made and delivered. With `target`, a target makes them."""

    def __init__(
        self,
        *,
        signing: Callable[[str], Signing] | None = None,
        signed: Callable[[Signer, SigningKey], Issuer] | None = None,
        unsigned: Callable[[], Issuer] | None = None,
        target: Callable[[Target, TargetCall], OutsideIssuer] | None = None,
        options: Callable[[], KindOptions] | None = None,
        adopted: AdoptedReference | None = None,
        text: Callable[[Secret, int], str] | None = None,
        certificate_beside: bool = False,
        serial_of: Callable[[str], int] | None = None,
        revocation_list: str | None = None,
        delivery: str | None = None,
        delivery_fact: str | None = None,
    ) -> None:
        """Take the properties of a kind.

        Args:
            signing: returns the key that signs, from the algorithm for the audience; None for unsigned credentials.
            signed: returns the issuer of signed credentials.
            unsigned: returns the issuer of credentials that jitid makes without a signing key.
            target: returns the issuer at a target. Raises ConfigurationError if the target's table is invalid.
            options: returns the options in the configuration; None if there are none.
            adopted: set if a target of this kind can end standing secrets that jitid did not make.
            text: returns a secret of several parts as text; the int is its expiry in seconds since the epoch. None:
                JSON.
            certificate_beside: whether the certificate gets a separate file beside that of the key.
            serial_of: returns the serial number of a certificate from its `jti`.
            revocation_list: the verb that prints the list of revoked certificates.
            delivery: the module of `capabilities/run/delivery/` that delivers secrets to a run, besides files.
            delivery_fact: the fact of a credential without which that module is not used.

        """
        self.signing = signing
        self.signed = signed
        self.unsigned = unsigned
        self.target = target
        self.options = options
        self.adopted = adopted
        self.text = text
        self.certificate_beside = certificate_beside
        self.serial_of = serial_of
        self.revocation_list = revocation_list
        self.delivery = delivery
        self.delivery_fact = delivery_fact


def token_options() -> KindOptions:
    """Return the options of templates for tokens: the Kubernetes cluster that accepts them."""
    from jitid.issuers import kube_cluster
    from jitid.issuers.target_issuer import KindOptions

    return KindOptions({}, kube_cluster.TEMPLATE_OPTIONS)


def spec_of(kind: Kind) -> KindSpec:
    """Return the spec of a kind: `KIND` in the file of `issuers/` that has the name of the enum member."""
    if kind is Kind.ADOPTED:
        # jitid makes none of them.
        return KindSpec()
    found: KindSpec = import_module(f"jitid.issuers.{kind.name.lower()}").KIND
    return found
