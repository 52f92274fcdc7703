"""`jitid whoami` beside a ledger, without one, within `jitid run`, and as a confined user; and `jitid version`."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
from pathlib import Path
from typing import Any

import pytest

import jitid
from jitid.cli.identity.commands import WhoamiCommand
from tests.real import Shell, command, faked, other_user, reachable

FIELDS = list(WhoamiCommand.view.fields)
ME = getpass.getuser()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def whoami(text: str) -> dict[str, Any]:
    """Parse the output of `--format json`."""
    found: dict[str, Any] = json.loads(text)
    assert list(found) == ["schema", *FIELDS]
    assert found["schema"] == "jitid.whoami/1"
    return found


def shown(shell: Shell) -> dict[str, Any]:
    return whoami(shell.good("whoami", "--format", "json"))


def issued(shell: Shell, task: str = "T1") -> str:
    """Issue an identity token, and return its file."""
    shell.good("issue", "--task", task, "--delegator", "alice", "--agent", "planner", "-q", "--out", task)
    return str(shell.home / task)


def test_beside_a_ledger_the_reader_of_the_key_has_all_roles(shell: Shell) -> None:
    issued(shell)
    found = shown(shell)
    assert (found["caller"], found["delegator"], found["proof"]) == (ME, f"user:{ME}", "os-user")
    assert found["ledger"] == str(shell.ledger)
    assert found["issuer"] == shell.good("config", "get", "issuer").strip()
    assert found["roles"] == ["all"]
    assert found["confinement"] == "key-readable"
    assert [found[name] for name in ("agent", "task", "expires_at")] == [None] * 3
    lines = shell.good("whoami", "--format", "table").splitlines()
    assert [line.split()[0] for line in lines] == [
        "caller",
        "delegator",
        "proof",
        "roles",
        "ledger",
        "issuer",
        "confinement",
        "reason",
    ]


def test_without_a_ledger_it_makes_none(shell: Shell) -> None:
    found = shown(shell)
    assert (found["caller"], found["delegator"]) == (ME, f"user:{ME}")
    assert (found["roles"], found["confinement"]) == (None, "unknown")
    assert found["reason"] == "there is no ledger yet"
    assert not shell.ledger.exists()


def test_within_run_it_names_the_agent_its_task_and_the_expiry(shell: Shell) -> None:
    inner = command("whoami", "--format", "json")
    line = ("run", "-q", "--task", "R1", "--delegator", "alice", "--agent", "worker", "--ttl", "2m")
    found = whoami(shell.good(*line, "--", *inner))
    assert (found["agent"], found["task"], found["caller"]) == ("worker", "R1", ME)
    (live,) = json.loads(shell.good("list", "--task", "R1", "--format", "json"))["items"]
    assert found["expires_at"] == live["expires_at"]


@pytest.mark.parametrize(
    ("content", "status"),
    [("", 2), ("hello", 8), ("jitid_" + "0" * 38, 8), (None, 2)],
    ids=["empty", "text", "forged", "none"],
)
def test_a_file_without_a_token_is_an_error_and_nobody_is_the_delegator(
    shell: Shell, content: str | None, status: int
) -> None:
    """`issue` would refuse it too, and never delegate for the user instead."""
    issued(shell)
    token = shell.home / "token"
    if content is not None:
        token.touch(0o600)
        token.write_text(content)
    done = shell.run("whoami", "--format", "json", more={"JITID_PARENT_FILE": str(token)})
    error = json.loads(done.stderr)["error"]
    assert done.returncode == status
    assert error["message"].startswith("the token that JITID_PARENT_FILE names cannot be used: ")
    assert "0" * 38 not in done.stderr
    found = whoami(done.stdout)
    assert [found[name] for name in ("delegator", "proof", "agent", "state")] == [None] * 4
    assert found["caller"] == ME
    child = shell.run("issue", "--agent", "child", more={"JITID_PARENT_FILE": str(token)})
    assert (child.returncode, child.stdout) == (status, "")


def test_a_token_that_has_ended_still_names_its_agent(shell: Shell) -> None:
    token = issued(shell)
    shell.environment["JITID_PARENT_FILE"] = token
    assert shown(shell)["state"] == "active"
    shell.good("issue", "--parent-file", token, "--agent", "child", "-q", "--out", "child")
    shell.good("revoke", "--token-file", token, "--reason", "incident 7")
    for file, agent in ((token, "planner"), (str(shell.home / "child"), "child")):
        done = shell.run("whoami", "--format", "json", more={"JITID_PARENT_FILE": file})
        error = json.loads(done.stderr)["error"]
        assert done.returncode == 8
        assert error["message"].startswith(
            "the token that JITID_PARENT_FILE names is not valid: the credential was revoked at "
        )
        assert error["hint"] == 'for the reason: jitid inspect "$JITID_PARENT_FILE"'
        found = whoami(done.stdout)
        assert (found["agent"], found["task"], found["state"]) == (agent, "T1", "revoked")
    assert "state        revoked\n" in shell.run("whoami", "--format", "table").stdout


def test_an_expired_token_is_not_valid(shell: Shell) -> None:
    token = issued(shell)
    done = shell.run("whoami", "--format", "json", before=faked("+20m"), more={"JITID_PARENT_FILE": token})
    assert (done.returncode, whoami(done.stdout)["state"]) == (8, "expired")
    superseded = shutil.copy(token, shell.home / "superseded")
    shell.good("renew", "--token-file", token)
    for file in (token, str(superseded)):
        more = {"JITID_PARENT_FILE": file}
        done = shell.run("whoami", "--format", "json", more=more)
        assert (done.returncode, whoami(done.stdout)["state"]) == (0, "active")
        assert shell.run("issue", "--agent", "child", more=more).returncode == 0


def test_a_user_who_reaches_no_key_is_confined(tmp_path: Path) -> None:
    before = other_user()
    with reachable(tmp_path) as folder:
        shell = Shell(folder)
        issued(shell)
        done = shell.run("whoami", "--format", "json", before=before)
    found = whoami(done.stdout)
    assert (done.returncode, found["confinement"], found["roles"]) == (0, "confined", None)
    assert found["caller"] == "nobody"


def test_an_environment_is_no_proof_of_a_name(shell: Shell) -> None:
    for name in ("USER", "LOGNAME", "JITID_DELEGATOR"):
        shell.environment[name] = "mallory"
    assert shown(shell)["caller"] == ME


def test_version_has_one_line_and_fields(shell: Shell) -> None:
    for line in (("version",), ("--version",), ("-V",)):
        assert shell.good(*line) == f"jitid {jitid.__version__}\n"
    assert json.loads(shell.good("version", "--format", "json")) == {
        "schema": "jitid.version/1",
        "version": jitid.__version__,
        "python": platform.python_version(),
    }
    assert shell.good("version", "--field", "version") == f"{jitid.__version__}\n"
    assert list(shell.home.iterdir()) == []


def test_version_works_with_an_invalid_configuration(shell: Shell) -> None:
    path = shell.home / ".config/jitid/config.toml"
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    path.write_text("ttl = [")
    for line in (("version",), ("--version",)):
        assert shell.good(*line) == f"jitid {jitid.__version__}\n"
    assert shell.good("version", "--field", "version") == f"{jitid.__version__}\n"
    assert shell.run("version", "--field", "nothing").returncode == 2
