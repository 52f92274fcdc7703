"""The server that a token is for: an address that the token reaches encrypted, or without leaving this machine."""

from __future__ import annotations

import os

import pytest

from jitid.errors import UsageError
from jitid.system.program_request import origin

LOCAL = ("http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080")


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("_no_proxy")
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_gets_no_token_for_this_machine(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    assert [origin(f"{url}/path") for url in LOCAL] == list(LOCAL)
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    for more in (
        {},
        {"NO_PROXY": "127.0.0.1:8080,[::1]:8080,localhost:80,.example"},
        {"REQUEST_METHOD": "GET"},
    ):
        with monkeypatch.context() as patch:
            for name, value in more.items():
                patch.setenv(name, value)
            for url in LOCAL:
                with pytest.raises(UsageError, match="proxy") as refusal:
                    origin(url)
                assert "NO_PROXY" in str(refusal.value.hint)
    # A tunnel through the proxy is encrypted.
    assert origin("https://api.example/") == "https://api.example"
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,::1")
    assert [origin(url) for url in LOCAL] == list(LOCAL)


@pytest.mark.usefixtures("_no_proxy")
def test_a_proxy_for_encrypted_requests_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert [origin(url) for url in LOCAL] == list(LOCAL)
