"""A user's program as a target: the shop of `tests/programs.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jitid.issuers.exec import ExecIssuer
from jitid.issuers.target_issuer import OutsideIssuer
from jitid.issuers.targets import Targets
from jitid.model.target import TargetRecord
from tests.issuers.places import ISSUER, Place
from tests.programs import Shop

_MODES = {"away": "down", "silent": "hang", "nonsense": "garbage"}


class ExecPlace(Place):
    """A program that keeps its credentials in a folder."""

    kind = "exec:shop"
    target = "shop"

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder)

    def issuer(self, timeout: float = 20.0, issuer: str = ISSUER) -> OutsideIssuer:
        """Return an issuer for a ledger with this `iss`."""
        targets = Targets([self.shop.target()], issuer)
        return ExecIssuer(targets.get("shop"), timeout=timeout, issuer=issuer)

    def exists(self, record: TargetRecord) -> bool:
        """Look for the credential in the folder."""
        return record.name in self.shop.made

    @contextmanager
    def losing(self) -> Iterator[OutsideIssuer]:
        """Yield an issuer whose `mint` completes at the target, but the answer is lost."""
        with self._failing("lost"):
            yield self.issuer()

    @contextmanager
    def disturbed(self, trouble: str) -> Iterator[OutsideIssuer]:
        """Yield an issuer with a short time limit. Its target is `away`, `silent`, or answers `nonsense`."""
        with self._failing(_MODES[trouble]):
            yield self.issuer(timeout=1.0 if trouble == "silent" else 20.0)

    @contextmanager
    def _failing(self, mode: str) -> Iterator[None]:
        self.shop.fail(mode)
        try:
            yield
        finally:
            self.shop.fail("")
