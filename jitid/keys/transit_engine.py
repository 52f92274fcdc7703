"""An engine elsewhere that keeps private keys and signs with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Version(NamedTuple):
    """One version of a key of the engine."""

    number: int
    public: bytes
    """As the ledger keeps it: 32 raw bytes, or an uncompressed point."""


class Engine(NamedTuple):
    """What the keyring needs of such an engine; `Transit` of a target of OpenBao supplies it."""

    choose: Callable[[str, str, Callable[[bytes], bool]], Version]
    """Returns the newest version of a key that is not taken: name, algorithm, what is taken."""
    sign: Callable[[str, int, str, bytes, Sequence[bytes]], list[bytes]]
    """Returns the signature of each message: name and version of the key, algorithm, public key, messages."""
