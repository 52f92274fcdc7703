"""A real moto server in place of AWS: it signs, keeps roles and users, and enforces their policies.

It knows no conditions and no session policies: it treats a denial of one session as a denial of the whole role.
Tests check conditions in the text of the policies.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.real import free_port, missing, module, until

ACCOUNT = "123456789012"
REGION = "eu-central-1"
ADMINISTRATOR = "jitid"
_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def policy(*statements: Mapping[str, Any]) -> str:
    """Return a policy as text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Moto:
    """One server, with an account whose administrator has an access key."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.credentials = folder / "credentials"
        self.key = ("", "")
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def prepare(self) -> None:
        """Make the administrator, and let the server enforce policies from then on."""
        iam = self.client("iam", "AKIAX", "x")
        iam.create_user(UserName=ADMINISTRATOR)
        iam.put_user_policy(UserName=ADMINISTRATOR, PolicyName="all", PolicyDocument=policy(_ALL))
        key = iam.create_access_key(UserName=ADMINISTRATOR)["AccessKey"]
        self.key = (key["AccessKeyId"], key["SecretAccessKey"])
        self.credentials.touch(0o600)
        self.credentials.write_text(
            f"[default]\naws_access_key_id = {self.key[0]}\naws_secret_access_key = {self.key[1]}\n"
        )
        self.enforce(enforced=True)

    def enforce(self, *, enforced: bool) -> None:
        """Let the server check signatures and policies, or let it permit every request."""
        body = b"0" if enforced else b"inf"
        plain = {"Content-Type": "text/plain"}
        with urlopen(Request(f"{self.url}/moto-api/reset-auth", body, plain, method="POST")) as answer:
            answer.read()

    @contextmanager
    def lenient(self) -> Iterator[None]:
        """Disable all checks for the length of the block: otherwise the server refuses unsigned requests."""
        self.enforce(enforced=False)
        try:
            yield
        finally:
            self.enforce(enforced=True)

    def client(self, service: str, *key: str) -> Any:
        """Return a client of botocore's own, with the administrator's key or another."""
        if not key and service in self._clients:
            return self._clients[service]
        made = self._client(service, *(key or self.key))
        if not key:
            self._clients[service] = made
        return made

    def _client(self, service: str, *key: str) -> Any:
        if self._session is None:
            self._session = module("botocore.session").Session()
        session = self._session
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return session.create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            **dict(zip(names, key, strict=False)),
        )

    def role(self, name: str, actions: Sequence[str] = ("*",)) -> str:
        """Make a role whose sessions may perform these actions, and return its ARN."""
        iam = self.client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{ADMINISTRATOR}"},
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        }
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        iam.put_role_policy(
            RoleName=name,
            PolicyName="what-it-may",
            PolicyDocument=policy({"Effect": "Allow", "Action": list(actions), "Resource": "*"}),
        )
        return str(arn)

    def policies(self, role: str) -> dict[str, Any]:
        """Return the inline policies of a role by their names."""
        iam = self.client("iam")
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}


@contextmanager
def running(folder: Path) -> Iterator[Moto]:
    """Run a server."""
    module("moto")
    module("flask")
    port = free_port()
    log = (folder / "moto.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        moto = Moto(port, folder)

        def answers() -> bool:
            if process.poll() is not None:
                missing(f"moto does not start: {(folder / 'moto.log').read_text()[-500:]}")
            with urlopen(f"{moto.url}/moto-api/data.json") as answer:
                return bool(answer.status == 200)

        until(answers, "moto does not answer")
        moto.prepare()
        yield moto
    finally:
        process.kill()
        process.wait()
        log.close()
