"""What a local authority holds, for the modules that perform its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jitid.keyring import Keyring
from jitid.ledger.protocol import Ledger

if TYPE_CHECKING:
    from jitid.oidc import OidcIssuer
    from jitid.request import Terms


class Inside(NamedTuple):
    """The parts of a local authority; suppliers where having the thing costs time."""

    ledger: Ledger
    keyring: Keyring
    terms: Callable[[], Terms]
    """What the configuration says about issuing, read once."""
    audiences: Sequence[str]
    """Those that a token must be meant for unless told otherwise; none: the ledger's issuer."""
    oidc: Callable[[], Sequence[OidcIssuer]]
    timeout: float
    """Seconds, for what is fetched from issuers of ID tokens."""
