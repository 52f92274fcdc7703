"""A user whose policy requires approvals, and approvers who authenticate with ID tokens."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.builders import open_sqlite, put_delegator
from tests.crypto.signed import ED25519, jwk, token
from tests.real import Shell

ISSUER = "https://id.example"
POLICY = """
// Whoever moves money needs a second pair of eyes.
@id("pay-needs-security") @approval("security")
forbid (principal, action == Action::"grant", resource)
when { context.scope like "pay:*" };
"""
PAY = ("--task", "PAY-1", "--delegator", "alice", "--agent", "payer", "--scope", "pay:out")
NUMBER = r"apr_[0-9a-v]{26}"


class Approving(Shell):
    """Runs jitid over a ledger; alice, bob and carol are in the group security."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.good("-q", "issue", "--task", "T0", "--delegator", "alice", "--out", "first.jwt")
        (self.ledger / "policy" / "pay.cedar").write_text(POLICY)
        (home / "jwks.json").write_text(json.dumps({"keys": [jwk(ED25519, kid="k1")]}))
        for name, value in (("jwks", str(home / "jwks.json")), ("audience", "jitid")):
            self.good("config", "set", f"oidc.{ISSUER}.{name}", value)
        ledger = open_sqlite(self.ledger, time.time)
        with ledger.write() as transaction:
            for person in ("alice", "bob", "carol"):
                put_delegator(transaction, f"user:{person}", groups=("security",))
        ledger.close()

    def id_token(self, who: str, **more: Any) -> str:
        """Write an ID token and return the name of its file."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "jitid", "sub": who, "iat": now, "exp": now + 3600, **more}
        path = self.home / f"{who}.jwt"
        path.write_text(token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims, ED25519))
        return str(path)

    def decide(self, verb: str, id_: str, who: str = "bob", *more: str) -> subprocess.CompletedProcess[str]:
        """Grant or deny a request as `who`."""
        return self.run("approve", verb, id_, "--delegator-token-file", self.id_token(who), *more)

    def grant(self, id_: str, who: str = "bob", *more: str) -> str:
        """Grant a request as `who`, assert that this succeeds, and return the output."""
        done = self.decide("grant", id_, who, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *line: str) -> str:
        """Assert that a line lacks an approval; return the id of the request."""
        done = self.run("issue", *(line or PAY))
        assert done.returncode == 4, done.stderr
        return self.waiting()[0]

    def waiting(self) -> list[str]:
        """Return the ids of the open requests, the newest first."""
        return self.good("approve", "list", "--open", "--field", "approval").split()

    def wait(self, *line: str, verb: str = "issue") -> tuple[subprocess.Popen[str], str]:
        """Start a line that waits for an approval; once it waits, return its process and the request's id."""
        process = self.start(verb, "--wait", "60s", *(line or PAY))
        assert process.stderr is not None
        assert "waiting for 1m at most" in process.stderr.readline()
        hint = process.stderr.readline()
        return process, hint.split()[-1]
