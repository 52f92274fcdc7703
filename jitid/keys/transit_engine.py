"""An external engine that keeps private keys and signs with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Version(NamedTuple):
    """One version of a key of the engine."""

    number: int
    public: bytes
    """In the form of the ledger: 32 raw bytes, or an uncompressed point."""


class Engine(NamedTuple):
    """The functions of an engine that the keyring needs; `Transit` of a target of OpenBao supplies them."""

    choose: Callable[[str, str, Callable[[bytes], bool]], Version]
    """Returns the newest unused version of a key. Arguments: name, algorithm, a test whether a public key is used."""
    sign: Callable[[str, int, str, bytes, Sequence[bytes]], list[bytes]]
    """Returns the signature of each message. Arguments: key name and version, algorithm, public key, messages."""
