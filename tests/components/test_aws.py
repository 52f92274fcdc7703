"""AWS's own command line, which asks jitid for the credentials of a profile."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jitid.lifetime import parse_time
from tests.moto import ACCOUNT, REGION, Moto
from tests.real import Shell, command, module

_roles = count(1)


class User(Shell):
    """Somebody whose jitid has a target of AWS, and whose AWS has a profile that asks jitid."""

    def __init__(self, home: Path, moto: Moto) -> None:
        super().__init__(home)
        module("awscli")
        self.moto = moto
        self.role = f"deploy-{next(_roles)}"
        arn = moto.role(self.role)
        self._write(
            "jitid.toml",
            f"""\
[target.cloud]
kind = "aws-sts"
region = "{REGION}"
endpoint_url = "{moto.url}"
credentials_file = "{moto.credentials}"

[target.cloud.template.deploy]
role_arn = "{arn}"

[target.cloud.template.deploy.scopes."s3:*:read"]
actions = ["s3:GetObject"]
resources = ["arn:aws:s3:::{{2}}/*"]
""",
        )
        self.environment["JITID_CONFIG"] = str(home / "jitid.toml")
        self.environment["AWS_CONFIG_FILE"] = str(home / "aws")
        self.environment["AWS_EC2_METADATA_DISABLED"] = "true"

    def profile(self, *arguments: str) -> None:
        """Let the profile `deploy` ask jitid with these arguments."""
        line = " ".join([*command("helper", "aws", "--template", "deploy"), *arguments])
        self._write(
            "aws",
            f"[profile deploy]\nregion = {REGION}\nendpoint_url = {self.moto.url}\ncredential_process = {line}\n",
        )

    def aws(self, *arguments: str, run: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run AWS's command line with that profile."""
        words = [sys.executable, "-m", "awscli", *arguments, "--profile", "deploy", "--output", "json"]
        return subprocess.run(
            [*run, *words], capture_output=True, text=True, env=self.environment, cwd=self.home, timeout=120
        )

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.touch(0o600)
        path.write_text(text)


@pytest.fixture
def user(tmp_path: Path, moto_server: Moto) -> User:
    """Return somebody with a role of their own."""
    return User(tmp_path, moto_server)


def test_the_command_line_of_aws_takes_what_it_is_given(user: User) -> None:
    user.profile("--task", "INC-4821", "--delegator", "alice", "--agent", "deployer")
    done = user.aws("sts", "get-caller-identity")
    assert done.returncode == 0, done.stderr
    arn = json.loads(done.stdout)["Arn"]
    beginning = f"arn:aws:sts::{ACCOUNT}:assumed-role/{user.role}/"
    assert arn.startswith(beginning)
    (listed,) = json.loads(user.good("list", "--format", "json"))["items"]
    assert (listed["jti"], listed["agent"]) == (arn.removeprefix(beginning), "deployer")
    # It may do what its role may.
    assert json.loads(user.aws("iam", "list-account-aliases").stdout) == {"AccountAliases": []}


def test_the_end_that_is_told_is_ours_and_not_that_of_aws(user: User) -> None:
    told: dict[str, Any] = json.loads(
        user.good(
            "helper", "aws", "--template", "deploy", "--task", "INC-1", "--delegator", "alice", "--ttl", "5m"
        )
    )
    assert told.pop("Version") == 1
    (listed,) = json.loads(user.good("list", "--format", "json"))["items"]
    assert told.pop("Expiration") == listed["expires_at"]
    assert parse_time(listed["expires_at"]) - parse_time(listed["issued_at"]) == 300
    assert set(told) == {"AccessKeyId", "SecretAccessKey", "SessionToken"}


def test_what_is_refused_reaches_whoever_asked_aws(user: User) -> None:
    user.profile("--task", "INC-1")
    done = user.aws("sts", "get-caller-identity")
    assert done.returncode != 0
    assert "jitid: error:" in done.stderr
    # Neither a ledger nor a session was made.
    assert not user.ledger.exists()


def test_within_a_run_nothing_more_is_said_and_all_of_it_ends_with_the_run(user: User) -> None:
    user.profile()
    run = command("run", "--task", "INC-4821", "--delegator", "alice", "--scope", "s3:reports:read", "--")
    done = user.aws("sts", "get-caller-identity", run=tuple(run))
    assert done.returncode == 0, done.stderr
    session = json.loads(done.stdout)["Arn"].rpartition("/")[2]
    assert json.loads(user.good("list", "--format", "json", "--state", "active"))["items"] == []
    assert session in {
        each["jti"] for each in json.loads(user.good("list", "--format", "json"))["items"] if each["ended_at"]
    }
