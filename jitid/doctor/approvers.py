"""Whether anybody but the owner of a ledger can approve what its policy requires approval for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import is_address

if TYPE_CHECKING:
    from jitid.config.effective import Config

WHY = "by the configuration of this command, no second person can approve beside a private ledger"
HOW = "let others ask an authority (jitid serve --socket PATH), or configure an issuer of ID tokens: jitid-authority(7)"


def are_missing(config: Config) -> bool:
    """Tell whether, by the configuration of this command, all who reach the ledger are one person to it.

    The ledger's folder is for one user, no issuer of ID tokens is configured that proves a person, and the
    configuration serves no authority. An authority that another process serves by its own flags is unknown here.
    """
    return (
        config.remote is None
        and not is_address(config.ledger)
        and config.text("serve_socket") is None
        and config.text("serve_bind") is None
        and not _proves_persons(config)
    )


def _proves_persons(config: Config) -> bool:
    """Tell whether an issuer is configured that can prove a person: complete, and not of systems alone."""
    from jitid.capabilities.access.oidc import is_usable

    return any(issuer.kind == "user" and is_usable(issuer) for issuer in config.oidc())
