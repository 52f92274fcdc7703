"""`jitid doctor --remote`: checks of each step on the way to an authority."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.authority.remote.peer import answer, answering
from tests.real import Shell
from tests.serving import Served


def checks(shell: Shell, *arguments: str, status: int = 0) -> Mapping[str, tuple[str, str]]:
    """Return the status and the detail of each check."""
    done = shell.run("doctor", "--format", "json", *arguments)
    assert done.returncode == status, done.stderr
    return {row["check"]: (row["status"], row["detail"]) for row in json.loads(done.stdout)["items"]}


def test_all_is_well(client: Shell, served: Served) -> None:
    found = checks(client)
    assert found["remote"][1].startswith(f"unix://{served.socket} answers for urn:jitid:")
    assert "user:alice (os-user), roles: admin, auditor" in found["caller"][1]
    assert {
        found[name][0] for name in ("credential", "remote", "caller", "clock there", "version there")
    } == {"ok"}
    assert "ledger" not in found


@pytest.mark.deep
def test_nobody_answers(client: Shell, served: Served) -> None:
    assert served.stop() == 0
    found = checks(client, "--timeout", "2", status=5)
    assert found["remote"][0] == "failure"
    assert found["caller"][1].startswith("not examined")


def test_a_caller_whom_nothing_proves(client: Shell) -> None:
    with answering(
        answer(401, {"error": {"code": "unauthenticated", "message": "m", "hint": None, "exit": 6}})
    ) as peer:
        found = checks(client, "--remote", peer.url, status=6)
    assert found["credential"][0] == "warning"
    assert found["remote"][0] == "failure"


def test_another_clock_and_another_version(client: Shell) -> None:
    told: dict[str, object] = {
        "caller": "system:ci",
        "roles": [],
        "delegator": None,
        "proof": "credential",
        "agent": None,
        "issuer": "urn:jitid:x",
        "now": 1_000_000,
        "version": "99.0.0",
    }
    with answering(answer(200, told)) as peer:
        found = checks(client, "--remote", peer.url)
    assert found["clock there"][0] == "warning"
    assert "behind this machine's clock" in found["clock there"][1]
    assert found["version there"][0] == "warning"
    assert found["caller"][1] == "system:ci, no role: access to its own objects only"
