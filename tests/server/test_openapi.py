"""The OpenAPI document, checked by a program that tries the requests it allows and forbids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jitid.model.access import ROLES
from jitid.server import native
from tests.real import Shell, module
from tests.server.asking import grant
from tests.serving import serving

_CONFIGURATION = """
base-url = "{address}"
headers = {{ Authorization = "Bearer ${{BEARER}}" }}
generation.deterministic = true
generation.max-examples = {examples}
phases.examples.enabled = false
phases.stateful.enabled = false

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 409, 413, 415, 422]

# What a schema cannot say is still refused: names that mean nothing, tokens that are none.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 422]
"""


def test_what_the_document_allows_and_forbids_is_answered_as_it_says(tmp_path: Path) -> None:
    module("schemathesis")
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T1", "--delegator", "alice")
    bearer = grant(shell, "system:tester", *ROLES)
    with serving(tmp_path, "--log-format", "none", more={"JITID_SERVE_RATE": "1000000"}) as served:
        place = tmp_path / "schemathesis.toml"
        place.write_text(_CONFIGURATION.format(address=served.url, examples=3))
        run = ["--config-file", str(place), "run", f"{served.url}/v1/openapi.json", "--no-color"]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", *run],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "BEARER": bearer},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + served.log.read_text()
        assert "Tested: 0" not in done.stdout
        assert served.ask("GET", "/healthz").status == 200
        assert "bug" not in served.log.read_text()


def test_a_renamed_class_keeps_its_name_for_clients() -> None:
    """Clients use the names of schemas. A new class adds a line to the file; no line of it changes."""
    names = {*native.document("https://id.example")["components"]["schemas"]}
    stored = Path(__file__).with_name("schema_names.txt").read_text(encoding="utf-8").split()
    assert stored == sorted(stored)
    assert names - {*stored} == set(), "new: add a line for each to tests/server/schema_names.txt"
    assert {*stored} - names == set(), "clients use these names: see _SCHEMAS in authority/wire/codec.py"
