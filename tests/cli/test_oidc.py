"""`issue --delegator-token-file`: an ID token of a configured issuer proves the delegator."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.builders import know
from tests.crypto.signed import P256, jwk, token
from tests.real import Shell

ISSUER = "https://ci.example"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a trusted issuer in its configuration; the issuer's keys are in a file."""
    made = Shell(tmp_path)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk(P256, kid="ci", alg="ES256", use="sig")]}))
    for name, value in (("jwks", "jwks.json"), ("audience", "jitid"), ("kind", "system")):
        stated = str(tmp_path / value) if name == "jwks" else value
        made.good("config", "set", f"oidc.{ISSUER}.{name}", stated)
    return made


def id_token(shell: Shell, **more: Any) -> str:
    """Write an ID token like that of a CI system, and return the name of its file."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "jitid", "sub": "repo-acme", "iat": now, "exp": now + 300, **more}
    path = shell.home / "id.jwt"
    path.write_text(token({"alg": "ES256", "typ": "JWT", "kid": "ci"}, claims, P256))
    return str(path)


def test_an_id_token_proves_the_delegator(shell: Shell) -> None:
    """A proved delegator may do more than an asserted one."""
    line = ("issue", "--task", "T", "--sensitivity", "high", "--purpose", "p", "--kind", "opaque")
    assert shell.run(*line, "--delegator", "system:repo-acme").returncode == 4
    know(shell.ledger, "system:repo-acme")
    assert shell.run(*line, "--delegator", "system:repo-acme").returncode == 4
    shell.good(*line, "--delegator-token-file", id_token(shell), "--out", "a.tok")
    assert shell.good("inspect", "a.tok", "--field", "sub") == "system:repo-acme\n"
    assert shell.good("inspect", "a.tok", "--field", "delegator_proof") == "oidc\n"
    piped = shell.run(*line, "--delegator-token-file", "-", stdin=Path(id_token(shell)).read_text())
    assert piped.returncode == 0, piped.stderr
    shell.good(*line, "--delegator", "system:repo-acme", "--delegator-token-file", id_token(shell))


def test_it_proves_nobody_else(shell: Shell) -> None:
    line = ("issue", "--task", "T", "--delegator", "bob", "--delegator-token-file", id_token(shell))
    done = shell.run(*line)
    assert done.returncode == 2
    assert "`system:repo-acme`, not `user:bob`" in done.stderr


@pytest.mark.deep
def test_its_subject_is_an_alias_of_whoever_the_directory_says(shell: Shell) -> None:
    """`iss` and `sub` identify the delegator in the directory, not the name that the issuer gives."""
    shell.good(
        "delegator", "add", "alice", "--alias", "alice@example.com", "--subject", f"{ISSUER} repo-acme", "-q"
    )
    line = ("issue", "--task", "T", "--kind", "opaque", "--out", "a.tok")
    for stated in ((), ("--delegator", "alice@example.com"), ("--delegator", "alice")):
        shell.good(*line, *stated, "--delegator-token-file", id_token(shell))
        assert shell.good("inspect", "a.tok", "--field", "sub") == "user:alice\n"
        assert shell.good("inspect", "a.tok", "--field", "delegator_proof") == "oidc\n"
    done = shell.run(*line, "--delegator", "bob", "--delegator-token-file", id_token(shell))
    assert "`user:alice`, not `user:bob`" in done.stderr
    shell.good("delegator", "disable", f"{ISSUER} repo-acme")
    assert shell.run("verify", "a.tok").returncode == 8
    done = shell.run(*line, "--delegator-token-file", id_token(shell))
    assert (done.returncode, "delegator-disabled" in done.stderr) == (4, True)


@pytest.mark.deep
@pytest.mark.parametrize(
    "claims",
    [{"iss": "https://evil.example"}, {"aud": "others"}, {"exp": 1_000}, {"sub": "a b"}, {"iat": 1 << 40}],
    ids=lambda claims: next(iter(claims)),
)
def test_a_bad_one_is_refused_and_never_shown(claims: dict[str, Any], shell: Shell) -> None:
    """Every fault makes it an invalid credential, and the refusal is in the audit log."""
    path = id_token(shell, **claims)
    done = shell.run("issue", "--task", "T", "--delegator-token-file", path, "--debug")
    assert done.returncode == 8, done.stderr
    assert Path(path).read_text().split(".")[1] not in done.stderr
    assert shell.good("audit", "log", "--operation", "denial", "--field", "task") == "T\n"


def test_a_second_issuer_that_lacks_something_keeps_nobody_from_using_the_first(shell: Shell) -> None:
    """The doctor names the incomplete issuer, and the user can remove it."""
    shell.good("config", "set", "oidc.id.example.audience", "jitid")
    line = ("issue", "--task", "T", "--kind", "opaque", "--out", "a.tok", "--delegator-token-file")
    shell.good(*line, id_token(shell))
    done = shell.run(*line, id_token(shell, iss="id.example"))
    assert (done.returncode, "`id.example` has no `jwks`" in done.stderr) == (2, True)
    assert "`id.example` has no `jwks`" in shell.run("doctor").stdout
    shell.good("config", "unset", "oidc.id.example")
    assert "id.example" not in shell.run("doctor").stdout
    done = shell.run(*line, id_token(shell, iss="id.example"))
    assert (done.returncode, f"configured: `{ISSUER}`" in done.stderr) == (8, True)


def test_the_file_of_a_key_set_is_meant_where_it_is_named(shell: Shell) -> None:
    shell.good("config", "set", f"oidc.{ISSUER}.jwks", "jwks.json")
    shell.good("issue", "--task", "T", "--out", "a.jwt", "--delegator-token-file", id_token(shell))


def test_without_a_configured_issuer_none_is_believed(shell: Shell) -> None:
    (shell.home / ".config/jitid/config.toml").unlink()
    done = shell.run("issue", "--task", "T", "--delegator-token-file", id_token(shell))
    assert done.returncode in (2, 8)
    assert "issuer" in done.stderr


def test_an_issuer_proves_its_names_alone(shell: Shell) -> None:
    """`names` is set as one text; an invalid pattern is not written."""
    line = ("issue", "--task", "T", "--out", "a.jwt", "--delegator-token-file")
    shell.good("config", "set", f"oidc.{ISSUER}.names", "repo-* system-1")
    assert shell.good("config", "get", f"oidc.{ISSUER}.names") == "repo-* system-1\n"
    shell.good(*line, id_token(shell))
    done = shell.run(*line, id_token(shell, sub="root"))
    assert (done.returncode, "`root`, which is not among the `names`" in done.stderr) == (8, True)
    for value in ("a*b", "repo-* **", " "):
        assert shell.run("config", "set", f"oidc.{ISSUER}.names", value).returncode == 2
    assert shell.good("config", "get", f"oidc.{ISSUER}.names") == "repo-* system-1\n"


@pytest.mark.deep
def test_two_issuers_of_a_kind_with_a_name_in_common_prove_nobody(shell: Shell) -> None:
    """The error names both, and doctor does, too; each is usable again once the names differ."""
    line = ("issue", "--task", "T", "--out", "a.jwt", "--delegator-token-file")
    other = "https://forge.example"
    for name, value in (("jwks", "jwks.json"), ("audience", "jitid"), ("kind", "system")):
        shell.good("config", "set", f"oidc.{other}.{name}", value)
    done = shell.run(*line, id_token(shell))
    assert (done.returncode, f"`{ISSUER}` has no `names`" in done.stderr) == (2, True)
    shell.good("config", "set", f"oidc.{ISSUER}.names", "repo-*")
    shell.good(*line, id_token(shell))
    shell.good("config", "set", f"oidc.{other}.names", "forge-* repo-acme")
    for iss in (ISSUER, other):
        done = shell.run(*line, id_token(shell, iss=iss))
        assert (done.returncode, ISSUER in done.stderr, other in done.stderr) == (2, True, True)
        assert "overlap: " in done.stderr
    doctor = shell.run("doctor").stdout
    assert "their `names` overlap" in doctor
    shell.good("config", "set", f"oidc.{other}.names", "forge-*")
    shell.good(*line, id_token(shell))
    shell.good(*line, id_token(shell, iss=other, sub="forge-1"))
    assert "overlap" not in shell.run("doctor").stdout


def test_clients_of_an_issuer_are_set_as_pairs(shell: Shell) -> None:
    """A client id may contain dots and equals signs; a caller's name contains neither."""
    key = f"oidc.{ISSUER}.clients"
    shell.good("config", "set", key, "1.apps.example=system:ci a=b=alice")
    assert shell.good("config", "get", key) == "1.apps.example=system:ci a=b=alice\n"
    assert f"{key}\t1.apps.example=system:ci a=b=alice\n" in shell.good("config", "show")
    for value in ("app", "app=", "=system:ci", "app=robot:ci", "app=a,b"):
        assert shell.run("config", "set", key, value).returncode == 2
    # On the ledger's machine, a user who can read its key has every right.
    shell.good("issue", "--task", "T", "--out", "a.jwt", "--delegator-token-file", id_token(shell, azp="app"))
    shell.good("config", "unset", key)
    assert shell.run("config", "get", key).returncode == 3
