"""Keys of RS256 in the whole life of a ledger: sign, verify, publish, rotate, revoke, back up, restore, copy."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from tests.real import Shell

AZURE = "api://AzureADTokenExchange"
API = "https://api.example"
ISSUE = ("issue", "-q", "--task", "T1", "--delegator", "alice")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a new ledger that has a key of each algorithm, and their tokens in files."""
    shell = Shell(tmp_path)
    shell.environment |= {"JITID_ISSUER": "https://id.example", "JITID_PUBLISH_URL": "https://id.example"}
    for name, audience in (("id", None), ("ec", API), ("rsa", AZURE)):
        more = () if audience is None else ("--audience", audience)
        (tmp_path / name).write_text(shell.good(*ISSUE, *more))
    return shell


def header(token: str) -> dict[str, str]:
    """Return the header of a token, unverified."""
    return dict(jwt.get_unverified_header(token.strip()))


def keys(shell: Shell) -> dict[str, str]:
    """Return the id of the key that signs, by algorithm."""
    rows = json.loads(shell.good("keys", "list", "--format", "json"))["items"]
    return {row["algorithm"]: row["kid"] for row in rows if row["state"] == "signing"}


def verify_all(shell: Shell, home: Path) -> None:
    """Verify the tokens of each algorithm."""
    shell.good("verify", "id")
    shell.good("verify", "ec", "--audience", API)
    shell.good("verify", "rsa", "--audience", AZURE)
    assert (home / "rsa").exists()


def test_a_new_ledger_signs_for_each_verifier(shell: Shell, tmp_path: Path) -> None:
    """EdDSA for itself, ES256 for services, RS256 for verifiers that accept only RSA."""
    headers = {name: header((tmp_path / name).read_text()) for name in ("id", "ec", "rsa")}
    assert {name: one["alg"] for name, one in headers.items()} == {
        "id": "EdDSA",
        "ec": "ES256",
        "rsa": "RS256",
    }
    assert {one["alg"]: one["kid"] for one in headers.values()} == keys(shell)
    published = json.loads(shell.good("keys", "export", "jwks", "--algorithm", "RS256"))
    (key,) = published["keys"]
    assert set(key) == {"kty", "n", "e", "alg", "use", "kid"}
    claims = jwt.decode(
        (tmp_path / "rsa").read_text().strip(), jwt.PyJWK(key).key, algorithms=["RS256"], audience=AZURE
    )
    assert claims["sub"] == "user:alice"
    verify_all(shell, tmp_path)
    # Offline too.
    shell.good("publish", "out")
    listed = json.loads((tmp_path / "out/jwks.rs256.json").read_text())
    assert listed == published
    shell.good("verify", "rsa", "--published", "out", "--audience", AZURE)
    (list_,) = [
        path
        for path in (tmp_path / "out/status").glob("*.rs256.jwt")
        if claims["status"]["status_list"]["uri"].endswith(path.name)
    ]
    alone = ("verify", "rsa", "--jwks", "out/jwks.rs256.json", "--status-list", f"out/status/{list_.name}")
    shell.good(*alone, "--issuer", "https://id.example", "--audience", AZURE)
    for name in ("jwks.es256.json", "jwks.eddsa.json"):
        other = shell.run(*alone[:3], f"out/{name}", *alone[4:], "--audience", AZURE)
        assert other.returncode == 8
    shell.good("doctor")
    shell.good("audit", "verify")


def test_a_key_of_rs256_is_rotated_and_revoked(shell: Shell) -> None:
    first = keys(shell)["RS256"]
    folder = shell.ledger / "keys"
    second = shell.good("keys", "rotate", "--algorithm", "RS256").strip()
    assert not (folder / first).exists()
    assert (folder / second).stat().st_mode & 0o777 == 0o600
    shell.good("verify", "rsa", "--audience", AZURE)
    token = shell.good(*ISSUE, "--audience", AZURE)
    assert header(token)["kid"] == second
    shell.good("keys", "revoke", first, "--yes")
    assert shell.run("verify", "rsa", "--audience", AZURE).returncode == 8
    shell.good("verify", "--audience", AZURE, stdin=token)
    shell.good("keys", "revoke", second, "--yes")
    third = keys(shell)["RS256"]
    assert third not in (first, second)
    assert shell.run("verify", "--audience", AZURE, stdin=token).returncode == 8
    shell.good("audit", "verify")


def test_a_backup_has_keys_of_each_algorithm(shell: Shell, tmp_path: Path) -> None:
    shell.good("keys", "algorithm", "RS256")
    for name in ("backup", "backup.tar"):
        shell.good("ledger", "backup", name, "--keys")
        shell.good("ledger", "restore", name, "--replace", "--keep-live")
        verify_all(shell, tmp_path)
        assert header(shell.good(*ISSUE, "--audience", API))["alg"] == "RS256"
        shell.good("audit", "verify")
    shell.good("ledger", "copy", "--to", str(tmp_path / "copy"), "--keys")
    shell.environment["JITID_LEDGER"] = str(tmp_path / "copy")
    verify_all(shell, tmp_path)
    assert header(shell.good(*ISSUE, "--audience", API))["alg"] == "RS256"
    shell.good("audit", "verify")


def test_a_damaged_key_of_rs256_signs_nothing(shell: Shell) -> None:
    """The other algorithms still sign, and the error names the repair."""
    path = shell.ledger / "keys" / keys(shell)["RS256"]
    raw = bytearray(path.read_bytes())
    raw[700] ^= 1
    path.write_bytes(bytes(raw))
    failed = shell.run(*ISSUE, "--audience", AZURE)
    assert (failed.returncode, failed.stdout) == (7, "")
    assert "does not match the ledger's signing key" in failed.stderr
    assert shell.run("doctor").returncode == 7
    shell.good(*ISSUE, "--audience", API)
    shell.good("keys", "rotate", "--algorithm", "RS256")
    shell.good(*ISSUE, "--audience", AZURE)


def test_the_algorithm_is_shown_and_set(shell: Shell) -> None:
    rows = json.loads(shell.good("keys", "algorithm", "--format", "json"))["items"]
    by = {row["audience"]: (row["algorithm"], row["origin"]) for row in rows}
    assert by["https://id.example"] == ("EdDSA", "ledger")
    assert by["*"] == ("ES256", "ledger")
    assert by[AZURE] == ("RS256", "table")
    done = json.loads(shell.good("keys", "algorithm", "EdDSA", "--format", "json"))
    assert (done["algorithm"], done["was"]) == ("EdDSA", "ES256")
    assert header(shell.good(*ISSUE, "--audience", API))["alg"] == "EdDSA"
    assert "already" in shell.good("keys", "algorithm", "EdDSA")
    wrong = shell.run("keys", "algorithm", "HS256")
    assert wrong.returncode == 2
    assert "choose one of: ES256, EdDSA, RS256" in wrong.stderr
    both = shell.run(*ISSUE, "--audience", AZURE, "--audience", API)
    assert header(both.stdout)["alg"] == "RS256"
    shell.good("config", "set", f"algorithm.audience.{API}", "ES256")
    refused = shell.run(*ISSUE, "--audience", AZURE, "--audience", API)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "request one token for each of them" in refused.stderr
