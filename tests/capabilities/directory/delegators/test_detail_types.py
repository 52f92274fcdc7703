"""The setting `detail_types`: which authorization details (RFC 9396) may be requested, and that clients can read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jitid.config.settings import SETTINGS, strictest
from tests.real import Shell
from tests.server.asking import Asked, asking

PAYMENT = '{"amount":"5","type":"payment"}'
OTHER = '{"type":"transfer"}'


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell where only payments and an example order may be requested as authorization details."""
    shell = Shell(tmp_path)
    shell.good("config", "set", "detail_types", "payment urn:example:order")
    return shell


def issue(shell: Shell, *words: str) -> tuple[int, str, str]:
    """Issue, and return status, output and errors."""
    done = shell.run("-q", "issue", "--task", "T1", "--delegator", "alice", *words)
    return done.returncode, done.stdout, done.stderr


def test_other_types_are_denied_and_nothing_is_issued(shell: Shell) -> None:
    assert issue(shell, "--detail", PAYMENT)[0] == 0
    assert issue(shell)[0] == 0
    for details in ((OTHER,), (PAYMENT, OTHER), ('{"type":"Payment"}',)):
        words = [word for detail in details for word in ("--detail", detail)]
        status, out, error = issue(shell, *words)
        assert (status, out) == (4, "")
        assert "rule `detail-type`" in error
        assert "supported types: payment, urn:example:order" in error
    assert len(shell.good("list", "--field", "jti").split()) == 2


def test_a_type_that_is_no_longer_listed_is_not_renewed_or_delegated(shell: Shell) -> None:
    _, token, _ = issue(shell, "--detail", PAYMENT, "--may-audience", "https://api.example")
    shell.good("config", "set", "detail_types", "transfer")
    for words in (("renew",), ("issue", "--agent", "coder", "--parent-file", "-", "--detail", PAYMENT)):
        done = shell.run(*words, stdin=token)
        assert (done.returncode, done.stdout) == (4, ""), words
        assert "rule `detail-type`" in done.stderr
    told = json.loads(shell.good("explain", "-", "--format", "json", stdin=token))
    assert "detail-type" in json.dumps(told)
    shell.good("config", "unset", "detail_types")
    assert shell.run("renew", stdin=token).returncode == 0


def test_a_type_is_shown_harmlessly(shell: Shell) -> None:
    status, _, error = issue(shell, "--detail", json.dumps({"type": "\x1b[31m"}))
    assert status == 4
    assert "\x1b" not in error


def test_the_list_is_a_guard_rail() -> None:
    """A configuration that the environment names may set or narrow a list, but not replace or empty it."""
    setting = SETTINGS["detail_types"]
    assert not setting.environment
    assert setting.project == "no"
    assert strictest(setting, (), ("payment",)) == ("payment",)
    assert strictest(setting, ("payment",), ()) == ("payment",)
    assert strictest(setting, ("payment",), ("transfer",)) == ("payment",)
    assert strictest(setting, ("payment",), ("payment", "transfer")) == ("payment",)
    assert strictest(setting, ("payment", "transfer"), ("transfer",)) == ("transfer",)


def authorize(asked: Asked, detail: str) -> tuple[int, str | None]:
    """Exchange a token for one with an authorization detail; return the status and the error."""
    done = asked.exchange(authorization_details=f"[{detail}]")
    return done.status, done.json.get("error")


def test_clients_read_the_types_in_the_metadata(tmp_path: Path) -> None:
    """The authorization server metadata lists the types (RFC 9396, sections 5 and 10)."""
    name = "authorization_details_types_supported"
    place = "/.well-known/oauth-authorization-server"
    with asking(tmp_path / "listed", "issuer", more='detail_types = ["payment"]\n') as asked:
        assert asked.served.ask("GET", place).json[name] == ["payment"]
        assert authorize(asked, PAYMENT) == (200, None)
        assert authorize(asked, OTHER) == (400, "invalid_authorization_details")
    with asking(tmp_path / "any", "issuer") as asked:
        assert name not in asked.served.ask("GET", place).json
        assert authorize(asked, OTHER) == (200, None)
