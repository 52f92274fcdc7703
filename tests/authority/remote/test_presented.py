"""Two callers with one ID token: the client that the token names may use it, otherwise its first presenter."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.approving import ISSUER
from tests.crypto.signed import ED25519, token
from tests.real import Shell


@pytest.fixture
def mallory(client: Shell) -> tuple[str, ...]:
    """Return the options that authenticate a second caller without roles."""
    file = client.home / "mallory"
    file.write_text(client.good("access", "grant", "user:mallory"))
    file.chmod(0o600)
    return ("--credential-file", str(file))


def id_token(client: Shell, **more: Any) -> str:
    """Write an ID token of bob, and return the name of its file."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "jitid", "sub": "bob", "iat": now, "exp": now + 3600, **more}
    path = Path(client.home) / "bob.jwt"
    path.write_text(token({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}, claims, ED25519))
    return str(path)


def test_the_second_caller_is_refused(client: Shell, mallory: tuple[str, ...]) -> None:
    """The status is 6. Callers are distinguished by their access, not by their machine."""
    line = ("issue", "--agent", "a", "--kind", "opaque", "--delegator-token-file", id_token(client))
    client.good(*line, "--task", "T1")
    client.good(*line, "--task", "T2")
    done = client.run(*line, "--task", "T3", *mallory)
    assert (done.returncode, "another caller has presented this token before" in done.stderr) == (6, True)
    assert client.run(*line, "--task", "T3", "--dry-run", *mallory).returncode == 6
    assert client.good("audit", "log", "--operation", "denial", "--field", "by") == "user:mallory\n"
    client.good("audit", "verify")


def test_a_named_client_is_the_caller_of_that_name(client: Shell, mallory: tuple[str, ...]) -> None:
    """The order of callers does not matter. A token bound to a key is refused: no caller here proves the key."""
    line = ("issue", "--agent", "a", "--kind", "opaque", "--delegator-token-file")
    proof = id_token(client, azp="user:mallory")
    done = client.run(*line, proof, "--task", "T1")
    assert (done.returncode, "issued to the client `user:mallory`" in done.stderr) == (6, True)
    client.good(*line, proof, "--task", "T2", *mallory)
    proof = id_token(client, cnf={"jkt": "x"})
    assert [client.run(*line, proof, "--task", "T3", *more).returncode for more in ((), mallory)] == [6, 6]


def test_an_approval_by_somebody_elses_token_is_refused(client: Shell, mallory: tuple[str, ...]) -> None:
    client.good("issue", "--task", "T0", "--agent", "a", "--delegator-token-file", id_token(client))
    refused = client.run(
        "approve",
        "grant",
        f"apr_{'0' * 26}",
        "--delegator-token-file",
        str(client.home / "bob.jwt"),
        *mallory,
    )
    assert (refused.returncode, "another caller has presented this token before" in refused.stderr) == (
        6,
        True,
    )
