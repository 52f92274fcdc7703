"""The ids of signing keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jitid.keys.keyring import Keyring

DASHED = (33).to_bytes(32)
"""The seed of an Ed25519 key whose thumbprint begins with a dash."""


def test_no_key_id_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [DASHED]
    monkeypatch.setattr(os, "urandom", lambda size, real=os.urandom: drawn.pop() if drawn else real(size))
    signer = Keyring(str(tmp_path)).create("EdDSA")
    assert not drawn
    assert not signer.kid.startswith("-")
    (made,) = tmp_path.iterdir()
    assert made.name == signer.kid
    assert made.read_bytes() != DASHED
