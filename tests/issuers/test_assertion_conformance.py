"""The MCP conformance suite accepts jitid as the provider of a client's assertions."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import jitid
from tests.conformance import Suite
from tests.issuers.openbaoplace import OpenBaoPlace
from tests.issuers.test_transit import _TABLE
from tests.real import module


@pytest.mark.deep
def test_the_client_credentials_scenario_is_green(openbao: OpenBaoPlace, tmp_path: Path) -> None:
    """`private_key_jwt`: the suite verifies the signature, `iss`, `sub` and `aud` of jitid's assertion."""
    module("mcp")
    server = openbao.server
    for name in ("suite", "client"):
        (tmp_path / name).mkdir()
    target = _TABLE.format(
        address=server.address,
        ca_file=server.ca_file,
        role_id=server.role_id,
        secret_id_file=server.secret_id_file,
    )
    given = tmp_path / "given.json"
    given.touch(0o600)
    given.write_text(
        json.dumps(
            {
                "folder": str(tmp_path / "client"),
                "server": str(server.folder),
                "port": server.port,
                "root": server.root,
                "target": target,
            }
        )
    )
    outcome = Suite(tmp_path / "suite").run(
        "client",
        "auth/client-credentials-jwt",
        *("--command", f"{sys.executable} -m tests.issuers.conformance_client", "--timeout", "240000"),
        more={
            "JITID_CONFORMANCE": str(given),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(jitid.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert outcome.status == 0, outcome.said
    assert outcome.not_green() == {}
    (verified,) = [check for check in outcome.checks if check["id"] == "client-credentials-jwt-verified"]
    assert (verified["details"]["iss"], verified["details"]["sub"]) == ("conformance-test-client",) * 2
