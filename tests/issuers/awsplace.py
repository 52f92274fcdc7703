"""An AWS account, emulated by moto, as a target."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jitid.issuers.aws.sts import AwsStsIssuer
from jitid.issuers.target_issuer import OutsideIssuer
from jitid.model.target import Target, TargetRecord
from tests.issuers.places import ISSUER, Place, troubled_port
from tests.ledger.proxy import Proxy
from tests.moto import REGION, Moto

SCOPES: Mapping[str, Any] = {
    "s3:*:read": {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::{2}/*"]},
    "iam:look": {"actions": ["iam:ListAccountAliases"], "resources": ["*"]},
}


class AwsPlace(Place):
    """The server as a target. Each record gets a separate role, because in moto a denial applies to the whole role."""

    kind = "aws-sts"

    def __init__(self, moto: Moto) -> None:
        self.moto = moto
        self._roles = itertools.count(1)
        self.templates: dict[str, Any] = {}

    def open(
        self,
        timeout: float = 10.0,
        issuer: str = ISSUER,
        templates: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        more: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AwsStsIssuer:
        """Return an issuer of a target with these options; `more` holds further arguments of the issuer."""
        given = {
            "region": REGION,
            "endpoint_url": self.moto.url,
            "credentials_file": str(self.moto.credentials),
            **options,
        }
        kept = {name: value for name, value in given.items() if name not in without}
        target = Target(self.target, self.kind, kept, self.templates if templates is None else templates)
        return AwsStsIssuer(target, timeout=timeout, issuer=issuer, **(more or {}))

    def issuer(self, timeout: float = 10.0, issuer: str = ISSUER) -> OutsideIssuer:
        """Return an issuer for a ledger with this `iss`."""
        return self.open(timeout, issuer)

    def role(self) -> str:
        """Make a role and a template of the same name, and return that name."""
        name = f"role-{next(self._roles)}"
        self.templates[name] = {"role_arn": self.moto.role(name), "scopes": SCOPES}
        return name

    def name(self, jti: str) -> str:
        """Return the session's name."""
        return jti

    def record(self, **more: Any) -> TargetRecord:
        """Return the record of a new credential at a new role."""
        template = more.pop("template", None) or self.role()
        return super().record(template=template, **{"scopes": ("s3:reports:read",), **more})

    def known(self) -> TargetRecord:
        """Return the record of a credential whose answer arrived."""
        record = self.record()
        return record._replace(
            reference=f"arn:aws:sts::123456789012:assumed-role/{record.template}/{record.jti}"
        )

    def exists(self, record: TargetRecord) -> bool:
        """Return whether the session's keys were issued and no policy of its role denies it."""
        return record.reference is not None and not any(
            record.jti in str(text) for text in self.moto.policies(str(record.template)).values()
        )

    @contextmanager
    def losing(self) -> Iterator[OutsideIssuer]:
        """Yield an issuer that loses the answer to AssumeRole."""
        proxy = Proxy(self.moto.url, b"RoleSessionName", forwarded=True)
        issuer = self.open(endpoint_url=proxy.address)
        proxy.armed = True
        try:
            yield issuer
            assert proxy.cuts
        finally:
            issuer.close()
            proxy.close()

    @contextmanager
    def disturbed(self, trouble: str) -> Iterator[OutsideIssuer]:
        """Point the address at a port in trouble."""
        with troubled_port(trouble) as port:
            issuer = self.open(2.0, endpoint_url=f"http://127.0.0.1:{port}")
            yield issuer
            issuer.close()


@contextmanager
def gone(seconds: int) -> Iterator[dict[str, Any]]:
    """Yield the argument that sets an issuer's clock forward by this number of seconds."""
    yield {"clock": lambda: time.time() + seconds}


def private(path: Path, text: str) -> str:
    """Write a private file, and return its path."""
    path.touch(0o600)
    path.write_text(text)
    return str(path)
