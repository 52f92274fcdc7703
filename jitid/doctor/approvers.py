"""Check whether another person than the ledger's owner can grant the approvals that its policy requires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open_local import is_address

if TYPE_CHECKING:
    from jitid.config.effective import Config

WHY = "by the configuration of this command, no second person can approve beside a private ledger"
HOW = "let others ask an authority (jitid serve --socket PATH), or configure an issuer of ID tokens: jitid-authority(7)"


def are_missing(config: Config) -> bool:
    """Return whether, by the configuration of this command, all users of the ledger count as one person.

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
    """Return whether an issuer is configured that can prove a person: a complete one, and not for systems only."""
    from jitid.capabilities.access.oidc import is_usable

    return any(issuer.kind == "user" and is_usable(issuer) for issuer in config.oidc())
