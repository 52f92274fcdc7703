"""Whether anybody but the owner of a ledger can approve what its policy requires approval for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.environment import is_database

if TYPE_CHECKING:
    from jitid.config import Config

WHY = "no second person can approve beside a private ledger"
HOW = "let others ask an authority (jitid serve --socket PATH), or configure an issuer of ID tokens: jitid-authority(7)"


def are_missing(config: Config) -> bool:
    """Tell whether all who reach the ledger are one person to it.

    Its folder is for one user, no issuer of ID tokens is configured that proves another person, and the configuration
    serves no authority.
    """
    return (
        config.remote is None
        and not is_database(config)
        and not config.oidc()
        and config.text("serve_socket") is None
        and config.text("serve_bind") is None
    )
