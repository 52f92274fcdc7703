"""The conformance suite of the Model Context Protocol accepts an authority as an authorization server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import Suite
from tests.real import free_port
from tests.server.asking import configured
from tests.serving import serving


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Return the suite."""
    return Suite(tmp_path_factory.mktemp("suite"))


@pytest.mark.parametrize("path", ["", "/tenant/one"])
def test_the_metadata_scenario_is_green(suite: Suite, tmp_path: Path, path: str) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}{path}"
    shell = configured(tmp_path, (), issuer=issuer)
    with serving(tmp_path, "--bind", f"127.0.0.1:{port}", ledger=shell.ledger):
        outcome = suite.run("authorization", "authorization-server-metadata-endpoint", "--url", issuer)
    assert outcome.status == 0, outcome.said
    assert [(check["id"], check["status"]) for check in outcome.checks] == [
        ("authorization-server-metadata", "SUCCESS"),
        # A recommendation that an authority does not follow: it fetches no document that a client names.
        ("authorization-server-metadata-cimd", "WARNING"),
    ]
