"""An authority that serves this user over its socket in some roles, and requests to it."""

from __future__ import annotations

import getpass
import json
import os
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jitid.authority.open import open_authority
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import GrantAccess
from jitid.config.effective import load
from tests.crypto.signed import P256, jwk, token
from tests.real import Shell
from tests.serving import Answer, Served, serving

ISSUER = "http://127.0.0.1:8477"
IDP = "https://id.example"
API = "https://api.example"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Asked:
    """A service, with methods that send requests to it."""

    def __init__(self, served: Served, shell: Shell) -> None:
        self.served = served
        self.shell = shell

    def form(
        self,
        path: str,
        *pairs: tuple[str, str],
        bearer: str | None = None,
        basic: str | None = None,
        **more: str,
    ) -> Answer:
        """Post a form, with a bearer token or with the name and the secret of a client, `NAME:SECRET`."""
        body = urlencode([*pairs, *more.items()]).encode()
        headers = dict(FORM)
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer}"
        if basic is not None:
            headers["authorization"] = f"Basic {b64encode(basic.encode()).decode()}"
        return self.served.ask("POST", path, body, headers)

    def json(self, path: str, document: object, **headers: str) -> Answer:
        """Post a document."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.served.ask("POST", path, body, {"content-type": "application/json", **headers})

    def exchange(self, subject: str | None = None, sort: str = "id_token", **more: str) -> Answer:
        """Exchange a token, by default a token of the configured issuer."""
        fields = {
            "grant_type": EXCHANGE,
            "subject_token": subject or id_token(),
            "subject_token_type": TYPE + sort,
            "audience": API,
            **more,
        }
        return self.form("/token", **{name: value for name, value in fields.items() if value})

    def token(self, **more: str) -> str:
        """Return an exchanged token."""
        done = self.exchange(**more)
        assert done.status == 200, done.body
        return str(done.json["access_token"])

    def identity(self, agent: str = "planner", *words: str, task: str = "T-1") -> str:
        """Return the identity token of an agent that may obtain tokens for the service."""
        line = (
            "issue",
            "--task",
            task,
            "--delegator",
            "alice",
            "--agent",
            agent,
            "--may-audience",
            API,
            *words,
        )
        return self.shell.good(*line).strip()


def grant(
    shell: Shell, name: str, *roles: str, key: dict[str, Any] | None = None, audiences: tuple[str, ...] = ()
) -> str:
    """Grant access at a shell's authority, and return the access token; an empty text for a caller with a key.

    Without audiences, the access is for all audiences.
    """
    authority = open_authority(load(environ=shell.environment))
    try:
        public = None if key is None else json.dumps(key)
        access_request = AccessRequest(
            name, roles, key=public, audiences=audiences, all_audiences=not audiences
        )
        secret = authority.perform(GrantAccess(wanted=access_request)).secret
    finally:
        authority.close()
    return "" if secret is None else secret.reveal()


def id_token(typ: str = "JWT", **claims: Any) -> str:
    """Return a token of the configured issuer."""
    now = int(time.time())
    plain = {"iss": IDP, "aud": "jitid", "sub": "alice", "iat": now, "exp": now + 300}
    plain["jti"] = os.urandom(8).hex()
    return token({"alg": "ES256", "typ": typ, "kid": "k"}, {**plain, **claims}, P256)


def configured(folder: Path, roles: Sequence[str], issuer: str = ISSUER, more: str = "") -> Shell:
    """Return a shell whose configuration trusts an issuer and gives this user roles over the socket."""
    shell = Shell(folder)
    keys = folder / "jwks.json"
    keys.write_text(json.dumps({"keys": [jwk(P256, kid="k", use="sig")]}))
    keys.chmod(0o644)
    config_path = folder / ".config/jitid/config.toml"
    config_path.parent.mkdir(parents=True)
    config_path.write_text(
        f'issuer = "{issuer}"\n{more}[oidc."{IDP}"]\njwks = "{keys}"\naudience = "jitid"\n'
        + (f"[socket.role]\n{getpass.getuser()} = {json.dumps(roles)}\n" if roles else "")
    )
    config_path.chmod(0o600)
    return shell


@contextmanager
def asking(folder: Path, *roles: str, more: str = "", ledger: str | None = None) -> Iterator[Asked]:
    """Serve this user in these roles; `more` is added to the configuration, `ledger` replaces the shell's ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    shell = configured(folder, roles, more=more)
    with serving(folder, "--socket", str(folder / "jitid.sock"), ledger=ledger or shell.ledger) as served:
        yield Asked(served, shell)
