"""Errors that only a server can make: it remembers verdicts, and a request has several places for a token."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.real import until
from tests.verifiers.cases import Maker, keys
from tests.verifiers.served import SERVERS, Served


@pytest.mark.deep
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_accepted_a_token_refuses_it_when_it_has_expired(tmp_path: Path, name: str) -> None:
    """A server may remember its verdict."""
    with Served(tmp_path).running(name, "ES256", keys("ES256").jwks()) as server:
        for lifetime in (3, 10, 60):
            now = int(time.time())
            token = Maker("ES256", now).token(claims={"exp": now + lifetime})
            # On a busy machine the token may expire first.
            if server.judge(token) is None:
                break
        else:
            pytest.fail("no token was accepted")
        until(lambda: server.judge(token) is not None, "it is accepted", patience=lifetime + 60.0)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_checks_the_token_that_it_verified_and_no_other(tmp_path: Path, name: str) -> None:
    """A good header, without a good signature, does not help a token of another type."""
    make = Maker("ES256", int(time.time()))
    good, other = make.token(), make.token({"typ": "jitid-identity+jwt"})
    head = f"{good.split('.')[0]}.e30.AAAA"
    bearer = "Authorization: Bearer "
    with Served(tmp_path).running(name, "ES256", keys("ES256").jwks()) as server:
        assert server.answer(f"{bearer}{good}") is None
        for lines in (
            [],
            [f"{bearer}{head}"],
            [f"{bearer}{other}"],
            [f"Authorization: bearer {other}"],
            [f"Authorization: Basic {good}"],
            [f"{bearer}{head} {other}"],
            [f"{bearer}{head}, Bearer {other}"],
            [f"{bearer}{head}", f"{bearer}{other}"],
            [f"{bearer}{other}", f"{bearer}{head}"],
            # The application could read the unchecked token.
            [f"{bearer}{good}", f"{bearer}{other}"],
            [f"{bearer}{other}", f"{bearer}{good}"],
            [f"{bearer}{head}", f"Cookie: access_token={other}"],
        ):
            assert server.answer(*lines) is not None, lines
        for token in (good, other):
            assert server.answer(path=f"/api/?access_token={token}") is not None
            assert server.answer(f"{bearer}{head}", path=f"/api/?access_token={token}") is not None
